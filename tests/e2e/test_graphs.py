"""Pipelines that are no chains: fan-out, fan-in, and stages that run side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

# Each tells the other that it is here and waits to hear the same: neither ends unless both run at once.
MEET = """\
signal.alarm(20)
mine, other = Path(arguments.place, arguments.me), Path(arguments.place, arguments.other)
if arguments.me < arguments.other:
    open(other, "w").write("here")
    heard = open(mine).read()
else:
    heard = open(mine).read()
    open(other, "w").write("here")
(output / "heard.txt").write_text(heard)
"""
SIDE = {"type": "str", "affects_output": False}


def test_a_diamond_joins_what_both_sides_wrote(project: Project) -> None:
    assert project.run("diamond") == {"load": "run", "left": "run", "right": "run", "join": "run"}

    joined = (project.output("diamond:join") / "joined.txt").read_text().splitlines()
    assert joined == [
        "left: the cat sat on the mat",
        "left: the dog sat on the log",
        "left: a cat and a dog and a log",
        "right: The cat sat on the mat",
        "right: the dog sat on the log",
        "right: A cat and a dog and a log",
    ]
    assert set(project.run("diamond").values()) == {"hit"}


def test_a_change_on_one_side_leaves_the_other(project: Project) -> None:
    project.run("diamond")

    assert project.plan("diamond", "--set", "right.shortest=3") == {
        "load": "hit",
        "left": "hit",
        "right": "miss",
        "join": "pending",
    }
    assert project.run("diamond", "--set", "right.shortest=3") == {
        "load": "hit",
        "left": "hit",
        "right": "run",
        "join": "run",
    }


def test_the_names_of_several_needs_count(project: Project) -> None:
    project.run("diamond")
    for old, new in (("left", "west"),):
        project.replace("pipelines/diamond.json", f'"{old}"', f'"{new}"')

    assert project.run("diamond") == {"load": "hit", "west": "hit", "right": "hit", "join": "run"}


@pytest.fixture
def meeting(project: Project) -> Project:
    """A project with a pipeline `meet` whose two middle stages end only when they run at once."""
    place = project.root.parent / "place"
    place.mkdir()
    params = {"place": SIDE, "me": {"type": "str"}, "other": {"type": "str"}}
    project.component("odd/meet", MEET, **params)
    stages: list[object] = ["text/load"]
    for me, other in (("a", "b"), ("b", "a")):
        os.mkfifo(place / me)
        given = {"place": str(place), "me": me, "other": other}
        stages.append({"name": me, "component": "odd/meet", "needs": ["load"], "params": given})
    project.pipeline("meet", *stages)
    return project


@pytest.mark.parametrize("arguments", [[], ["-n", "2"], ["-n", "4", "-P", "thread"]])
def test_independent_stages_run_side_by_side(meeting: Project, arguments: list[str]) -> None:
    env = {} if arguments else {"DAINTREE_JOBS": "2"}

    assert meeting.run("meet", *arguments, env=env) == {"load": "run", "a": "run", "b": "run"}


def test_equal_stages_side_by_side_are_computed_once(project: Project) -> None:
    same = {"component": "text/clean", "needs": ["load"]}
    project.pipeline("twins", "text/load", {**same, "name": "one"}, {**same, "name": "two"})

    reported = project.run("twins", "-n", "2")

    assert sorted(reported.values()) == ["hit", "run", "run"]
    assert len(project.executed("twins")) == 2


@pytest.mark.parametrize("option", ["--continue", "--keep-going"])
def test_one_failure_leaves_what_the_other_side_has_done(project: Project, option: str) -> None:
    project.component("odd/fail", "sys.exit(3)")
    project.pipeline(
        "fork",
        "text/load",
        {"component": "odd/fail", "needs": ["load"]},
        {"component": "text/clean", "needs": ["load"]},
        {"component": "text/join", "needs": ["fail", "clean"]},
    )

    complaint = project.doit("run", "fork", "-n", "1", option).complaint()

    assert "error: stage fork:fail ended with exit code 3" in complaint
    assert project.plan("fork") == {
        "load": "hit",
        "fail": "miss",
        "clean": "hit",
        "join": "pending",
    }


def test_stages_may_be_written_in_any_order(project: Project) -> None:
    project.pipeline(
        "backwards",
        {"component": "text/count", "needs": ["clean"]},
        {"component": "text/clean", "needs": ["load"]},
        {"component": "text/load", "needs": []},
    )

    assert project.run("backwards") == {"load": "run", "clean": "run", "count": "run"}


def test_an_output_of_several_stages_has_a_directory_each(project: Project) -> None:
    project.pipeline(
        "both",
        "text/load",
        {"component": "text/clean", "name": "tidy"},
        output={"path": "output/both", "stages": ["load", "tidy"]},
    )
    project.run("both")

    copied = project.contents(project.root / "output/both")
    assert set(copied) == {"load/lines.txt", "tidy/lines.txt"}


def test_a_graph_is_drawn_with_its_plan(project: Project) -> None:
    project.run("diamond:left")
    text = project.doit("graph", "diamond").stdout
    mermaid = project.doit("graph", "--mermaid", "diamond").stdout

    for line in text.splitlines()[1:]:
        assert " ─▶" in line
    assert "left, right ─▶" in text
    assert [word for word in text.split() if word in ("HIT", "MISS", "PENDING")] == [
        "HIT",
        "HIT",
        "MISS",
        "PENDING",
    ]
    assert mermaid.startswith("flowchart LR\n")
    assert '"left<br/>text/clean"]:::hit' in mermaid
    assert '"right<br/>text/clean"]:::miss' in mermaid
    assert mermaid.count(" --> ") == 5
