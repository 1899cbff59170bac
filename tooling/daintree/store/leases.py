"""Leases: the sign that someone computes a content key now.

In a directory a lease is `flock` on a file, given back by the system when its holder dies. The file is removed by whoever gives the lock
back, while still holding it; hence a lock counts only as long as the locked file is the one that the path leads to.
In a bucket it is an object (`remote.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import Protocol

import msgspec

from daintree.store.backend import open_regular, translate_errors
from daintree.store.records import Holder

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.25
MOST_HOLDER_BYTES = 1 << 14


class Lease(Protocol):
    """A lease that this process holds."""

    def still_ours(self) -> bool:
        """True as long as nobody has taken the lease over; asked right before publishing."""
        ...


class HeldLock:
    """A lock that this process holds until it is given back; threads exclude each other as processes do."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def still_ours(self) -> bool:
        """False once the file was removed or replaced by somebody else."""
        return _leads_to(self._path, self._descriptor)

    def describe(self, holder: Holder) -> None:
        """Name the holder in the locked file. Raises OSError."""
        # Whoever died with the lock may have left a longer name.
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, msgspec.json.encode(holder), 0)

    def release(self) -> None:
        """Give the lock back and remove its file."""
        try:
            if self.still_ours():
                os.unlink(self._path)
        finally:
            os.close(self._descriptor)

    def release_shared(self) -> None:
        """Give back a reader's lock; its file goes with the last reader."""
        import fcntl

        try:
            with suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self.still_ours():
                    os.unlink(self._path)
        finally:
            os.close(self._descriptor)


def try_lock(path: str) -> HeldLock | None:
    """Lock the file at `path`, made if need be; None while another holds it. Raises OSError."""
    import fcntl

    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def reader_lock(path: str) -> HeldLock:
    """Lock the file at `path` beside other readers, waiting for whoever holds it alone. Raises OSError."""
    import fcntl

    return _lock(path, fcntl.LOCK_SH)


def _lock(path: str, operation: int) -> HeldLock:
    import fcntl

    while True:
        descriptor = open_lock(path)
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            os.close(descriptor)
            raise
        if _leads_to(path, descriptor):
            return HeldLock(path, descriptor)
        # Its last holder removed the file after we had opened it.
        os.close(descriptor)


@contextmanager
def file_lease(
    path: str, store: str, waiting: Callable[[], None], holder: Holder | None = None
) -> Iterator[HeldLock]:
    """Hold the lock of `path`, waiting for it; `waiting` is called before each pause and may raise.

    The file names the `holder` meanwhile.

    Raises StoreError when the lock file in the store at `store` cannot be made.
    """
    held = wait_for(path, store, waiting)
    try:
        if holder:
            # Nobody computes less because a disk is full.
            with suppress(OSError):
                held.describe(holder)
        yield held
    finally:
        with translate_errors(store):
            held.release()


def wait_for(path: str, store: str, waiting: Callable[[], None]) -> HeldLock:
    """The lock of `path` once it is free; `waiting` is called before each pause and may raise.

    Raises StoreError when the lock file in the store at `store` cannot be made.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        with translate_errors(store):
            held = try_lock(path)
        if held:
            return held
        waiting()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def held_locks(directory: str) -> list[Holder]:
    """The holders that are named in the locked files of a directory. Raises OSError.

    A lock that cannot be shared for a moment is held.
    """
    import fcntl

    holders = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        with open_regular(f"{directory}/{name}") as file:
            if not isinstance(file, BufferedReader):
                continue
            try:
                # A file without a holder is some other lock: it is left alone.
                holder = msgspec.json.decode(file.read(MOST_HOLDER_BYTES), type=Holder)
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except msgspec.DecodeError:
                continue
            except BlockingIOError:
                holders.append(holder)
    return holders


def remove_idle_locks(directory: str) -> int:
    """Remove the lock files that nobody holds, such as those of killed processes; return how many. Raises OSError."""
    removed = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_file(follow_symlinks=False):
                held = try_lock(entry.path)
                if held:
                    held.release()
                    removed += 1
    return removed


def open_lock(path: str) -> int:
    """A descriptor of a lock file, which is made where it is not there; never waits for a FIFO, follows no link. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    share(os.path.dirname(path), descriptor)
    return descriptor


def share(parent: str, file: int | str) -> None:
    """Let the group read and write a file of ours where it may write the directory that the file is in, whatever the umask is."""
    writers = os.stat(parent).st_mode & 0o022
    status = os.stat(file)
    wanted = writers | writers << 1
    if wanted & ~status.st_mode and status.st_uid == os.geteuid():
        os.chmod(file, (status.st_mode & 0o7777) | wanted)


def _leads_to(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
