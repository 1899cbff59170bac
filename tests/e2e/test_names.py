"""`doit name`, and the commands and sources that take a name for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.projects import Project


def named(project: Project, *arguments: str) -> dict[str, str]:
    """`doit name … --json`; the runs that have the name, by stage."""
    record = project.doit("name", *arguments, "--json").json()
    return {stage: run["run"] for stage, run in record["runs"].items()}


def test_a_name_stands_for_runs_until_it_is_moved(ran: Project) -> None:
    first = ran.doit("run", "words", "--json").json()["stages"]
    runs = {stage["name"]: stage["run"] for stage in first}
    path = ran.output("words:count")
    assert named(ran, "words", "production", "--note", "the first") == runs
    ran.run("words", "--set", "clean.fold=false")

    assert ran.output("words@production") == ran.output("words:count@production") == path
    assert ran.doit("show", "words@production", "--json").json()["run"] == runs["count"]
    assert ran.doit("pull", "words@production").code == 0
    place = ran.root / "pull/words"
    assert ran.contents(place / "count/output") == ran.contents(path)
    assert ran.contents(place / "count/input") == ran.contents(place / "clean/output")

    moved = ran.doit("name", "words:clean", "production", "--note", "only this")
    assert "was " in moved.stdout
    assert "(the first)" in moved.stdout
    listed = ran.doit("name", "--list", "--json").json()["names"]
    assert [record["name"] for record in listed] == ["production"]
    assert [change["note"] for change in listed[0]["changes"]] == ["the first", "only this"]
    assert {s for s, run in listed[0]["runs"].items() if run["run"] != runs[s]} == {"clean"}

    assert named(ran, "words@production", "baseline")["count"] == runs["count"]
    assert named(ran, "--remove", "words", "production") == {}
    assert "has the name 'production'" in ran.doit("path", "words@production").complaint()


def test_a_pipeline_reads_a_run_by_its_name(ran: Project) -> None:
    named(ran, "words", "production")
    ran.pipeline(
        "after",
        {"component": "text/clean", "params": {"fold": False}},
        source="words:load@production",
    )
    assert ran.run("after") == {"clean": "run"}
    record = ran.doit("show", "after:clean", "--json").json()
    [read] = record["inputs"]
    assert read["origin"] == "words:load@production"
    assert read["final_origin"] in str(ran.output("words:load"))

    # Neither a name that leads to the same output nor another name is another input.
    ran.doit("run", "words", "--force", "load")
    named(ran, "words", "production")
    assert ran.plan("after") == {"clean": "hit"}
    named(ran, "words", "candidate")
    assert ran.plan("after", "--source", "words:load@candidate") == {"clean": "hit"}

    ran.write("corpus.txt", "quite another text\n")
    ran.run("words")
    assert ran.plan("after") == {"clean": "hit"}
    named(ran, "words", "production")
    assert ran.plan("after") == {"clean": "miss"}
    assert "the source changed" in ran.reasons("after")["clean"]


def test_a_name_is_that_of_the_pipeline_that_was_typed(ran: Project) -> None:
    runs = named(ran, "words", "production")
    ran.pipeline("again", "text/load", "text/clean")
    assert set(ran.run("again").values()) == {"hit"}
    expected = {stage: runs[stage] for stage in ("load", "clean")}
    assert named(ran, "again", "production", "--note", "one\ntwo") == expected
    assert "(one\\ntwo)" in ran.doit("name", "again", "production").stdout
    listed = ran.doit("name", "--list", "--json").json()["names"]
    assert {r["pipeline"]: len(r["runs"]) for r in listed} == {"again": 2, "words": len(runs)}
    assert ran.output("again@production") == ran.output("words:clean@production")
    assert ran.doit("name", "--list", "nothing").stdout == "no run of nothing has a name\n"
    assert ran.doit("name", "--list", "again", "x").stdout == "no run of again has the name 'x'\n"


def test_a_name_is_compared_with_another(ran: Project) -> None:
    first = named(ran, "words", "baseline")["clean"]
    ran.run("words", "--set", "clean.fold=false")
    second = named(ran, "words", "production")["clean"]
    compared = ran.doit("diff", "words:clean@baseline", "words:clean@production", "--json").json()
    assert (compared["first"], compared["second"]) == (first, second)
    assert compared["parameters"] == [{"name": "fold", "before": True, "after": False}]
    last = ran.doit("diff", "words@baseline", "words@production", "--json").json()
    assert last["stages"] == ["words:count", "words:count"]
    complaint = ran.doit("diff", "words@baseline").complaint()
    assert "with which run?" in complaint


def test_what_cannot_be_named_is_said(ran: Project) -> None:
    for arguments, complaint in (
        (("words",), "give what to name, and the name"),
        (("words", "a/b"), "'a/b' cannot be a name"),
        (("words", ".a"), "hint: a letter or digit, then letters"),
        (("words", "n" * 256), "255 at most"),
        (("words:nothing", "x"), "there are: clean, count, load"),
        (("nothing", "x"), "there is no pipeline 'nothing'"),
        (("wrods", "x"), "did you mean 'words'?"),
        (("wrods:count", "x"), "did you mean 'words'?"),
        (("wrods@first", "x"), "did you mean 'words'?"),
        (("--remove", "words", "x"), "no run of words has the name 'x'"),
        (("words", "x", "--note", "n" * 2000), "--note: 2000 characters"),
    ):
        assert complaint in ran.doit("name", *arguments).complaint()
    assert "cannot change it" in ran.doit("path", "words@x", "--set", "a.b=1").complaint()
    ran.run("words", "--set", "count.top=7")
    assert ran.doit("gc", "--older-than", "0s", "--yes").code == 0
    assert "was collected" in ran.doit("name", "words", "x").complaint()
