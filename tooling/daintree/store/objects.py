"""Small objects in a store, each written whole or not at all: what the index, the history and the notes stand on.

A thin layer over obstore. What a directory does otherwise than a bucket is in two operations: a directory is
read by plain `open` (20 µs an object; obstore takes 250 µs, and 25 ms for its import, which a run with nothing to
do then saves), and its conditional replacement is a file lock and a rename instead of an If-Match.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from daintree.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import LocalStore, ObjectStore

ANOTHER_PLACE = "set DAINTREE_STORE, or store in pyproject.toml, to a directory of your own"

_FULL = {
    errno.ENOSPC: "the disk of the artifact store {store} is full",
    errno.EDQUOT: "your disk quota is used up by the artifact store {store}",
}
_REFUSED = {
    errno.EACCES: "no permission for {path} in the artifact store {store}",
    errno.EPERM: "no permission for {path} in the artifact store {store}",
    errno.EROFS: "the artifact store {store} is on a read-only file system",
    errno.ENOTDIR: "{path} should be a directory of the artifact store {store}, and is not",
    errno.EEXIST: "{path} should be a directory of the artifact store {store}, and is not",
}
_ERROR_NUMBER = re.compile(r"\(os error (\d+)\)")


@contextmanager
def mapped(store: str) -> Iterator[None]:
    """Raise StoreError, with a hint, for each OSError and each error of obstore in the block."""
    try:
        yield
    except OSError as error:
        path = os.fsdecode(error.filename) if error.filename else ""
        raise store_error(store, error.errno, str(error.strerror or error), path) from error
    except Exception as error:
        if not _is_obstore(error):
            raise
        # The rest of the message is a dump of Rust structures.
        text = str(error).partition("\n")[0]
        number = _ERROR_NUMBER.search(text)
        raise store_error(store, int(number[1]) if number else None, text) from error


def store_error(store: str, number: int | None, text: str, path: str = "") -> StoreError:
    """The StoreError for error `number` (errno) that happened to `path` in the store at `store`."""
    place = path or "a file"
    if number in _FULL:
        return StoreError(
            _FULL[number].format(store=store),
            hint="free some disk space; `doit store` shows how large the store is",
        )
    if number in _REFUSED:
        return StoreError(_REFUSED[number].format(store=store, path=place), hint=ANOTHER_PLACE)
    return StoreError(
        f"the artifact store {store} failed: {text}" + (f": {path}" if path else ""),
        hint=ANOTHER_PLACE,
    )


def _is_obstore(error: Exception) -> bool:
    exceptions = sys.modules.get("obstore.exceptions")
    return exceptions is not None and isinstance(error, exceptions.BaseError)


MARKER = "_store"
MARKER_TEXT = "This directory is an artifact store; `doit store` shows it and can empty it.\n"


class Objects(Protocol):
    """Small objects by path (`/` between segments, checked by the caller). Every method raises StoreError."""

    def get(self, paths: Sequence[str]) -> list[bytes | None]:
        """The content of each object, in order, in one parallel round; None where there is none."""
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write an object that does not exist; False, and nothing is written, when it does."""
        ...

    def put(self, path: str, content: bytes) -> None:
        """Write an object; the last writer wins."""
        ...

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        """Write `new` over exactly `old`; False, and nothing is written, when something else stands there."""
        ...

    def list(self, prefix: str) -> list[str]:
        """The paths of the objects in the directory `prefix` and below, in no order."""
        ...


def create_object(backend: ObjectStore, path: str, content: bytes) -> bool:
    """Create an object in any obstore back end (If-None-Match); False when it exists."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    try:
        obstore.put(backend, path, content, mode="create")
    except AlreadyExistsError:
        return False
    return True


def list_objects(backend: ObjectStore, prefix: str) -> list[str]:
    """The paths below a prefix of any obstore back end."""
    import obstore

    return [entry["path"] for entry in obstore.list(backend, prefix).collect()]


class DirectoryObjects:
    """Objects as files below a directory, which is made and marked by the first write."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._backend: LocalStore | None = None

    def get(self, paths: Sequence[str]) -> list[bytes | None]:
        """One after the other: at 20 µs each, a thread would cost more than it saves."""
        with mapped(self._root):
            return [self._read(path) for path in paths]

    def create(self, path: str, content: bytes) -> bool:
        """By a hard link, which fails where the name is taken."""
        with mapped(self._root):
            return create_object(self._opened(), path, content)

    def put(self, path: str, content: bytes) -> None:
        """By a rename."""
        import obstore

        with mapped(self._root):
            obstore.put(self._opened(), path, content)

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        """Under the store's lock file, by a rename. Creating needs no lock: it never touches what stands."""
        import fcntl

        with mapped(self._root):
            self.prepare()
            with open(os.path.join(self._root, "_lock"), "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self._read(path) != old:
                    return False
                self.put(path, new)
                return True

    def list(self, prefix: str) -> list[str]:
        """Empty where there is no such directory."""
        with mapped(self._root):
            if not os.path.isdir(os.path.join(self._root, prefix)):
                return []
            return list_objects(self._opened(), prefix)

    def prepare(self) -> None:
        """Make the directory, marked as a store, unless it is there."""
        with mapped(self._root):
            marker = os.path.join(self._root, MARKER)
            if not os.path.exists(marker):
                os.makedirs(self._root, exist_ok=True)
                with open(marker, "w", encoding="utf-8") as file:
                    file.write(MARKER_TEXT)

    def _read(self, path: str) -> bytes | None:
        try:
            with open(os.path.join(self._root, path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _opened(self) -> LocalStore:
        if self._backend is None:
            from obstore.store import LocalStore

            self.prepare()
            self._backend = LocalStore(self._root)
        return self._backend
