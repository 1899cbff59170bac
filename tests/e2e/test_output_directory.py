"""The pipeline's `output:` is a whole copy at every moment, and replaces nothing that is not its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

OLD = {"counts.csv": b"word,count\nthe,4\na,3\nand,2\n"}
NEW = {"counts.csv": b"word,count\nthe,4\n"}
CHANGE = ("--set", "count.top=1")


def test_it_gets_the_last_stages_output(ran: Project) -> None:
    output = ran.root / "output/words"

    assert ran.contents(output) == OLD
    assert ran.run("words", *CHANGE)["count"] == "run"
    assert ran.contents(output) == NEW
    ran.run("words")
    assert ran.contents(output) == OLD


def test_an_unchanged_output_is_not_copied_again(ran: Project) -> None:
    before = (ran.root / "output/words/counts.csv").stat()
    ran.run("words")

    assert (ran.root / "output/words/counts.csv").stat() == before


def test_a_hit_brings_a_deleted_output_back(ran: Project) -> None:
    (ran.root / "output/words/counts.csv").unlink()

    assert set(ran.run("words").values()) == {"hit"}
    assert ran.contents(ran.root / "output/words") == OLD


def test_a_reader_of_the_old_output_keeps_it_whole(ran: Project) -> None:
    with open(ran.root / "output/words/counts.csv", "rb") as reader:
        ran.run("words", *CHANGE)
        assert reader.read() == OLD["counts.csv"]


def test_a_copy_may_be_edited_without_harm_to_the_store(ran: Project) -> None:
    file = ran.root / "output/words/counts.csv"
    file.write_text("edited\n")

    assert set(ran.run("words").values()) == {"hit"}
    assert ran.contents(ran.output("words:count")) == OLD
    assert ran.contents(ran.root / "output/words") == OLD


def test_killed_while_it_is_replaced_the_old_or_the_new_is_there(ran: Project) -> None:
    ran.run("words", *CHANGE)
    ran.run("words")
    log, below = ran.root.parent / "writes", f"{ran.root}/output/"
    ran.run("words", *CHANGE, env=ran.watched(writes=log, below=below))
    count = len(log.read_text().splitlines())
    assert count >= 3
    for point in range(1, count + 1):
        ran.run("words")
        killed = ran.doit("run", "words", *CHANGE, env=ran.watched(kill_at=point, below=below))
        assert killed.code == -signal.SIGKILL
        assert ran.contents(ran.root / "output/words") in (OLD, NEW)
    ran.run("words")

    assert ran.contents(ran.root / "output/words") == OLD


def test_what_no_run_has_put_there_is_not_replaced(project: Project) -> None:
    target = project.root.parent / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("dear")

    complaint = project.doit("run", "words", "--output", target).complaint()

    assert f"the output {target} holds 'thesis.txt', which no run has put there" in complaint
    assert "hint: name another directory with --output" in complaint
    assert project.contents(target) == {"thesis.txt": b"dear"}
    assert project.executed() == []


def test_a_file_is_not_replaced(project: Project) -> None:
    target = project.root.parent / "mine"
    target.write_text("dear")

    assert "no run has put there" in project.doit("run", "words", "--output", target).complaint()
    assert target.read_text() == "dear"


def test_an_empty_directory_is_taken(project: Project) -> None:
    target = project.root.parent / "empty"
    target.mkdir()
    project.run("words", "--output", str(target))

    assert project.contents(target) == OLD


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (".", "would replace the project"),
        ("..", "would replace the project"),
        ("/", "would replace"),
        ("components/text", "lies in the project's components/"),
        (".git/words", "lies in the project's .git/"),
        ("../store", "would replace the artifact store"),
        ("~", "would replace"),
    ],
)
def test_dangerous_places_are_refused(project: Project, place: str, what: str) -> None:
    before = project.git("status", "--porcelain")

    complaint = project.doit("run", "words", "--output", place).complaint()

    assert what in complaint
    assert project.git("status", "--porcelain") == before


def test_a_relative_output_starts_where_the_command_was_typed(project: Project) -> None:
    below = project.root / "components"
    (project.root.parent / "elsewhere").mkdir()

    project.run("words", "--output", "../../elsewhere/words", cwd=below)

    assert project.contents(project.root.parent / "elsewhere/words") == OLD


def test_a_failed_run_leaves_the_old_output(ran: Project) -> None:
    ran.replace("components/text/count/main.py", '"""Count words."""', "raise SystemExit(3)")

    assert ran.doit("run", "words").code == 1
    assert ran.contents(ran.root / "output/words") == OLD


def test_nothing_else_is_left_beside_the_output(ran: Project) -> None:
    ran.run("words", *CHANGE)

    assert sorted(os.listdir(ran.root / "output")) == [".words.daintree.json", "words"]
    assert ran.git("status", "--porcelain") == ""


def test_a_path_for_notebooks_is_printed_alone(ran: Project) -> None:
    finished = ran.doit("path", "words:clean")

    assert finished.stderr == ""
    assert finished.stdout.count("\n") == 1
    assert Path(finished.stdout.strip(), "lines.txt").is_file()
    assert ran.doit("path", "words").stdout == ran.doit("path", "words:count").stdout
    complaint = ran.doit("path", "words:count", *CHANGE).complaint()
    assert "words:count has no output in the store now: params.top 3 → 1" in complaint
