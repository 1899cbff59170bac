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
from daintree.store.integrity import Kept, hash_artifact, looks_whole, verify, write_stamp
from daintree.store.layout import STAMP
from daintree.store.records import SCHEMA, Artifact
from tests.contract.runs import FILES, fill

Read = list[str]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """FILES as a store keeps them, with a record and no stamp."""
    fill(tmp_path / "kept/output", FILES)
    (tmp_path / "kept/run.json").write_text("{}")
    return Kept(str(tmp_path / "kept"), "run.json")


@pytest.fixture
def artifact(kept: Kept) -> Artifact:
    """The artifact that they are."""
    return hash_artifact(Path(kept.output))


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


def stamp_of(kept: Kept) -> Path:
    return Path(kept.directory, STAMP)


def settle(kept: Kept) -> None:
    """Let the stamp be newer than all it speaks of."""
    times = stamp_of(kept).stat()
    os.utime(stamp_of(kept), ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))


def stamped(kept: Kept, artifact: Artifact) -> None:
    write_stamp(kept, artifact)
    settle(kept)


def alter(kept: Kept, name: str, content: bytes) -> None:
    """Write in place, with the times set back."""
    path = Path(kept.output, name)
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_never_stamped_does_not_look_whole(kept: Kept, artifact: Artifact) -> None:
    assert not looks_whole(kept, artifact.digest)


def test_what_is_as_it_was_stamped_looks_whole(kept: Kept, artifact: Artifact) -> None:
    stamped(kept, artifact)
    assert looks_whole(kept, artifact.digest)
    assert not looks_whole(kept, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: alter(kept, "a.csv", b"x\n2\n"),
        lambda kept: Path(kept.output, "a.csv").unlink(),
        lambda kept: Path(kept.output, "more").touch(),
        lambda kept: Path(kept.output, "a.csv").chmod(0o400),
        lambda kept: Path(kept.directory, "run.json").write_text("[]"),
        lambda kept: Path(kept.directory, "run.json").unlink(),
        lambda kept: shutil.rmtree(kept.output),
        lambda kept: stamp_of(kept).unlink(),
        lambda kept: stamp_of(kept).write_bytes(b""),
        lambda kept: stamp_of(kept).write_bytes(stamp_of(kept).read_bytes()[:-20]),
        lambda kept: stamp_of(kept).write_bytes(b"[99" + stamp_of(kept).read_bytes()[2:]),
    ],
)
def test_any_change_is_seen(
    kept: Kept, artifact: Artifact, change: Callable[[Kept], object]
) -> None:
    stamped(kept, artifact)
    change(kept)
    assert not looks_whole(kept, artifact.digest)


def test_the_stamp_says_what_it_always_said(kept: Kept, artifact: Artifact) -> None:
    write_stamp(kept, artifact)
    stamp = msgspec.json.decode(stamp_of(kept).read_bytes())
    files = {path: Path(kept.output, path).stat() for path in FILES}
    signatures = {
        path: [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        for path, status in files.items()
    }
    record = Path(kept.directory, "run.json").stat()
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
    kept: Kept, artifact: Artifact, read: Read
) -> None:
    verify(kept, artifact, artifact.digest, thorough=False)
    assert sorted(read) == ["a.csv", "b.csv", "empty"]
    read.clear()
    settle(kept)
    assert looks_whole(kept, artifact.digest)
    verify(kept, artifact, artifact.digest, thorough=False)
    assert read == []


def test_only_what_differs_is_read(kept: Kept, artifact: Artifact, read: Read) -> None:
    stamped(kept, artifact)
    alter(kept, "a.csv", FILES["a.csv"])
    verify(kept, artifact, artifact.digest, thorough=False)
    assert read == ["a.csv"]
    settle(kept)
    assert looks_whole(kept, artifact.digest)


def test_a_thorough_look_reads_all(kept: Kept, artifact: Artifact, read: Read) -> None:
    stamped(kept, artifact)
    verify(kept, artifact, artifact.digest, thorough=True)
    assert sorted(read) == ["a.csv", "b.csv", "empty"]


def test_a_stamp_as_old_as_the_last_change_proves_nothing(
    kept: Kept, artifact: Artifact, read: Read
) -> None:
    # As if it had been altered after its signature was taken, in the same tick of the clock.
    alter(kept, "a.csv", b"x\n2\n")
    write_stamp(kept, artifact)
    newest = Path(kept.output, "a.csv").stat().st_ctime_ns
    os.utime(stamp_of(kept), ns=(newest, newest))
    assert not looks_whole(kept, artifact.digest)
    with pytest.raises(ArtifactDamaged, match=r"a\.csv is damaged"):
        verify(kept, artifact, artifact.digest, thorough=False)
    assert read == ["a.csv"]

    os.utime(stamp_of(kept), ns=(newest + 1, newest + 1))
    assert looks_whole(kept, artifact.digest), "the clock had moved on: it is believed"


def test_a_copy_of_a_store_is_read_once(kept: Kept, artifact: Artifact, read: Read) -> None:
    stamped(kept, artifact)
    copy = Kept(kept.directory + "-copy", "run.json")
    shutil.copytree(kept.directory, copy.directory)
    assert not looks_whole(copy, artifact.digest)
    verify(copy, artifact, artifact.digest, thorough=False)
    assert sorted(read) == ["a.csv", "b.csv", "empty"]
    settle(copy)
    assert looks_whole(copy, artifact.digest)


@pytest.mark.parametrize(
    ("change", "file", "message"),
    [
        (
            lambda kept: Path(kept.output, "a.csv").unlink(),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda kept: shutil.rmtree(kept.output),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda kept: os.rename(kept.output + "/a.csv", kept.output + "/A.csv"),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda kept: (shutil.rmtree(kept.output), Path(kept.output).touch()),
            "a.csv",
            "output file a.csv missing from the store",
        ),
        (
            lambda kept: alter(kept, "a.csv", b"x\n2\n"),
            "a.csv",
            "output file a.csv is damaged in the store",
        ),
        (
            lambda kept: os.truncate(kept.output + "/a.csv", 1),
            "a.csv",
            "output file a.csv is damaged in the store",
        ),
        (
            lambda kept: (os.unlink(kept.output + "/empty"), os.mkfifo(kept.output + "/empty")),
            "empty",
            "output file empty is damaged in the store",
        ),
        (
            lambda kept: Path(kept.output, "deep/more").touch(),
            "deep/more",
            "output file deep/more is damaged in the store: no run wrote it",
        ),
        (
            lambda kept: Path(kept.directory, "run.json").unlink(),
            "run.json",
            "record run.json missing from the store",
        ),
        (
            lambda kept: (shutil.rmtree(kept.directory), Path(kept.directory).touch()),
            "run.json",
            "record run.json missing from the store",
        ),
    ],
)
def test_damage_is_named(
    kept: Kept, artifact: Artifact, change: Callable[[Kept], object], file: str, message: str
) -> None:
    stamped(kept, artifact)
    change(kept)
    with pytest.raises(ArtifactDamaged) as raised:
        verify(kept, artifact, artifact.digest, thorough=False)
    assert raised.value.message == message
    assert raised.value.file == file
    assert raised.value.kind == ("missing" if "missing" in message else "damaged")


def test_a_link_to_the_same_bytes_is_damage(kept: Kept, artifact: Artifact, tmp_path: Path) -> None:
    path = Path(kept.output, "a.csv")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactDamaged, match=r"a\.csv is damaged"):
        verify(kept, artifact, artifact.digest, thorough=True)


@pytest.mark.parametrize("unread", [True, False])
def test_a_record_of_something_else_is_not_believed(
    kept: Kept, artifact: Artifact, unread: bool
) -> None:
    forged = msgspec.structs.replace(artifact, files=artifact.files[:1])
    with pytest.raises(ArtifactDamaged, match=r"record run\.json is damaged in the store"):
        verify(kept, None if unread else forged, artifact.digest, thorough=False)


def test_damage_leaves_the_stamp_as_it_was(kept: Kept, artifact: Artifact) -> None:
    stamped(kept, artifact)
    before = stamp_of(kept).read_bytes()
    alter(kept, "a.csv", b"x\n2\n")
    for _ in range(2):
        with pytest.raises(ArtifactDamaged):
            verify(kept, artifact, artifact.digest, thorough=True)
    assert stamp_of(kept).read_bytes() == before


def test_a_stamp_that_cannot_be_written_is_done_without(
    kept: Kept, artifact: Artifact, read: Read
) -> None:
    stamp_of(kept).mkdir()
    for _ in range(2):
        verify(kept, artifact, artifact.digest, thorough=False)
    assert len(read) == 2 * len(FILES)
    assert sorted(os.listdir(kept.directory)) == ["output", "run.json", STAMP]


def test_a_large_artifact_is_not_read_again_by_the_first_to_look(tmp_path: Path) -> None:
    fill(tmp_path / "output", {"large": bytes(stamp_module.SETTLE_FROM_BYTES)})
    (tmp_path / "run.json").touch()
    kept = Kept(str(tmp_path), "run.json")
    artifact = hash_artifact(tmp_path / "output")
    write_stamp(kept, artifact)
    assert looks_whole(kept, artifact.digest)
