"""The files of a tree, whether it lies on disk or in a commit."""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from daintree.errors import GitError

REGULAR = "100644"
EXECUTABLE = "100755"
SYMLINK = "120000"
SUBMODULE = "160000"

_MOST_PATHS = 30

T = TypeVar("T")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One file: its path below the project's root, its mode as git writes it, and its blob id.

    The id is that of its raw bytes; of a symbolic link, of its target; of a submodule, git's own.
    """

    path: str
    mode: str
    blob: str


class Tree(Protocol):
    """The files of a project in one state."""

    @property
    def root(self) -> Path:
        """The project's root on disk."""
        ...

    def files(self, directory: str) -> Sequence[Entry]:
        """The files at or below `directory`, sorted by path; empty when there are none."""
        ...

    def content(self, entry: Entry) -> bytes:
        """The raw bytes of a file of this tree (of a symbolic link: its target)."""
        ...


def at_or_below(items: Sequence[T], directory: bytes, path_of: Callable[[T], bytes]) -> list[T]:
    """The items whose path is `directory` or lies in it; `items` are sorted by path."""
    start = bisect_left(items, directory + b"/", key=path_of)
    end = bisect_left(items, directory + b"0", lo=start, key=path_of)
    exact = bisect_left(items, directory, hi=start, key=path_of)
    found = list(items[exact : exact + 1]) if exact < start else []
    if found and path_of(found[0]) != directory:
        found = []
    return [*found, *items[start:end]]


def covers(directories: Collection[str], path: str) -> bool:
    """Whether one of the directories is `path` or holds it."""
    while path:
        if path in directories:
            return True
        path = path.rpartition("/")[0]
    return False


def narrowed(directories: Iterable[str]) -> list[str]:
    """The directories to ask git for, sorted: instead of very many, what holds them all.

    git compares every file it lists with every path it is given.
    """
    wanted = sorted(set(directories))
    if len(wanted) <= _MOST_PATHS:
        return wanted
    return sorted({directory.partition("/")[0] for directory in wanted})


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
