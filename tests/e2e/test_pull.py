"""`doit pull`: a stage's last inputs and output, verified, whole, and nobody's files lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.projects import Project

COUNTS = {"counts.csv": b"word,count\nthe,4\na,3\nand,2\n"}


def pulled(project: Project, *arguments: str | Path) -> None:
    finished = project.doit("pull", *arguments)
    assert finished.code == 0, finished.stderr


def test_inputs_and_output_lie_in_the_project(ran: Project) -> None:
    finished = ran.doit("pull", "words:count")
    place = ran.root / "pull/words/count"
    assert finished.stdout.splitlines() == [
        f"{place}/input  1 file, 72 B",
        f"{place}/output  1 file, 27 B",
    ]
    assert ran.contents(place / "output") == COUNTS
    assert ran.contents(place / "input") == ran.contents(ran.output("words:clean"))


def test_they_may_go_to_another_directory(ran: Project, tmp_path: Path) -> None:
    pulled(ran, "words:count", "--to", tmp_path / "over there")
    assert ran.contents(tmp_path / "over there/output") == COUNTS


def test_an_older_run_is_copied_by_its_id(ran: Project) -> None:
    [before] = ran.doit("history", "words:count", "--json").json()["runs"]
    ran.run("words", "--set", "count.top=1")
    short = before["run"].rpartition("-")[2]
    pulled(ran, short)
    place = ran.root / "pull/words/count"
    assert ran.contents(place / "output") == COUNTS
    assert ran.contents(place / "input") == ran.contents(ran.output("words:clean"))
    assert "cannot change it" in ran.doit("pull", short, "--set", "count.top=1").complaint()
    assert "there is no run 'abcdef'" in ran.doit("pull", "abcdef").complaint()
    ran.component("odd/fail", "sys.exit(3)")
    ran.pipeline("broken", "odd/fail")
    assert ran.doit("run", "broken").code == 1
    [failed] = ran.doit("history", "broken", "--json").json()["runs"]
    assert "failed: it ended with exit code 3" in ran.doit("pull", failed["run"]).complaint()


def test_several_inputs_are_a_subdirectory_each(project: Project) -> None:
    project.run("diamond")
    pulled(project, "diamond:join")
    files = project.contents(project.root / "pull/diamond/join")
    assert sorted(files) == ["input/left/lines.txt", "input/right/lines.txt", "output/joined.txt"]


def test_a_first_stage_reads_the_source(ran: Project) -> None:
    pulled(ran, "words:load")
    files = ran.contents(ran.root / "pull/words/load")
    assert files["input/corpus.txt"] == (ran.root / "corpus.txt").read_bytes()
    assert sorted(files) == ["input/corpus.txt", "output/lines.txt"]


def test_a_source_that_is_a_directory_is_pulled_whole(project: Project, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        (source / name).write_text(f"{name}\n")
    pulled(project, "words:load", "--source", source)
    assert project.contents(project.root / "pull/words/load/input") == project.contents(source)


def test_after_an_edit_the_last_output_is_still_there(ran: Project) -> None:
    ran.write("components/text/count/main.py", "broken\n")
    pulled(ran, "words:count")
    assert ran.contents(ran.root / "pull/words/count/output") == COUNTS


def test_on_new_inputs_there_is_no_output_yet(ran: Project) -> None:
    ran.run("words:clean", "--set", "clean.fold=false")
    finished = ran.doit("pull", "words:count", "--set", "clean.fold=false")
    assert "no run of words:count on these inputs is recorded" in finished.stderr
    place = ran.root / "pull/words/count"
    assert [path.name for path in place.iterdir()] == ["input"]
    assert b"The" in ran.contents(place / "input")["lines.txt"]


def test_where_the_inputs_are_missing_it_takes_those_of_the_last_run(ran: Project) -> None:
    before = ran.contents(ran.output("words:clean"))
    ran.write("corpus.txt", "quite another text\n")
    pulled(ran, "words:count")
    place = ran.root / "pull/words/count"
    assert ran.contents(place / "input") == before
    assert ran.contents(place / "output") == COUNTS


def test_nothing_to_pull_is_said(project: Project) -> None:
    complaint = project.doit("pull", "words:count").complaint()
    assert "words:count has never run, and the store has no output of clean" in complaint
    assert "hint: doit run words:clean" in complaint


def test_of_a_whole_pipeline_it_takes_the_outputs(ran: Project) -> None:
    finished = ran.doit("pull", "words")
    place = ran.root / "pull/words"
    assert finished.stdout.splitlines() == [
        f"{place}/load/output  1 file, 72 B",
        f"{place}/clean/output  1 file, 72 B",
        f"{place}/count/output  1 file, 27 B",
    ]
    for stage in ("load", "clean", "count"):
        assert ran.contents(place / stage / "output") == ran.contents(ran.output(f"words:{stage}"))


def test_of_a_whole_pipeline_what_would_be_computed_is_left_out_and_said(
    ran: Project, tmp_path: Path
) -> None:
    ran.write("components/text/count/main.py", "broken\n")
    finished = ran.doit("pull", "words", "--to", tmp_path / "there")
    assert finished.code == 0
    assert "words:count has no output in the store: doit run words" in finished.stderr
    assert sorted(path.name for path in (tmp_path / "there").iterdir() if path.is_dir()) == [
        "clean",
        "load",
    ]


def test_a_pipeline_that_never_ran_has_nothing_to_pull(project: Project) -> None:
    complaint = project.doit("pull", "words").complaint()
    assert "the store has no output of words as it is now" in complaint
    assert "hint: doit run words" in complaint


def test_a_stage_must_be_one_of_the_pipeline_s(project: Project) -> None:
    complaint = project.doit("pull", "words:cuont").complaint()
    assert "pipeline 'words' has no stage 'cuont'" in complaint
    assert "hint: did you mean 'count'?" in complaint


def test_files_of_others_are_never_touched(ran: Project) -> None:
    mine = ran.write("pull/words/count/notes.txt", "mine")
    complaint = ran.doit("pull", "words:count").complaint()
    assert "holds 'notes.txt', which no run has put there" in complaint
    assert "--to" in complaint
    assert mine.read_text() == "mine"
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]


def test_pulling_again_replaces_what_was_pulled(ran: Project) -> None:
    pulled(ran, "words:count")
    ran.run("words", "--set", "count.top=1")
    pulled(ran, "words:count", "--set", "count.top=1")
    assert ran.contents(ran.root / "pull/words/count/output") == {
        "counts.csv": b"word,count\nthe,4\n"
    }


def test_damaged_files_are_not_handed_out(ran: Project) -> None:
    file = ran.output("words:clean") / "lines.txt"
    file.chmod(0o644)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    finished = ran.doit("pull", "words:count")
    assert finished.code == 1
    assert "lines.txt is damaged" in finished.stderr
    assert not (ran.root / "pull/words/count").exists()


def test_a_run_whose_input_is_gone_is_said(ran: Project) -> None:
    shutil.rmtree(ran.output("words:clean").parent)
    complaint = ran.doit("pull", "words:count").complaint()
    assert "the input clean of run" in complaint
    assert "is gone from the store" in complaint
    assert "hint: doit run words:clean" in complaint
