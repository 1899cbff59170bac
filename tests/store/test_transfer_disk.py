"""Bytes come to their places in a file, whatever the system writes at a time; space that is not there is said at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daintree.store.transfer import WRITE_BYTES, reserve, write_at


@pytest.mark.parametrize("size", [0, 1, WRITE_BYTES, 3 * WRITE_BYTES + 1])
def test_all_is_written_at_its_place(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    with open(tmp_path / "a", "wb") as file:
        write_at(file.fileno(), 5, content)
    assert (tmp_path / "a").read_bytes() == (b"\0" * 5 + content if size else b"")


def test_what_the_system_leaves_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, piece, start: write(file, piece[:7], start))
    with open(tmp_path / "a", "wb") as file:
        write_at(file.fileno(), 0, b"more than seven bytes")
    assert (tmp_path / "a").read_bytes() == b"more than seven bytes"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves no space")
def test_space_is_had_ahead(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        reserve(file.fileno(), 1 << 20)
    assert (tmp_path / "a").stat().st_blocks * 512 >= 1 << 20


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_space_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match=os.strerror(number)):
        reserve(-1, 1)


def test_a_file_system_that_reserves_none_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[tuple[int, ...]] = []

    def refuse(*arguments: int) -> None:
        refused.append(arguments)
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    reserve(-1, 1)
    monkeypatch.delattr(os, "posix_fallocate")
    reserve(-1, 1)
    assert len(refused) == 1
