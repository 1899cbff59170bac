"""How far a transfer is, for people, on stderr: a line that changes on a terminal, elsewhere one line when it takes long."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

EACH_SECONDS = 0.2
LONG_SECONDS = 5.0


def say(text: str) -> None:
    """One line on stderr, written at once so that lines of several threads do not mix."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Progress:
    """Counts what has passed; any thread may tell it. Shows nothing before it has taken a moment."""

    def __init__(self, what: str, files: int, size: int) -> None:
        self._what, self._files, self._size = what, files, size
        self._files_passed = self._bytes_passed = 0
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._next = time.monotonic() + (EACH_SECONDS if self._terminal else LONG_SECONDS)

    def bytes(self, count: int) -> None:
        """So many more bytes have passed."""
        with self._lock:
            self._bytes_passed += count
            if time.monotonic() >= self._next:
                self._show()

    def file(self) -> None:
        """One more file has passed whole."""
        with self._lock:
            self._files_passed += 1

    def end(self) -> None:
        """Leave the terminal's line empty."""
        with self._lock:
            if self._terminal and self._shown:
                sys.stderr.write("\r\033[K")
                sys.stderr.flush()

    def _show(self) -> None:
        part = f"{self._files_passed} of {self._files} files, {_megabytes(self._bytes_passed)} of {_megabytes(self._size)}"
        self._shown = True
        if self._terminal:
            sys.stderr.write(f"\r\033[K{self._what}: {part}")
            sys.stderr.flush()
            self._next = time.monotonic() + EACH_SECONDS
        else:
            say(f"{self._what}: {part} …")
            self._next = float("inf")


@contextmanager
def progress(what: str, files: int, size: int) -> Iterator[Progress]:
    """Progress of a transfer of `files` files, `size` bytes in all, which ends with the block."""
    made = Progress(what, files, size)
    try:
        yield made
    finally:
        made.end()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


# Linux takes memory for what is written in pieces as large as the write and its alignment allow. Large pieces come from memory
# that a virtual machine's host may have to provide first; writes of an odd number of pages take small ones, too (benchmarks/README.md).
WRITE_BYTES = 60 << 10


def reserve(file: int, size: int) -> None:
    """Have the space for so many bytes: a full disk says so before they are fetched, and writing to it is cheaper.

    Raises OSError where there is no space; where it cannot be had ahead, nothing happens.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def write_at(file: int, start: int, content: Buffer) -> None:
    """Write all of `content` from the file's byte `start` on. Raises OSError as writing does."""
    view = memoryview(content)
    written = 0
    while written < len(view):
        piece = view[written : written + WRITE_BYTES]
        written += os.pwrite(file, piece, start + written)
