"""What doit itself brings, in a project: its commands from any directory, its options on pipelines, its rough edges."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

GREETING = "def task_greet():\n    return {'actions': ['echo good morning'], 'verbosity': 2}\n"


@pytest.fixture
def greeting(project: Project) -> Project:
    """A project whose dodo.py has a task of its own."""
    with open(project.root / "dodo.py", "a", encoding="utf-8") as dodo:
        dodo.write(f"\n\n{GREETING}")
    return project


@pytest.mark.parametrize("first", ["", "components/text"])
def test_tasks_run_from_any_directory_on_one_database(greeting: Project, first: str) -> None:
    second = "components" if first == "" else ""
    for directory in (first, second, first):
        finished = greeting.doit("greet", cwd=greeting.root / directory)
        assert finished.code == 0, finished.stderr
        assert "good morning" in finished.stdout
    assert greeting.root.joinpath(".doit.db").read_bytes().startswith(b"SQLite format 3")
    assert not greeting.root.joinpath("components/.doit.db").exists()


@pytest.mark.parametrize(
    "arguments", [["forget"], ["clean"], ["ignore", "greet"], ["reset-dep"], ["list", "--quiet"]]
)
def test_commands_work_from_any_directory(greeting: Project, arguments: list[str]) -> None:
    assert greeting.doit("greet").code == 0

    finished = greeting.doit(*arguments, cwd=greeting.root / "components/text")

    assert finished.code == 0, finished.stderr
    assert finished.stdout == greeting.doit(*arguments).stdout


@pytest.mark.parametrize("command", ["forget", "clean", "help", "ignore", "info", "list", "run"])
def test_a_name_that_is_no_task_is_told(greeting: Project, command: str) -> None:
    complaint = greeting.doit(command, "greeet").complaint()

    assert "there is no pipeline, task or command 'greeet'" in complaint
    assert "did you mean 'greet'?" in complaint
    assert "`doit list --all` shows all" in greeting.doit(command, "zzz").complaint()


def test_the_help_of_a_task_and_of_a_pipeline_is_printed(greeting: Project) -> None:
    assert greeting.doit("help", "greet").stdout.startswith("greet")
    assert greeting.doit("help", "words").stdout.startswith("words")
    assert "did you mean 'run'?" in greeting.doit("help", "rnu").complaint()


def test_a_dodo_py_of_ones_own_is_told_the_line_that_brings_the_tests(project: Project) -> None:
    project.write("dodo.py", GREETING)
    complaint = project.doit("test:text/load").complaint()
    assert "hint: in dodo.py: from daintree.commands.project_tasks import" in complaint


def test_a_project_below_the_top_of_a_repository_is_told_where_workflows_belong(
    project: Project,
) -> None:
    note = "GitHub reads workflows at the top of a repository alone"
    made = project.doit("new", "project", "team")
    assert made.code == 0, made.stderr
    assert note in made.stderr
    assert note not in project.doit("new", "project", project.root.parent / "team").stderr


@pytest.mark.parametrize("command", ["forget", "clean", "ignore", "info", "list", "run"])
def test_outside_a_project_the_message_says_so(project: Project, command: str) -> None:
    complaint = project.doit(command, cwd=project.root.parent).complaint()

    assert f"there is no dodo.py in {project.root.parent} or above it" in complaint


def test_another_dodo_file_is_that_file(project: Project) -> None:
    project.write("other.py", GREETING)

    for arguments in (["run", "-f", "other.py", "greet"], ["-f", "other.py", "greet"]):
        finished = project.doit(*arguments)
        assert finished.code == 0, finished.stderr
        assert "good morning" in finished.stdout


@pytest.mark.parametrize(
    "arguments", [[""], ["run", ""], ["plan", "", "words"], ["run", "words", "--set", ""]]
)
def test_an_empty_word_is_told(project: Project, arguments: list[str]) -> None:
    complaint = project.doit(*arguments).complaint()

    assert complaint == (
        "error: there is an empty word on the command line\nhint: is a variable in it not set?\n"
    )


@pytest.mark.parametrize("directory", ["", "components/text"])
def test_a_database_that_doit_cannot_dump_is_told(greeting: Project, directory: str) -> None:
    for _ in range(2):
        complaint = greeting.doit("dumpdb", cwd=greeting.root / directory).complaint()
        assert complaint.startswith("error: doit dumpdb cannot read .doit.db, which is an SQLite")
        assert "`doit history` what has run" in complaint
        assert greeting.doit("greet").code == 0


@pytest.mark.parametrize(
    "arguments", [["--json", "plan", "words"], ["--set=a.b=1", "run", "words"]]
)
def test_an_option_before_the_command_is_told(project: Project, arguments: list[str]) -> None:
    complaint = project.doit(*arguments).complaint()

    assert f"{arguments[1]!r} is a command, which comes first" in complaint


def test_always_execute_computes_every_stage(ran: Project) -> None:
    assert ran.run("words", "-a") == {"load": "run", "clean": "run", "count": "run"}
    assert ran.run("words:clean", "--always-execute") == {"load": "run", "clean": "run"}
    assert ran.run("words", "-a", "--only", "count") == {
        "load": "hit",
        "clean": "hit",
        "count": "run",
    }


def test_single_is_only(ran: Project) -> None:
    ran.run("words:count", "--single", "--set", "count.top=1")

    assert ran.executed() == ["clean", "count", "count", "load"]
    assert "--single needs a stage" in ran.doit("run", "-s", "words").complaint()
    complaint = ran.doit("run", "-s", "words:clean", "--set", "load.limit=1").complaint()
    assert "--only clean: the store has no output of load" in complaint
    assert "doit run words:load" in complaint


def test_every_pipeline_runs_as_one_task_and_the_broken_one_fails(project: Project) -> None:
    finished = project.doit("pipelines")
    assert finished.code == 0, finished.stderr
    assert project.root.joinpath("output/words/counts.csv").is_file()
    assert project.executed("diamond")

    project.write("pipelines/broken.yaml", "source: corpus.txt\n")
    finished = project.doit("pipelines")
    assert finished.code == 1
    assert "pipelines/broken.yaml:1: the key 'stages' is missing" in finished.stderr


def test_a_stdout_that_is_closed_from_the_start_is_no_error(ran: Project) -> None:
    for command in ("plan", "run"):
        finished = ran.doit(command, "words", prefix=["bash", "-c", 'exec "$@" >&-', "-"])
        assert finished.code == 0, finished.stderr
        assert "Traceback" not in finished.stderr


def test_windows_is_refused() -> None:
    start = "import sys, doit.__main__; sys.argv = ['doit', *sys.argv[1:]]; sys.platform = 'win32'"
    for arguments in ([], ["run", "words"], ["plan", "words"], ["list"]):
        finished = subprocess.run(
            [sys.executable, "-c", f"{start}; doit.__main__.main()", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 1
        assert finished.stdout == ""
        assert finished.stderr == (
            "error: Daintree's tooling runs on Linux, macOS and WSL, not on Windows itself\n"
            "hint: install WSL (wsl --install) and work in there\n"
        )
