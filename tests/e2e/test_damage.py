"""A stored output that is not what was stored is never believed; it is said aloud and repaired."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}


def writable(file: Path) -> Path:
    file.parent.chmod(0o755)
    file.chmod(0o644)
    return file


def delete(file: Path) -> None:
    writable(file).unlink()


def truncate(file: Path) -> None:
    os.truncate(writable(file), 3)


def lengthen(file: Path) -> None:
    with open(writable(file), "ab") as writer:
        writer.write(b"\n")


def flip_one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[1] ^= 1
    writable(file).write_bytes(content)


def flip_one_byte_and_restore_the_times(file: Path) -> None:
    status = file.stat()
    flip_one_byte(file)
    file.chmod(status.st_mode)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_a_link(file: Path) -> None:
    original = file.rename(writable(file).with_name("elsewhere"))
    file.symlink_to(original)


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (delete, "missing"),
    (truncate, "damaged"),
    (lengthen, "damaged"),
    (flip_one_byte, "damaged"),
    (flip_one_byte_and_restore_the_times, "damaged"),
    (replace_by_a_link, "damaged"),
]
each_damage = pytest.mark.parametrize(
    ("damage", "word"), DAMAGE, ids=[d.__name__ for d, _ in DAMAGE]
)


def warnings(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("warning: ")]


@each_damage
def test_on_a_no_op_it_is_said_recomputed_and_repaired(
    ran: Project, damage: Callable[[Path], None], word: str
) -> None:
    output = ran.outputs("words")["clean"]
    before = ran.contents(output)
    damage(output / "lines.txt")

    planned = ran.doit("plan", "words", "--json").json()["stages"]
    finished = ran.doit("run", "words")

    assert [stage["status"] for stage in planned] == ["hit", "miss", "pending"]
    assert word in planned[1]["reason"]
    assert finished.code == 0
    [warning] = warnings(finished.stderr)
    assert word in warning
    assert "clean" in warning
    assert "lines.txt" in warning
    assert ran.contents(ran.outputs("words")["clean"]) == before
    assert ran.executed() == ["clean", "clean", "count", "load"]


@each_damage
def test_it_is_never_handed_on(ran: Project, damage: Callable[[Path], None], word: str) -> None:
    outputs = ran.outputs("words")
    expected = ran.contents(outputs["count"])
    damage(outputs["clean"] / "lines.txt")

    finished = ran.doit("run", "words", "--force", "count")

    assert finished.code == 0, finished.stderr
    assert word in warnings(finished.stderr)[0]
    assert ran.contents(ran.outputs("words")["count"]) == expected
    assert ran.executed() == ["clean", "clean", "count", "count", "load"]


@each_damage
def test_it_is_never_copied_to_the_output(
    ran: Project, damage: Callable[[Path], None], word: str
) -> None:
    damage(ran.output("words:count") / "counts.csv")
    target = ran.root.parent / "copied"

    finished = ran.doit("run", "words", "--output", target)

    assert word in warnings(finished.stderr)[0]
    assert ran.contents(target) == {"counts.csv": b"word,count\nthe,4\na,3\nand,2\n"}


def test_a_path_is_printed_only_of_what_is_whole(ran: Project) -> None:
    delete(ran.output("words:clean") / "lines.txt")

    complaint = ran.doit("path", "words:clean").complaint()

    assert "output file lines.txt missing from the store" in complaint
    assert "hint: doit run words:clean" in complaint


def test_a_strange_file_among_the_output_is_noticed(ran: Project) -> None:
    output = ran.output("words:clean")
    writable(output / "lines.txt")
    (output / "zzz.txt").write_text("strange\n")

    finished = ran.doit("run", "words", "--set", "count.top=1")

    assert finished.code == 0
    assert "zzz.txt" in warnings(finished.stderr)[0]
    assert ran.contents(ran.output("words:count", "--set", "count.top=1")) == {
        "counts.csv": b"word,count\nthe,4\n"
    }


def test_every_stage_damaged_at_once_is_repaired(ran: Project) -> None:
    outputs = ran.outputs("words")
    expected = {stage: ran.contents(path) for stage, path in outputs.items()}
    for path in outputs.values():
        for file in path.iterdir():
            flip_one_byte(file)

    finished = ran.doit("run", "words")

    assert finished.code == 0
    assert len(warnings(finished.stderr)) == 3
    assert {stage: ran.contents(path) for stage, path in ran.outputs("words").items()} == expected
    assert len(ran.executed()) == 6


def run_directory(project: Project, target: str) -> Path:
    return project.output(target).parent


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"schema": 99}'])
def test_a_run_without_its_manifest_is_no_hit(ran: Project, content: bytes | None) -> None:
    manifest = run_directory(ran, "words:clean") / "run.json"
    delete(manifest)
    if content is not None:
        manifest.write_bytes(content)

    finished = ran.doit("run", "words")

    assert finished.code == 0, finished.stderr
    assert "clean" in warnings(finished.stderr)[0]
    assert ran.run("words") == ALL_HITS
    assert ran.executed().count("count") == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_index_records_are_misses_and_made_anew(ran: Project, content: bytes) -> None:
    store = Path(ran.environ["DAINTREE_STORE"])
    records = [path for path in (store / "_cache").rglob("*") if path.is_file()]
    assert len(records) >= 6
    for record in records:
        writable(record).write_bytes(content)

    assert ran.run("words") == {"load": "run", "clean": "run", "count": "run"}
    assert ran.run("words") == ALL_HITS


def test_index_records_of_a_newer_version_are_misses_with_a_warning_and_stay(ran: Project) -> None:
    store = Path(ran.environ["DAINTREE_STORE"])
    records = [path for path in (store / "_cache").rglob("*") if path.is_file()]
    assert len(records) == 6
    for record in records:
        writable(record).write_bytes(b'{"schema": 99}')

    for _ in range(2):
        finished = ran.doit("run", "words", "--json")
        assert finished.statuses() == {"load": "run", "clean": "run", "count": "run"}
        for record in records:
            place = f"warning: {record.relative_to(store)} in {store} was made by a newer version"
            assert finished.stderr.count(f"{place} (schema 99): it counts for nothing") == 1
    assert {record.read_bytes() for record in records} == {b'{"schema": 99}'}


def test_a_store_emptied_is_a_store_made_anew(ran: Project) -> None:
    refusal = ran.doit("store", "--empty").complaint()
    assert "this would remove 3 runs" in refusal
    assert ran.run("words") == ALL_HITS

    assert ran.doit("store", "--empty", "--yes").code == 0
    assert ran.doit("store", "--json").json()["runs"] == 0
    assert ran.plan("words") == {"load": "miss", "clean": "pending", "count": "pending"}
    assert ran.reasons("words")["load"] == "no run recorded"
