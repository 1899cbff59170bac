"""The seam under a store: small objects by path, in a directory or in a bucket; and the errors of a directory.

Every implementation passes `tests/contract/test_backend_contract.py`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import Literal, NamedTuple, Protocol, TypeAlias

from daintree.errors import StoreError

# More than the record of a run with half a million files takes.
MAX_RECORD_BYTES = 128 << 20
# All records but run.json and source.json; only these are replaced.
SMALL_RECORD_BYTES = 1 << 20


class Unreadable(NamedTuple):
    """A place in a store where something stands that is no record: `text` says what is wrong with it.

    `older` and `newer` are of another version's schema; `irregular` is a link, a FIFO, a file that is too large; a `directory`.
    """

    reason: Literal["damaged", "older", "newer", "irregular", "directory"]
    text: str


Content: TypeAlias = bytes | Unreadable | None


class Entry(NamedTuple):
    """An object of a listing: its path, bytes, and when it was written (seconds since the epoch)."""

    path: str
    size: int
    modified: float


class Backend(Protocol):
    """Objects by path (`/` between segments, checked by the caller). Every method raises StoreError."""

    @property
    def url(self) -> str:
        """The address, for people; without credentials."""
        ...

    def get_many(self, paths: Sequence[str], limit: int = MAX_RECORD_BYTES) -> list[Content]:
        """The content of each object, in order, in one parallel round.

        None where there is none, Unreadable for what is no regular file or larger than `limit`; nothing of that is read.
        """
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write an object that does not exist; False, and nothing is written, when it does."""
        ...

    def put(self, path: str, content: bytes) -> None:
        """Write an object; the last writer wins."""
        ...

    def replace(self, path: str, old: Content, new: bytes) -> bool:
        """Write `new` over exactly `old`, as `get_many` gave it; False, and nothing is written, when something else stands there."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """The objects in the directory `prefix` and below, in the order of their paths; read as they are taken."""
        ...

    def children(self, prefix: str) -> Sequence[str]:
        """The names of the directories in the directory `prefix`, sorted."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; those that are not there do not matter."""
        ...

    def delete_below(self, prefix: str) -> None:
        """Remove all that is in the directory `prefix` and below."""
        ...


OWN_DIRECTORY = "set DAINTREE_STORE, or store in pyproject.toml, to a directory of your own"
SHARE_DIRECTORY = "to share a directory, give it to a group and let the group write: `chgrp -R GROUP DIR; chmod -R g+rwX DIR; find DIR -type d -exec chmod g+s {} +`; or "

_FULL = {
    errno.ENOSPC: "the disk of the artifact store {store} is full",
    errno.EDQUOT: "your disk quota is used up by the artifact store {store}",
}
_REFUSED = {
    errno.EACCES: ("no permission for {path} in the artifact store {store}", SHARE_DIRECTORY),
    errno.EPERM: ("no permission for {path} in the artifact store {store}", SHARE_DIRECTORY),
    errno.EROFS: ("the artifact store {store} is on a read-only file system", ""),
    errno.ENOTDIR: ("{path} should be a directory of the artifact store {store}, and is not", ""),
    errno.EEXIST: ("{path} should be a directory of the artifact store {store}, and is not", ""),
    errno.ENOLCK: (
        "the file system of the artifact store {store} has no file locks",
        "mount it with locks (NFS: without nolock, with a lock daemon), or ",
    ),
    errno.ENOTSUP: ("the file system of the artifact store {store} lacks what a store needs", ""),
    errno.ENOSYS: ("the file system of the artifact store {store} has no file locks", ""),
}


@contextmanager
def translate_errors(store: str) -> Iterator[None]:
    """Raise StoreError, with a hint, for each OSError in the block."""
    try:
        yield
    except OSError as error:
        raise _store_error(store, error) from error


def _store_error(store: str, error: OSError) -> StoreError:
    path = os.fsdecode(error.filename) if error.filename else ""
    if error.errno in _FULL:
        return StoreError(
            _FULL[error.errno].format(store=store),
            hint="free some disk space; `doit gc` removes outputs that no pipeline reaches",
        )
    if error.errno in _REFUSED:
        message, advice = _REFUSED[error.errno]
        text = message.format(store=store, path=path or "a file")
        return StoreError(text, hint=advice + OWN_DIRECTORY)
    text = f"the artifact store {store} failed: {error.strerror or error}"
    return StoreError(f"{text}: {path}" if path else text, hint=OWN_DIRECTORY)


_IRREGULAR = "is no regular file"


def read_regular(path: str, limit: int) -> Content:
    """The content of a regular file, of no more than `limit` bytes; see `open_regular`. Raises OSError."""
    with open_regular(path) as file:
        if file is None or isinstance(file, Unreadable):
            return file
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            return Unreadable("irregular", f"is {size} bytes large, which no record is")
        content = file.read(limit + 1)
        return content if len(content) <= limit else Unreadable("irregular", "grows")


@contextmanager
def open_regular(path: str) -> Iterator[BufferedReader | Unreadable | None]:
    """A regular file, open for reading; never waits for a FIFO, follows no link. None where there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        yield Unreadable("irregular", _IRREGULAR)
        return
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        with open(descriptor, "rb") as file:
            yield file
        return
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        yield Unreadable("directory", "is a directory, and should be a file")
    else:
        yield Unreadable("irregular", _IRREGULAR)
