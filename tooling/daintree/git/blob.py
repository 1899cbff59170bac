"""Blob ids: what git calls a file's raw bytes."""

from __future__ import annotations

import hashlib
import os
import stat

from daintree.errors import GitError

CHUNK = 1 << 20
_ALGORITHM_OF_LENGTH = {40: "sha1", 64: "sha256"}


def algorithm_of(blob: str) -> str:
    """The algorithm a blob id was made with."""
    return _ALGORITHM_OF_LENGTH[len(blob)]


def blob_hash(size: int, algorithm: str) -> hashlib._Hash:
    """A hash object that yields the id of a blob of `size` bytes once it is fed exactly those."""
    started = hashlib.new(algorithm, usedforsecurity=False)
    started.update(b"blob %d\0" % size)
    return started


def blob_of(content: bytes, algorithm: str) -> str:
    """The id of these bytes."""
    started = blob_hash(len(content), algorithm)
    started.update(content)
    return started.hexdigest()


def blob_of_file(path: bytes, algorithm: str) -> str:
    """The id of a regular file's raw bytes; a link is not followed.

    Raises OSError as reading does, GitError when it is no regular file or changes while it is read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise GitError(f"{os.fsdecode(path)} is not a regular file")
        started = blob_hash(status.st_size, algorithm)
        read = 0
        while chunk := os.read(descriptor, CHUNK):
            started.update(chunk)
            read += len(chunk)
    finally:
        os.close(descriptor)
    if read != status.st_size:
        raise GitError(f"{os.fsdecode(path)} changed while it was read", hint="run it again")
    return started.hexdigest()
