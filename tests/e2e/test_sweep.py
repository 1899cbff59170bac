"""`doit run --sweep`: every combination has a directory of its own, and one that fails stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.projects import Project

BODY = """\
if arguments.n == "2":
    sys.exit("two is too much")
(output / "n").write_text(arguments.n)
"""


def test_a_combination_that_fails_stops_no_other(project: Project) -> None:
    project.component("odd/pick", BODY, n={"type": "int", "default": 0})
    project.pipeline("swept", "text/load", "odd/pick", output="output/swept")
    project.run("swept")

    finished = project.doit("run", "swept", "--sweep", "pick.n=1,2,3", "-n", "2")

    assert finished.code == 1
    assert "two is too much" in finished.stdout + finished.stderr
    # No run has metrics: the table is of the combinations that failed.
    end = finished.stdout.splitlines()[-2:]
    assert [line.split() for line in end] == [
        ["run", "stage", "commit", "differs", "in"],
        ["no", "output", "pick", "-", "pick.n=2"],
    ]
    outputs = project.contents(project.root / "output")
    assert {path: text for path, text in outputs.items() if not path.endswith(".json")} == {
        "swept/n": b"0",
        "swept.sweep/n=1/n": b"1",
        "swept.sweep/n=3/n": b"3",
    }
    # The load is shared, and each combination is a run of the plain stage.
    assert project.executed("swept") == ["load", "pick", "pick", "pick", "pick"]
    runs = project.doit("history", "swept:pick", "--json").json()["runs"]
    assert sorted((run["parameters"]["n"], run["result"]) for run in runs) == [
        (0, "succeeded"),
        (1, "succeeded"),
        (2, "failed"),
        (3, "succeeded"),
    ]
    assert project.run("swept", "--set", "pick.n=3") == {"load": "hit", "pick": "hit"}


COPIED = """\
import shutil
shutil.copy(input / "metrics.json", output)
"""


def test_what_survives_of_a_sweep_names_its_combination(project: Project) -> None:
    project.component("odd/pick", BODY + MEASURED, n={"type": "int", "default": 0})
    project.component("odd/copy", COPIED)
    project.pipeline("swept", "text/load", "odd/pick", "odd/copy", output="output/swept")

    finished = project.doit("run", "swept", "--sweep", "pick.n=2,3")

    assert finished.code == 1
    table = [line.split() for line in finished.stdout.splitlines() if " copy " in line]
    assert table[-1][-1] == "pick.n=3"
    assert finished.stdout.splitlines()[-1].split() == [
        "no",
        "output",
        "pick",
        "-",
        "-",
        "pick.n=2",
    ]
    shown = project.doit("show", "output/swept.sweep/n=3", "--json").json()["runs"][""]
    assert (shown["stage"], shown["combination"]) == ("copy", {"pick.n": 3})
    page = project.doit("show", "output/swept.sweep/n=3").stdout
    assert page.splitlines()[1:3] == ["combination", "  pick.n  3"]


MEASURED = """\
(output / "metrics.json").write_text('{"loss": ' + arguments.n + "}")
"""


def test_a_sweep_ends_with_the_stage_that_is_named_and_its_table_with_the_best(
    project: Project,
) -> None:
    project.component("odd/pick", MEASURED, n={"type": "int", "default": 0})
    project.component("odd/after", '(output / "never").touch()')
    project.pipeline("swept", "text/load", "odd/pick", "odd/after", output="output/swept")
    sweep = ("--sweep", "pick.n=2,1,3")

    finished = project.doit("run", "swept:pick", *sweep, "--metric=loss", "--lowest")

    assert finished.code == 0
    assert project.executed("swept") == ["load", "pick", "pick", "pick"]
    assert not (project.root / "output").exists()
    table = [line.split() for line in finished.stdout.splitlines() if " pick " in line]
    assert [cells[2] for cells in table[-3:]] == ["1", "2", "3"]

    alone = project.doit("run", "swept", "--only", "pick", "--sweep", "pick.n=4,5")
    assert alone.code == 0
    assert project.executed("swept").count("load") == 1
    assert project.executed("swept").count("pick") == 5

    for words, complaint in (
        (("swept:load", *sweep), "no value of --sweep reaches the stage load"),
        (("swept", "--only=after", "--sweep=pick.n=6"), "the store has no output of pick[n=6]"),
        (("swept:pick", "--pdb", *sweep), "--pdb is for one stage"),
        (("swept", "--lowest"), "--metric and --lowest rank the combinations of a --sweep"),
    ):
        assert complaint in project.doit("run", *words).complaint()


def test_a_directory_says_which_run_it_is_of(ran: Project) -> None:
    [run] = ran.doit("history", "words:count", "--json").json()["runs"]

    shown = ran.doit("show", "output/words", "--json").json()
    origin = shown["runs"][""]
    assert (shown["changed"], origin["run"], origin["commit"]) == (False, run["run"], run["commit"])
    assert origin["parameters"] == run["parameters"]
    page = ran.doit("show", "output/words").stdout
    assert page.splitlines()[0] == "output/words is the output of"
    assert f"run          {run['run']}" in page

    (ran.root / "output/words/counts.csv").write_text("edited\n")
    edited = ran.doit("show", "output/words")
    assert edited.stderr == "warning: files in output/words have changed since they were copied\n"
    away = ran.at(ran.root, DAINTREE_STORE=str(ran.root.parent / "another store"))
    lines = away.doit("show", "output/words").stdout.splitlines()
    assert lines[1] == f"run     {run['run']} (which this store does not have)"
    assert (
        "no run's output was copied to output/other" in ran.doit("show", "output/other").complaint()
    )
