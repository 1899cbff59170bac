"""What the system complains of is told as the store's error, with what to do about it."""

from __future__ import annotations

import errno
import os

import pytest

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store.backend import OWN_DIRECTORY, SHARE_DIRECTORY, translate_errors

FREE = "free some disk space; `doit gc` removes outputs that no pipeline reaches"
TOLD = {
    errno.ENOSPC: ("the disk of the artifact store /store is full", FREE),
    errno.EDQUOT: ("your disk quota is used up by the artifact store /store", FREE),
    errno.EACCES: (
        "no permission for /store/x in the artifact store /store",
        SHARE_DIRECTORY + OWN_DIRECTORY,
    ),
    errno.EPERM: (
        "no permission for /store/x in the artifact store /store",
        SHARE_DIRECTORY + OWN_DIRECTORY,
    ),
    errno.EROFS: ("the artifact store /store is on a read-only file system", OWN_DIRECTORY),
    errno.ENOTDIR: (
        "/store/x should be a directory of the artifact store /store, and is not",
        OWN_DIRECTORY,
    ),
    errno.EEXIST: (
        "/store/x should be a directory of the artifact store /store, and is not",
        OWN_DIRECTORY,
    ),
    errno.ENOLCK: (
        "the file system of the artifact store /store has no file locks",
        "mount it with locks (NFS: without nolock, with a lock daemon), or " + OWN_DIRECTORY,
    ),
    errno.EIO: (
        "the artifact store /store failed: Input/output error: /store/x",
        OWN_DIRECTORY,
    ),
}


@pytest.mark.parametrize("number", TOLD, ids=errno.errorcode.get)
def test_an_error_of_the_system_is_told(number: int) -> None:
    fault = OSError(number, os.strerror(number), "/store/x")
    with pytest.raises(StoreError) as raised, translate_errors("/store"):
        raise fault
    assert (raised.value.message, raised.value.hint) == TOLD[number]
    assert raised.value.__cause__ is fault


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
    with pytest.raises(StoreError) as raised, translate_errors("/store"):
        raise error
    assert raised.value.message.startswith(message)


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
    with pytest.raises(type(error)) as raised, translate_errors("/store"):
        raise error
    assert raised.value is error
