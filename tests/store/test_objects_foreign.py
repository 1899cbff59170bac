"""What the system and obstore complain of is told as the store's error, with what to do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store.objects import ANOTHER_PLACE, mapped

FREE = "free some disk space; `doit store` shows how large the store is"
TOLD = {
    errno.ENOSPC: ("the disk of the artifact store /store is full", FREE),
    errno.EDQUOT: ("your disk quota is used up by the artifact store /store", FREE),
    errno.EACCES: ("no permission for /store/x in the artifact store /store", ANOTHER_PLACE),
    errno.EPERM: ("no permission for /store/x in the artifact store /store", ANOTHER_PLACE),
    errno.EROFS: ("the artifact store /store is on a read-only file system", ANOTHER_PLACE),
    errno.ENOTDIR: (
        "/store/x should be a directory of the artifact store /store, and is not",
        ANOTHER_PLACE,
    ),
    errno.EEXIST: (
        "/store/x should be a directory of the artifact store /store, and is not",
        ANOTHER_PLACE,
    ),
    errno.EIO: (
        "the artifact store /store failed: Input/output error: /store/x",
        ANOTHER_PLACE,
    ),
}


@pytest.mark.parametrize("number", TOLD, ids=errno.errorcode.get)
def test_an_error_of_the_system_is_told(number: int) -> None:
    foreign = OSError(number, os.strerror(number), "/store/x")
    with pytest.raises(StoreError) as raised, mapped("/store"):
        raise foreign
    assert (raised.value.message, raised.value.hint) == TOLD[number]
    assert raised.value.__cause__ is foreign


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EACCES, "x"), "no permission for a file in the artifact store /store"),
        (OSError("said so"), "the artifact store /store failed: said so"),
        (OSError(errno.EACCES, "x", b"/b\xff"), "no permission for /b\udcff in the"),
    ],
    ids=["no path", "no number", "bytes"],
)
def test_an_error_that_says_little_is_told(error: OSError, message: str) -> None:
    with pytest.raises(StoreError) as raised, mapped("/store"):
        raise error
    assert raised.value.message.startswith(message)


def test_an_error_of_obstore_is_told_in_one_line(tmp_path: Path) -> None:
    import obstore
    from obstore.store import LocalStore

    backend = LocalStore(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as raised, mapped("/store"):
        obstore.put(backend, "file/below", b"x")
    assert raised.value.message.count("\n") == 0
    assert "the artifact store /store" in raised.value.message
    assert raised.value.hint == ANOTHER_PLACE


def test_an_error_of_obstore_with_a_number_is_told_as_the_systems(tmp_path: Path) -> None:
    from obstore.exceptions import GenericError

    text = "Generic LocalFileSystem error: Unable to copy: No space left on device (os error 28)"
    with pytest.raises(StoreError) as raised, mapped("/store"):
        raise GenericError(f"{text}\n\nDebug source:\nGeneric {{ store: … }}")
    assert (raised.value.message, raised.value.hint) == TOLD[errno.ENOSPC]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        KeyboardInterrupt(),
        StoreError("already told", hint="so"),
        ArtifactDamaged("damaged", file="a", kind="damaged"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_everything_else_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, mapped("/store"):
        raise error
    assert raised.value is error
