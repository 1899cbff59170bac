"""What can be typed, in which order, and what is said when it cannot be read."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUN = {"load": "run", "clean": "run", "count": "run"}


def test_plain_doit_prints_an_overview_and_runs_nothing(project: Project) -> None:
    for arguments in ([], ["run"]):
        finished = project.doit(*arguments)
        assert finished.code == 0
        assert "words" in finished.stdout
        assert "doit run " in finished.stdout
    assert not project.root.joinpath("output").exists()
    assert project.doit("history").stdout == "no run recorded\n"


def test_names_and_options_stand_in_any_order(ran: Project) -> None:
    groups = [["words"], ["--set", "count.top=1"], ["--json"]]
    orders = [sum(order, []) for order in itertools.permutations(groups)]
    plans = [ran.doit("plan", *order).json() for order in orders]

    assert [stage["status"] for stage in plans[0]["stages"]] == ["hit", "hit", "miss"]
    assert all(plan == plans[0] for plan in plans)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "words", "--set", "count.top=1", "--json"],
        ["run", "--set", "count.top=1", "words", "--json"],
        ["run", "--json", "--set=count.top=1", "words"],
        ["words", "--json", "--set", "count.top=1"],
        ["run", "words", "--set", "count.top=1", "clean.shortest=1", "--json"],
        ["run", "words", "--set", "count.top=9", "--set", "count.top=1", "--json"],
        ["run", "words:count", "--set", "count.top=1", "--json"],
        ["run", "--runner", "local", "words", "--set", "count.top=1", "--json"],
        ["run", "-n", "2", "words", "-P", "thread", "--set", "count.top=1", "--json"],
    ],
)
def test_every_way_to_set_a_parameter(ran: Project, arguments: list[str]) -> None:
    stages = ran.doit(*arguments).json()["stages"]

    assert [stage["status"] for stage in stages] == ["hit", "hit", "run"]
    shown = ran.doit("show", "words:count", "--json").json()
    assert shown["parameters"]["top"] == 1
    assert shown["reason"] == "params.top 3 → 1"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--set", "cuont.top=1"], ["no stage 'cuont'", "did you mean 'count'?"]),
        (["--set", "count.tpo=1"], ["no parameter 'tpo'", "did you mean 'top'?"]),
        (["--set", "count.top=many"], ["--set count.top", "expected a whole number, got 'many'"]),
        (["--set", "count.top=1.5"], ["expected a whole number, got '1.5'"]),
        (["--set", "count.weight=heavy"], ["expected a number, got 'heavy'"]),
        (["--set", "count.weight=nan"], ["nan is not a finite number"]),
        (["--set", "clean.fold=yes"], ["expected true or false, got 'yes'"]),
        (["--set", "count.separator=x"], ["'x' is none of ,, ;"]),
        (["--set", "top=1"], ["--set 'top=1' cannot be read", "stage.parameter=value"]),
        (["--set", "count.top"], ["--set 'count.top' cannot be read"]),
        (["--set"], ["--set requires argument"]),
        (["--sett", "count.top=1"], ["--sett not recognized", "did you mean '--set'?"]),
        (["--force", "cuont"], ["no stage 'cuont'", "did you mean 'count'?"]),
        (["--only", "cuont"], ["no stage 'cuont'", "did you mean 'count'?"]),
        (["--runner", "lokal"], ["no runner 'lokal'", "did you mean 'local'?"]),
        (["--source", "missing.txt"], ["the source missing.txt does not exist"]),
        (["--source", "gopher://x/y"], ["--source: a source of the kind gopher:// cannot be read"]),
        (["-n", "many"], ["-n 'many': expected int"]),
    ],
)
def test_what_cannot_be_read_is_told(
    project: Project, arguments: list[str], messages: list[str]
) -> None:
    complaint = project.doit("run", "words", *arguments).complaint()

    for message in messages:
        assert message in complaint


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["run", "wrods"], ["'wrods'", "did you mean 'words'?"]),
        (["wrods"], ["wrods", "did you mean 'words'?"]),
        (["run", "words:cuont"], ["no stage 'cuont'", "did you mean 'count'?"]),
        (["plan", "wrods"], ["no pipeline 'wrods'", "did you mean 'words'?"]),
        (["plan"], ["too few names"]),
        (["plan", "words", "diamond"], ["'diamond' is one name too many"]),
        (["graph", "wrods"], ["did you mean 'words'?"]),
        (["path", "words:cuont"], ["did you mean 'count'?"]),
        (["path", "words"], ["words:count has no output in the store now"]),
        (["show", "202601"], ["there is no run '202601'"]),
        (["show", "words:count"], ["there is no run 'words:count'"]),
        (["history", "--limit", "-1"], ["--limit -1: expected 0 or more"]),
        (["history", "wrods"], ["no run of a pipeline 'wrods' is recorded"]),
        (["affected", "--base", "nowhere"], ["nowhere"]),
        (["schema", "stage"], ["no schema of 'stage'"]),
        (["run", "words", "diamond", "--set", "count.top=1"], ["--set with several names"]),
        (["run", "words:count", "--only", "clean"], ["contradict each other"]),
        (["run", "words", "--only", "count", "--force", "load"], ["contradict each other"]),
        (
            ["run", "words:clean", "--output", "x"],
            ["for a whole pipeline", "doit pull words:clean"],
        ),
        (["run", "words", "--only", "clean", "--output", "x"], ["for a whole pipeline"]),
    ],
)
def test_what_does_not_exist_is_told(
    project: Project, arguments: list[str], messages: list[str]
) -> None:
    complaint = project.doit(*arguments).complaint()

    for message in messages:
        assert message in complaint


def test_an_unknown_pipeline_leaves_nothing_behind(project: Project) -> None:
    project.doit("run", "wrods")

    assert project.git("status", "--porcelain") == ""


def test_force_computes_that_stage_though_it_is_a_hit(ran: Project) -> None:
    assert ran.run("words", "--force", "clean") == {"load": "hit", "clean": "run", "count": "hit"}
    assert ran.run("words", "--force", "load", "--force", "count") == {
        "load": "run",
        "clean": "hit",
        "count": "run",
    }
    assert ran.run("words", "--force", "load,clean") == {
        "load": "run",
        "clean": "run",
        "count": "hit",
    }
    assert ran.doit("plan", "words", "--force", "clean", "--json").json()["stages"][1] == {
        **ran.doit("plan", "words", "--json").json()["stages"][1],
        "status": "miss",
        "reason": "forced",
        "run": None,
    }
    assert ran.run("words") == ALL_HITS


def test_only_runs_one_stage_on_what_is_there(ran: Project) -> None:
    assert ran.run("words", "--only", "count", "--set", "count.top=1")["count"] == "run"
    assert ran.executed() == ["clean", "count", "count", "load"]


def test_only_says_what_is_missing(project: Project) -> None:
    complaint = project.doit("run", "words", "--only", "count").complaint()

    assert "--only count: the store has no output of clean for it to read" in complaint
    assert "hint: doit run words:clean first" in complaint
    assert project.doit("history").stdout == "no run recorded\n"


def test_a_stage_as_target_runs_what_it_needs(project: Project) -> None:
    assert project.run("words:clean") == {"load": "run", "clean": "run"}
    assert not (project.root / "output").exists()
    assert project.run("words") == {"load": "hit", "clean": "hit", "count": "run"}


def test_several_pipelines_run_one_after_the_other(project: Project) -> None:
    finished = project.doit("run", "-n", "1", "words", "diamond")

    assert finished.code == 0
    assert "words: 0 hits, 3 runs" in finished.stdout
    assert "diamond: 2 hits, 2 runs" in finished.stdout


def test_stages_that_pipelines_share_are_computed_once_side_by_side(project: Project) -> None:
    finished = project.doit("run", "-n", "2", "words", "diamond")

    assert finished.code == 0
    totals = re.findall(
        r"^(words|diamond): (\d+) hits?, (\d+) runs?", finished.stdout, re.MULTILINE
    )
    assert [name for name, _, _ in totals] == ["words", "diamond"]
    # Which of the two computes a shared stage is not told beforehand.
    assert [int(hits) + int(runs) for _, hits, runs in totals] == [3, 4]
    assert sum(int(runs) for _, _, runs in totals) == 5


def test_another_source_and_another_output(project: Project) -> None:
    project.write("other/place/one.txt", "one two two\n")
    target = project.root.parent / "target"

    finished = project.doit("run", "words", "--source", "other/place", "--output", target)

    assert finished.code == 0
    assert (target / "counts.csv").read_text() == "word,count\ntwo,2\none,1\n"
    assert not (project.root / "output").exists()


def test_from_a_subdirectory(project: Project) -> None:
    below = project.root / "components/text/clean"

    assert project.run("words", cwd=below) == ALL_RUN
    assert (project.root / "output/words/counts.csv").is_file()
    assert project.plan("words", cwd=below) == ALL_HITS
    assert project.run("words", "--source", "../../../corpus.txt", cwd=below) == ALL_HITS
    assert "words" in project.doit("list", cwd=below).stdout
    assert project.doit(cwd=below).stdout == project.doit().stdout
    assert project.git("status", "--porcelain") == ""


def test_outside_a_project_the_message_says_so(project: Project) -> None:
    complaint = project.doit("plan", "words", cwd=project.root.parent).complaint()

    assert f"there is no dodo.py in {project.root.parent} or above it" in complaint


@pytest.mark.parametrize(
    "command", ["run", "plan", "graph", "history", "affected", "path", "store"]
)
def test_each_command_has_help(project: Project, command: str) -> None:
    finished = project.doit(command, "--help")

    assert finished.code == 0
    assert f"doit {command}" in finished.stdout
    assert project.doit("help", command).stdout == finished.stdout


def test_clean_and_forget_leave_the_store_alone(ran: Project) -> None:
    assert ran.doit("forget").code == 0
    assert ran.doit("clean").code == 0
    assert ran.doit("forget", "words").code == 0
    assert ran.doit("clean", "words:count").code == 0

    assert ran.run("words") == ALL_HITS


def test_tasks_of_the_project_are_tasks_of_doit(project: Project) -> None:
    with open(project.root / "dodo.py", "a", encoding="utf-8") as dodo:
        dodo.write(
            "\n\ndef task_greet():\n    return {'actions': ['echo good morning'], 'verbosity': 2}\n"
        )

    assert "good morning" in project.doit("greet").stdout
    assert "greet" in project.doit("list").stdout
    assert project.doit("run", "words", "greet").code == 0


def test_list_all_shows_each_stage_as_a_task(project: Project) -> None:
    listed = project.doit("list", "--all").stdout

    for task in ("words", "words:load", "words:clean", "words:count", "diamond:right"):
        assert f" {task} " in listed
    assert "words:clean" in project.doit("info", "words:clean").stdout
