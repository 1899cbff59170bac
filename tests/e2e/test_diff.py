"""`doit diff` and `doit plan --why` in a real repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.projects import Project


def test_two_runs_are_compared(ran: Project) -> None:
    first = ran.doit("show", "words:clean", "--json").json()["run"]
    script = "components/text/load/main.py"
    ran.write(script, (ran.root / script).read_text() + "# a comment\n")
    ran.write("corpus.txt", "quite another text\n")
    ran.run("words", "--set", "clean.fold=false")

    difference = ran.doit("diff", "words:clean", "--json").json()
    assert difference["first"] == first
    assert difference["parameters"] == [{"name": "fold", "before": True, "after": False}]
    [read] = difference["inputs"]
    assert read["name"] == "load"
    assert any("source" in cause for cause in read["causes"])
    assert any("main.py" in cause for cause in read["causes"])

    lines = ran.doit("diff", "words:load", "--patch").stdout.splitlines()
    assert "+# a comment" in lines
    assert any(line.split() == ["main.py", "changed"] for line in lines)
    screen = ran.doit("diff", first, "words:count").stdout
    assert "text/clean → text/count" in screen


def test_what_cannot_be_compared_is_said(ran: Project) -> None:
    for arguments, complaint in (
        (("words:clean",), "has no two runs to compare"),
        (("words",), "with which run?"),
        (("words:clean", "words:nothing"), "there is no run 'words:nothing'"),
    ):
        assert complaint in ran.doit("diff", *arguments).complaint()


def test_the_chain_leads_down_to_the_first_cause(ran: Project) -> None:
    ran.write("corpus.txt", "quite another text\n")
    chain = ran.doit("plan", "words:count", "--why", "--json").json()["chain"]
    assert [(link["depth"], link["stage"], link["status"]) for link in chain] == [
        (0, "count", "pending"),
        (1, "clean", "pending"),
        (2, "load", "miss"),
    ]
    assert [link["first"] for link in chain] == [False, False, True]
    screen = ran.doit("plan", "words:count", "--why").stdout.splitlines()
    assert screen[-1] == "first cause: load: the source changed"

    # A stage that misses because another's output is not what it read last: that one's own change is behind it.
    ran.run("words:clean")
    ran.run("words:clean", "--set", "clean.fold=false")
    chain = ran.doit("plan", "words:count", "--set", "clean.fold=false", "--why", "--json").json()
    assert [link["stage"] for link in chain["chain"]] == ["count", "load", "clean"]
    assert chain["chain"][2]["reason"] == "params.fold true → false"
    arguments = ("plan", "words:count", "--set", "clean.fold=false")
    hint = "hint: doit plan words:count --why tells what caused that"
    assert ran.doit(*arguments).stdout.splitlines()[-1] == hint
    assert "hint:" not in ran.doit("plan", "words:clean", "--set", "clean.fold=false").stdout
    assert [s["name"] for s in ran.doit("plan", "words:clean", "--json").json()["stages"]] == [
        *("load", "clean")
    ]
    hit = ran.doit("plan", "words:load", "--why").stdout
    assert hit.split() == ["load", "HIT", "unchanged"]


def test_a_plan_names_the_nearest_run_of_anyone(ran: Project) -> None:
    ran.run("words", "--set", "count.top=7", env={"USER": "ben", "LOGNAME": "ben"})
    ran.run("words", "--set", "count.top=9", "clean.fold=false")
    reason = ran.reasons("words", "--set", "count.top=8")["count"]
    assert "params.top 9 → 8" in reason
    nearest = reason.partition("; nearest run ")[2]
    assert " of ben: params.top 7 → 8" in nearest
