"""Locks that a process cannot leave behind: `flock` on a file, given back by the system when its holder dies.

The file is removed by whoever gives the lock back, while still holding it; hence a lock counts only as long as
the locked file is the one that the path leads to.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daintree.store.objects import mapped

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.25


class HeldLock:
    """A lock that this process holds until it is given back; threads exclude each other as processes do."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def still_ours(self) -> bool:
        """False once the file was removed or replaced by somebody else."""
        return _leads_to(self._path, self._descriptor)

    def release(self) -> None:
        """Give the lock back and remove its file."""
        try:
            if self.still_ours():
                os.unlink(self._path)
        finally:
            os.close(self._descriptor)


def try_lock(path: str) -> HeldLock | None:
    """Lock the file at `path`, made if need be; None while another holds it. Raises OSError."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        if _leads_to(path, descriptor):
            return HeldLock(path, descriptor)
        # Its last holder removed the file after we had opened it.
        os.close(descriptor)


@contextmanager
def lease(path: str, store: str, waiting: Callable[[], None]) -> Iterator[HeldLock]:
    """Hold the lock of `path`, waiting for it; `waiting` is called before each pause and may raise.

    Raises StoreError when the lock file in the store at `store` cannot be made.
    """
    held = wait_for(path, store, waiting)
    try:
        yield held
    finally:
        with mapped(store):
            held.release()


def wait_for(path: str, store: str, waiting: Callable[[], None]) -> HeldLock:
    """The lock of `path` once it is free; `waiting` is called before each pause and may raise.

    Raises StoreError when the lock file in the store at `store` cannot be made.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        with mapped(store):
            held = try_lock(path)
        if held:
            return held
        waiting()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)


def _leads_to(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
