"""A finalized output is what was hashed, has no other name, and is read-only."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from daintree.digest import digest_files
from daintree.errors import ArtifactRejected
from daintree.store import integrity as integrity
from daintree.store.integrity import DIRECTORY_MODE, FILE_MODE, finalize, hash_artifact
from daintree.store.records import Artifact
from tests.contract.runs import FILES, contents, fill


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A directory with FILES in it; `scratch` is beside it."""
    directory = tmp_path / "output"
    directory.mkdir()
    (tmp_path / "scratch").mkdir()
    fill(directory, FILES)
    return directory


def finalize_it(output: Path, artifact: Artifact) -> None:
    finalize(output, artifact, output.parent / "scratch")


def read_again(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = list) -> list[str]:
    """The names of the files that `finalize` reads, in the end; `then` is done right after it has read them."""
    read: list[str] = []

    def noted(paths: list[Path]) -> list[str]:
        read.extend(path.name for path in paths)
        digests = digest_files(paths)
        then()
        return digests

    monkeypatch.setattr(integrity, "digest_files", noted)
    return read


def test_files_are_read_only_and_directories_can_be_listed(output: Path) -> None:
    (output / "deep").chmod(0o700)
    (output / "a.csv").chmod(0o600)
    finalize_it(output, hash_artifact(output))
    for path in [output, *output.rglob("*")]:
        mode = DIRECTORY_MODE if path.is_dir() else FILE_MODE
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    assert contents(output) == FILES


def test_what_this_process_has_hashed_is_not_read_again(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = hash_artifact(output)
    read = read_again(monkeypatch)
    finalize_it(output, artifact)
    assert read == []


def test_what_was_touched_since_is_read_again(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = hash_artifact(output)
    os.utime(output / "a.csv", (0, 0))
    read = read_again(monkeypatch)
    finalize_it(output, artifact)
    assert read == ["a.csv"]


def test_a_file_with_another_name_is_copied(output: Path, tmp_path: Path) -> None:
    os.link(output / "a.csv", tmp_path / "another name")
    artifact = hash_artifact(output)
    finalize_it(output, artifact)
    with open(tmp_path / "another name", "ab") as other:
        other.write(b"written through the other name")
    assert contents(output) == FILES
    assert (output / "a.csv").stat().st_nlink == 1
    assert list((tmp_path / "scratch").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "another name").stat().st_mode) != FILE_MODE


def test_two_names_in_one_output_become_two_files(output: Path) -> None:
    os.link(output / "a.csv", output / "b.csv")
    finalize_it(output, hash_artifact(output))
    assert not (output / "a.csv").samefile(output / "b.csv")
    assert contents(output) == {**FILES, "b.csv": FILES["a.csv"]}


@pytest.mark.parametrize("name", ["a.csv", "more"])
def test_what_changed_is_named(output: Path, name: str) -> None:
    artifact = hash_artifact(output)
    (output / name).write_bytes(b"x\n2\n")
    with pytest.raises(ArtifactRejected) as raised:
        finalize_it(output, artifact)
    assert raised.value.message == f"{name!r} changed after it was hashed"
    assert raised.value.hint == "is a process that the stage has started still writing?"


def test_a_link_in_the_directorys_place_is_refused(output: Path, tmp_path: Path) -> None:
    artifact = hash_artifact(output)
    output.rename(tmp_path / "moved")
    output.symlink_to(tmp_path / "moved")
    with pytest.raises(ArtifactRejected, match="is no directory any more"):
        finalize_it(output, artifact)
    assert stat.S_IMODE((tmp_path / "moved/a.csv").stat().st_mode) != FILE_MODE


def test_what_is_written_after_it_was_hashed_is_refused(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = hash_artifact(output)
    os.utime(output / "a.csv", (0, 0))
    with open(output / "a.csv", "r+b", buffering=0) as still_open:
        read_again(monkeypatch, lambda: still_open.write(b"x"))
        with pytest.raises(ArtifactRejected, match=r"'a\.csv' changed after it was hashed"):
            finalize_it(output, artifact)
