"""Failures of the operating system and of obstore, told as StoreErrors."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from daintree.errors import StoreError

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
