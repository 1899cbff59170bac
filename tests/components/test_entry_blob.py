"""Blob ids are git's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.components import entry as blob_module
from daintree.components.entry import algorithm_of, blob_hash, blob_of, blob_of_file
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo

CONTENTS = [b"", b"x", b"a\r\nb\n\0\xff", bytes((1 << 20) + 7)]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_ids_are_those_of_git(monorepo: Monorepo, tmp_path: Path, algorithm: str) -> None:
    repository = type(monorepo)(tmp_path / algorithm).init(f"--object-format={algorithm}")
    for number, content in enumerate(CONTENTS):
        path = repository.write(f"file-{number}", content)
        expected = repository.git("hash-object", "--no-filters", path)
        assert blob_of(content, algorithm) == expected
        assert blob_of_file(os.fsencode(path), algorithm) == expected
        assert algorithm_of(expected) == algorithm


@given(st.binary(), st.integers(0, 100))
def test_the_parts_that_bytes_come_in_do_not_count(content: bytes, cut: int) -> None:
    started = blob_hash(len(content), "sha1")
    started.update(content[:cut])
    started.update(content[cut:])
    assert started.hexdigest() == blob_of(content, "sha1")


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd"
    (os.mkfifo if kind == "pipe" else os.mkdir)(path)
    with pytest.raises(GitError, match=r"odd is not a regular file"):
        blob_of_file(os.fsencode(path), "sha1")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="link"):
        blob_of_file(os.fsencode(tmp_path / "link"), "sha1")


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"short")

    def grow(size: int, algorithm: str) -> object:
        with open(path, "ab") as file:
            file.write(b" and more")
        return blob_hash(size, algorithm)

    monkeypatch.setattr(blob_module, "blob_hash", grow)
    with pytest.raises(GitError, match="growing changed while it was read") as raised:
        blob_of_file(os.fsencode(path), "sha1")
    assert raised.value.hint == "run it again"
