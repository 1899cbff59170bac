"""What counts as an artifact, and the digest it has."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from daintree.errors import ArtifactRejected
from daintree.store import integrity as artifact
from daintree.store.integrity import hash_artifact, hashed_as, scan_artifact, signature_of, walk
from tests.contract.runs import FILES, fill


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A directory with FILES in it."""
    directory = tmp_path / "output"
    directory.mkdir()
    fill(directory, FILES)
    return directory


def test_a_directory_has_the_digest_it_always_had(output: Path) -> None:
    artifact = hash_artifact(output)
    assert (
        artifact.digest == "sha256:04267b796d16d5ddf08666c5d4566dd3232cad99ed3730829354e023d076f4f8"
    )
    assert [(entry.path, entry.size) for entry in artifact.files] == [
        ("a.csv", 4),
        ("deep/er/b.csv", 4),
        ("empty", 0),
    ]
    assert (
        artifact.files[2].sha256
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_only_paths_and_bytes_count(output: Path, tmp_path: Path) -> None:
    before = hash_artifact(output)
    (output / "a.csv").chmod(0o755)
    os.utime(output / "a.csv", (0, 0))
    (output / "an empty directory").mkdir()
    output.rename(tmp_path / "moved")
    assert hash_artifact(tmp_path / "moved") == before
    (tmp_path / "moved/a.csv").rename(tmp_path / "moved/c.csv")
    assert hash_artifact(tmp_path / "moved").digest != before.digest


def make_socket(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        # By a short way: the path of a socket has 108 bytes at most.
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.symlink_to("a.csv"), "a symbolic link"),
        (lambda path: path.symlink_to("deep"), "a symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        pytest.param(
            make_socket,
            "a socket",
            marks=pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here"),
        ),
    ],
    ids=["link to a file", "link to a directory", "dangling link", "pipe", "socket"],
)
def test_what_is_no_regular_file_is_named(output: Path, make: object, kind: str) -> None:
    make(output / "deep/odd")  # type: ignore[operator]
    with pytest.raises(ArtifactRejected) as raised:
        hash_artifact(output)
    assert raised.value.message == f"wrote what no store may hold: 'deep/odd' is {kind}"
    assert raised.value.hint == "an artifact holds regular files and directories only"


def test_a_refused_name_is_named(output: Path) -> None:
    (output / "part#1").touch()
    with pytest.raises(ArtifactRejected, match=r"the file name 'part#1' has a segment"):
        hash_artifact(output)


def test_a_stage_must_write_something(tmp_path: Path) -> None:
    (tmp_path / "only/directories").mkdir(parents=True)
    with pytest.raises(ArtifactRejected, match=r"^wrote nothing$") as raised:
        hash_artifact(tmp_path)
    assert "at least one file" in raised.value.hint


def test_the_directory_itself_must_be_one(output: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="its output directory is gone"):
        hash_artifact(tmp_path / "gone")
    (tmp_path / "link").symlink_to(output)
    for path in (tmp_path / "link", output / "a.csv"):
        with pytest.raises(ArtifactRejected, match="is no directory any more"):
            hash_artifact(path)
    assert [path for path, _ in scan_artifact(tmp_path / "link")] == sorted(FILES)


def test_a_file_that_changes_while_it_is_read_is_refused(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_slowly(paths: list[Path]) -> list[str]:
        (output / "a.csv").write_bytes(b"x\n2\n")
        return ["0" * 64 for _ in paths]

    monkeypatch.setattr(artifact, "digest_files", hash_slowly)
    with pytest.raises(ArtifactRejected, match=r"'a\.csv' changed while it was read"):
        hash_artifact(output)


def test_a_walk_follows_no_link_below(output: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (output / "way out").symlink_to(tmp_path / "outside")
    assert {path for path, _ in walk(str(output))} == {*FILES, "way out"}


def test_what_was_hashed_is_known_once_and_while_it_is_unchanged(output: Path) -> None:
    entry = hash_artifact(output).files[0]
    path = output / entry.path
    assert hashed_as(path.lstat(), entry.sha256)
    assert not hashed_as(path.lstat(), entry.sha256), "it is forgotten"

    hash_artifact(output)
    assert not hashed_as(path.lstat(), "0" * 64)

    hash_artifact(output)
    path.write_bytes(b"x\n2\n")
    assert not hashed_as(path.lstat(), entry.sha256)


def test_a_write_in_place_with_its_times_set_back_is_another_signature(output: Path) -> None:
    path = output / "a.csv"
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"x\n2\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert signature_of(after) != signature_of(before)
