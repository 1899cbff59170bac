"""Bytes written to places of an open file."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

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
