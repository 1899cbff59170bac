"""Pipelines and other tasks in one run of doit, and the options of such a run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.projects import DOIT

if TYPE_CHECKING:
    from tests.e2e.projects import Project

REPORT = """
def task_summary():
    return {
        "actions": ["cat output/words/counts.csv > summary.txt"],
        "task_dep": ["words"],
        "targets": ["summary.txt"],
    }


def task_greet():
    return {"actions": ["echo good morning"], "verbosity": 2}


def check(colour):
    return colour != "red"


def task_check():
    return {"actions": [(check, ["red"])]}
"""


NUMBERED = """
def task_one():
    return {
        "actions": ["echo 1%(word)s"],
        "params": [{"name": "word", "long": "word", "default": ""}],
        "verbosity": 2,
    }


def task_two():
    return {"actions": ["echo 2"], "verbosity": 2}


def task_group():
    yield {"name": "x", "actions": ["echo x"], "verbosity": 2}
"""


@pytest.fixture
def reporting(project: Project) -> Project:
    """A project with tasks of its own, one of which reads a pipeline's output."""
    with open(project.root / "dodo.py", "a", encoding="utf-8") as dodo:
        dodo.write(f"\n\n{REPORT}")
    return project


def test_a_pipeline_and_a_task_that_needs_it_are_one_run(reporting: Project) -> None:
    finished = reporting.doit("run", "words", "summary", "greet")
    assert finished.code == 0, finished.stderr
    assert "good morning" in finished.stdout
    assert (reporting.root / "summary.txt").read_text().startswith("word,count\n")
    assert reporting.executed() == ["clean", "count", "load"]
    assert finished.stdout.count("words: 0 hits, 3 runs") == 1


def test_a_task_brings_the_pipeline_that_it_depends_on(reporting: Project) -> None:
    finished = reporting.doit("summary")
    assert finished.code == 0, finished.stderr
    assert (reporting.root / "summary.txt").exists()
    assert reporting.executed() == ["clean", "count", "load"]
    again = reporting.doit("summary")
    assert again.stdout.count("words: 3 hits, 0 runs") == 1


def test_every_pipeline_is_one_run(reporting: Project) -> None:
    finished = reporting.doit("run", "pipelines")
    assert finished.code == 0, finished.stderr
    assert finished.stdout.count("\nwords: ") == 1
    assert reporting.doit("run", "words").stdout.count("words: 3 hits, 0 runs") == 1


def test_what_doit_is_told_to_ignore_are_its_own_tasks(reporting: Project) -> None:
    assert reporting.doit("ignore", "words:clean", "greet").code == 0
    finished = reporting.doit("run", "words", "greet")
    assert finished.code == 0, finished.stderr
    assert "good morning" not in finished.stdout
    assert reporting.executed() == ["clean", "count", "load"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("one one two", "1 2"),
        ("two one two one", "2 1"),
        ("--single one two", "1 2"),
        ("--always-execute -n 2 -P thread one one two", "1 2"),
        ("group group:x one", "x 1"),
        ("gr* group:x one", "x 1"),
        ("-- one --word=a one two", "1a 2"),
        ("--single -- one --word=a two", "1a 2"),
    ],
)
def test_a_task_named_twice_runs_once_and_so_do_those_after_it(
    project: Project, words: str, expected: str
) -> None:
    with open(project.root / "dodo.py", "a", encoding="utf-8") as dodo:
        dodo.write(f"\n\n{NUMBERED}")
    finished = project.doit("run", *words.split())
    assert finished.code == 0, finished.stderr
    lines = [line for line in finished.stdout.splitlines() if not line.startswith(". ")]
    assert sorted(lines) == sorted(expected.split())


def test_other_options_for_a_task_named_twice_are_refused(project: Project) -> None:
    with open(project.root / "dodo.py", "a", encoding="utf-8") as dodo:
        dodo.write(f"\n\n{NUMBERED}")
    complaint = project.doit("run", "--", "one", "--word=a", "one", "--word=b").complaint()
    assert "the task one is named twice, with different options" in complaint


@pytest.mark.parametrize(
    "words",
    ["words words", "words:load words", "words words:load greet words", "words:load words:load words:count"],
)  # fmt: skip
def test_a_pipeline_and_its_stages_named_together_run_once(reporting: Project, words: str) -> None:
    finished = reporting.doit("run", *words.split())
    assert finished.code == 0, finished.stderr
    assert reporting.executed() == ["clean", "count", "load"]


def test_an_unknown_name_is_told_before_anything_runs(reporting: Project) -> None:
    assert "'greeet'" in reporting.doit("run", "words", "greeet").complaint()
    assert reporting.executed() == []


def test_a_pipeline_that_reads_another_s_output_is_planned_after_it(reporting: Project) -> None:
    reporting.pipeline("after", "text/load", source="output/words/counts.csv")
    finished = reporting.doit("run", "words", "after")
    assert finished.code == 0, finished.stderr
    assert "words: 0 hits, 3 runs" in finished.stdout
    assert "after: 0 hits, 1 run," in finished.stdout


def test_a_stage_beside_a_task_that_needs_its_pipeline_is_the_whole_pipeline(
    reporting: Project,
) -> None:
    finished = reporting.doit("run", "words:load", "summary")
    assert finished.code == 0, finished.stderr
    assert (reporting.root / "summary.txt").read_text().startswith("word,count\n")
    assert finished.stdout.count("words: 0 hits, 3 runs") == 1


def test_keep_going_goes_on_to_what_does_not_read_what_has_failed(reporting: Project) -> None:
    reporting.component("odd/fail", 'sys.exit("broken")')
    reporting.pipeline("first", "odd/fail", output="output/first")
    reporting.pipeline(
        "second", "text/load", source="output/first/result.csv", output="output/second"
    )
    reporting.pipeline("third", "text/load", source="output/second/result.csv")
    names = ("first", "second", "third", "words:load", "words:clean")

    stopped = reporting.doit("run", *names)
    assert (stopped.code, reporting.executed()) == (1, [])
    finished = reporting.doit("run", "-k", *names)

    assert finished.code == 1
    for name in ("second", "third"):
        assert f"{name} is not run: it reads the output of what has failed" in finished.stderr
    assert reporting.executed() == ["clean", "load"]


def test_a_task_that_fails_is_told_once_without_pythons_objects(reporting: Project) -> None:
    finished = reporting.doit("check")
    assert finished.code == 1
    assert " at 0x" not in finished.stdout + finished.stderr
    assert (finished.stdout + finished.stderr).count("check failed") == 1


def test_keep_going_runs_the_other_branch(reporting: Project) -> None:
    reporting.component("odd/fail", "sys.exit(3)")
    other = {"name": "other", "component": "text/clean", "needs": ["load"]}
    reporting.pipeline("odd", "text/load", "odd/fail", other)
    assert "odd:fail ended with exit code 3" in reporting.doit("run", "odd", "-k").complaint()
    assert reporting.executed("odd") == ["fail", "load", "other"]


def test_jobs_is_taken_where_people_type_it(reporting: Project) -> None:
    for words in (["run", "--jobs", "2", "words"], ["words", "-j", "2"], ["--jobs=2", "words"]):
        assert reporting.doit(*words).code == 0


@pytest.mark.parametrize(
    "arguments",
    [["help"], ["help", "run"], ["list"], ["list", "--all"], ["plan", "words"], ["tabcompletion"], ["--version"]],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_that_goes_away_leaves_no_traceback(
    project: Project, arguments: list[str]
) -> None:
    process = project.start(*arguments)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    errors = process.stderr.read()
    process.wait()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_output_encoding_works(project: Project, encoding: str) -> None:
    project.replace("pipelines/words.yaml", "description: ", "description: größe ─▶ ")
    for arguments in (["list"], ["graph", "words"], ["run", "words"], ["help", "shell"]):
        finished = subprocess.run(
            [DOIT, *arguments],
            cwd=project.root,
            env={**project.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert b"Traceback" not in finished.stderr


def test_a_graph_needs_no_data(project: Project) -> None:
    project.replace("pipelines/words.yaml", "corpus.txt", "gone.txt")
    finished = project.doit("graph", "words")
    assert finished.code == 0, finished.stderr
    assert "count" in finished.stdout
    assert "gone.txt" in finished.stderr


def test_both_versions_are_named_and_help_leads_with_this_tool(project: Project) -> None:
    for place in (project.root, project.root.parent):
        assert project.doit("--version", cwd=place).stdout.startswith("daintree ")
    shown = project.doit("help").stdout
    assert shown.index("doit run ") < shown.index("doit history ") < shown.index("doit forget ")
    assert project.doit("help", cwd=project.root.parent).code == 0
