"""What is believed of a stored output without reading it, and what is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from daintree.digest import digest_files
from daintree.errors import ArtifactDamaged
from daintree.store import integrity as stamp_module
from daintree.store.integrity import (
    StoredArtifact,
    hash_artifact,
    looks_whole,
    signatures_of,
    verify,
    write_stamp,
)
from daintree.store.layout import STAMP
from daintree.store.records import SCHEMA, Artifact
from tests.contract.runs import FILES, fill

Read = list[str]


@pytest.fixture
def stored(tmp_path: Path) -> StoredArtifact:
    """FILES as a store keeps them, with a record and no stamp."""
    fill(tmp_path / "kept/output", FILES)
    (tmp_path / "kept/run.json").write_text("{}")
    return StoredArtifact(str(tmp_path / "kept"), "run.json")


@pytest.fixture
def artifact(stored: StoredArtifact) -> Artifact:
    """The artifact that they are."""
    return hash_artifact(Path(stored.output))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The names of the files that were read, sorted, once the test has emptied it."""
    names: Read = []

    def noted(paths: Iterable[Path]) -> list[str]:
        ordered = list(paths)
        names.extend(path.name for path in ordered)
        return digest_files(ordered)

    monkeypatch.setattr(stamp_module, "digest_files", noted)
    return names


def stamp_of(stored: StoredArtifact) -> Path:
    return Path(stored.directory, STAMP)


def settle(stored: StoredArtifact) -> None:
    """Let the stamp be newer than all it speaks of."""
    times = stamp_of(stored).stat()
    os.utime(stamp_of(stored), ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))


def stamped(stored: StoredArtifact, artifact: Artifact) -> None:
    write_stamp(stored, artifact, "", signatures_of(stored))
    settle(stored)


def alter(stored: StoredArtifact, name: str, content: bytes) -> None:
    """Write in place, with the times set back."""
    path = Path(stored.output, name)
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_never_stamped_does_not_look_whole(
    stored: StoredArtifact, artifact: Artifact
) -> None:
    assert not looks_whole(stored, artifact.digest)


def test_what_is_as_it_was_stamped_looks_whole(stored: StoredArtifact, artifact: Artifact) -> None:
    stamped(stored, artifact)
    assert looks_whole(stored, artifact.digest)
    assert not looks_whole(stored, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: alter(stored, "a.csv", b"x\n2\n"),
        lambda stored: Path(stored.output, "a.csv").unlink(),
        lambda stored: Path(stored.output, "more").touch(),
        lambda stored: Path(stored.output, "a.csv").chmod(0o400),
        lambda stored: Path(stored.directory, "run.json").write_text("[]"),
        lambda stored: Path(stored.directory, "run.json").unlink(),
        lambda stored: shutil.rmtree(stored.output),
        lambda stored: stamp_of(stored).unlink(),
        lambda stored: stamp_of(stored).write_bytes(b""),
        lambda stored: stamp_of(stored).write_bytes(stamp_of(stored).read_bytes()[:-20]),
        lambda stored: stamp_of(stored).write_bytes(b"[99" + stamp_of(stored).read_bytes()[2:]),
    ],
)
def test_any_change_is_seen(
    stored: StoredArtifact, artifact: Artifact, change: Callable[[StoredArtifact], object]
) -> None:
    stamped(stored, artifact)
    change(stored)
    assert not looks_whole(stored, artifact.digest)


def test_the_stamp_says_what_it_always_said(stored: StoredArtifact, artifact: Artifact) -> None:
    write_stamp(stored, artifact, "", signatures_of(stored))
    stamp = msgspec.json.decode(stamp_of(stored).read_bytes())
    files = {path: Path(stored.output, path).stat() for path in FILES}
    signatures = {
        path: [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        for path, status in files.items()
    }
    record = Path(stored.directory, "run.json").stat()
    newest = max(status.st_ctime_ns for status in files.values())
    del stamp["checksum"]
    assert stamp == {
        "kind": "stamp",
        "schema": SCHEMA,
        "digest": artifact.digest,
        "record": "",
        "record_file": [record.st_size, record.st_mtime_ns, record.st_ctime_ns, record.st_ino],
        "newest_ns": newest,
        "files": signatures,
    }


def test_the_first_look_reads_all_and_the_next_nothing(
    stored: StoredArtifact, artifact: Artifact, read: Read
) -> None:
    verify(stored, artifact, artifact.digest, thorough=False)
    assert sorted(read) == ["a.csv", "b.csv", "empty"]
    read.clear()
    settle(stored)
    assert looks_whole(stored, artifact.digest)
    verify(stored, artifact, artifact.digest, thorough=False)
    assert read == []


def test_only_what_differs_is_read(stored: StoredArtifact, artifact: Artifact, read: Read) -> None:
    stamped(stored, artifact)
    alter(stored, "a.csv", FILES["a.csv"])
    verify(stored, artifact, artifact.digest, thorough=False)
    assert read == ["a.csv"]
    settle(stored)
    assert looks_whole(stored, artifact.digest)


def test_a_thorough_look_reads_all(stored: StoredArtifact, artifact: Artifact, read: Read) -> None:
    stamped(stored, artifact)
    verify(stored, artifact, artifact.digest, thorough=True)
    assert sorted(read) == ["a.csv", "b.csv", "empty"]


def test_a_stamp_as_old_as_the_last_change_proves_nothing(
    stored: StoredArtifact, artifact: Artifact, read: Read
) -> None:
    # As if it had been altered after its signature was taken, in the same tick of the clock.
    alter(stored, "a.csv", b"x\n2\n")
    write_stamp(stored, artifact, "", signatures_of(stored))
    newest = Path(stored.output, "a.csv").stat().st_ctime_ns
    os.utime(stamp_of(stored), ns=(newest, newest))
    assert not looks_whole(stored, artifact.digest)
    with pytest.raises(ArtifactDamaged, match=r"a\.csv is damaged"):
        verify(stored, artifact, artifact.digest, thorough=False)
    assert read == ["a.csv"]

    os.utime(stamp_of(stored), ns=(newest + 1, newest + 1))
    assert looks_whole(stored, artifact.digest), "the clock had moved on: it is believed"


def test_a_copy_of_a_store_is_read_once(
    stored: StoredArtifact, artifact: Artifact, read: Read
) -> None:
    stamped(stored, artifact)
    copy = StoredArtifact(stored.directory + "-copy", "run.json")
    shutil.copytree(stored.directory, copy.directory)
    assert not looks_whole(copy, artifact.digest)
    verify(copy, artifact, artifact.digest, thorough=False)
    assert sorted(read) == ["a.csv", "b.csv", "empty"]
    settle(copy)
    assert looks_whole(copy, artifact.digest)


@pytest.mark.parametrize(
    ("change", "file", "message"),
    [
        (
            lambda stored: Path(stored.output, "a.csv").unlink(),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda stored: shutil.rmtree(stored.output),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda stored: os.rename(stored.output + "/a.csv", stored.output + "/A.csv"),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda stored: (shutil.rmtree(stored.output), Path(stored.output).touch()),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda stored: alter(stored, "a.csv", b"x\n2\n"),
            "a.csv",
            "output file a.csv is damaged in the store",
        ),
        (
            lambda stored: os.truncate(stored.output + "/a.csv", 1),
            "a.csv",
            "output file a.csv is damaged in the store",
        ),
        (
            lambda stored: (
                os.unlink(stored.output + "/empty"),
                os.mkfifo(stored.output + "/empty"),
            ),
            "empty",
            "output file empty is damaged in the store",
        ),
        (
            lambda stored: Path(stored.output, "deep/more").touch(),
            "deep/more",
            "output file deep/more is damaged in the store: no run wrote it",
        ),
        (
            lambda stored: Path(stored.directory, "run.json").unlink(),
            "run.json",
            "record run.json missing from the store",
        ),
        (
            lambda stored: (shutil.rmtree(stored.directory), Path(stored.directory).touch()),
            "run.json",
            "record run.json missing from the store",
        ),
    ],
)
def test_damage_is_named(
    stored: StoredArtifact,
    artifact: Artifact,
    change: Callable[[StoredArtifact], object],
    file: str,
    message: str,
) -> None:
    stamped(stored, artifact)
    change(stored)
    with pytest.raises(ArtifactDamaged) as raised:
        verify(stored, artifact, artifact.digest, thorough=False)
    assert raised.value.message == message
    assert raised.value.file == file
    assert raised.value.kind == ("missing" if "missing" in message else "damaged")


def test_a_link_to_the_same_bytes_is_damage(
    stored: StoredArtifact, artifact: Artifact, tmp_path: Path
) -> None:
    path = Path(stored.output, "a.csv")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactDamaged, match=r"a\.csv is damaged"):
        verify(stored, artifact, artifact.digest, thorough=True)


@pytest.mark.parametrize("unread", [True, False])
def test_a_record_of_something_else_is_not_believed(
    stored: StoredArtifact, artifact: Artifact, unread: bool
) -> None:
    forged = msgspec.structs.replace(artifact, files=artifact.files[:1])
    with pytest.raises(ArtifactDamaged, match=r"record run\.json is damaged in the store"):
        verify(stored, None if unread else forged, artifact.digest, thorough=False)


def test_damage_leaves_the_stamp_as_it_was(stored: StoredArtifact, artifact: Artifact) -> None:
    stamped(stored, artifact)
    before = stamp_of(stored).read_bytes()
    alter(stored, "a.csv", b"x\n2\n")
    for _ in range(2):
        with pytest.raises(ArtifactDamaged):
            verify(stored, artifact, artifact.digest, thorough=True)
    assert stamp_of(stored).read_bytes() == before


def test_a_stamp_that_cannot_be_written_is_done_without(
    stored: StoredArtifact, artifact: Artifact, read: Read
) -> None:
    stamp_of(stored).mkdir()
    for _ in range(2):
        verify(stored, artifact, artifact.digest, thorough=False)
    assert len(read) == 2 * len(FILES)
    assert sorted(os.listdir(stored.directory)) == ["output", "run.json", STAMP]


def test_a_large_artifact_is_not_read_again_by_the_first_to_look(tmp_path: Path) -> None:
    fill(tmp_path / "output", {"large": bytes(stamp_module.SETTLE_FROM_BYTES)})
    (tmp_path / "run.json").touch()
    stored = StoredArtifact(str(tmp_path), "run.json")
    artifact = hash_artifact(tmp_path / "output")
    write_stamp(stored, artifact, "", signatures_of(stored))
    assert looks_whole(stored, artifact.digest)
