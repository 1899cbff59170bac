"""Staging places of a directory store: private directories whose owner's lock tells the living from the dead.

_staging/<run id>.lock      held as long as the owner lives
_staging/<run id>/run/      what becomes the run's place by one rename
_staging/<run id>/scratch/  temporary files
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daintree.errors import StoreError
from daintree.store.artifact import walk
from daintree.store.contents import remove_tree
from daintree.store.foreign import mapped
from daintree.store.locks import HeldLock, try_lock, wait_for
from daintree.store.names import check_identifier
from daintree.store.records import LOG
from daintree.store.stamp import OUTPUT

_LOCK_SUFFIX = ".lock"


@dataclass(frozen=True)
class DirectoryStaging:
    """A staging place on the store's own file system."""

    directory: Path

    @property
    def run(self) -> Path:
        """The directory that is published."""
        return self.directory / "run"

    @property
    def output(self) -> Path:
        """As `Staging.output`."""
        return self.run / OUTPUT

    @property
    def scratch(self) -> Path:
        """As `Staging.scratch`."""
        return self.directory / "scratch"

    @property
    def log(self) -> Path:
        """As `Staging.log`."""
        return self.run / LOG


@contextmanager
def staging_place(place: Path, run: str, store: str) -> Iterator[DirectoryStaging]:
    """A staging place in the directory `place`, removed in the end; those of dead owners are removed first.

    Raises StoreError when it cannot be made, or when the run has one already.
    """
    staging = DirectoryStaging(place / check_identifier("run", run))
    with mapped(store):
        reap(place)
        held = _own(place, run, store)
    try:
        with mapped(store):
            staging.output.mkdir(parents=True)
            staging.scratch.mkdir()
        yield staging
    except BaseException:
        # Threads that an interrupt has left behind may still write there: what they leave is removed as a dead owner's.
        with suppress(OSError):
            _discard(staging.directory, held)
        raise
    with mapped(store):
        _discard(staging.directory, held)


def reap(place: Path) -> None:
    """Remove the staging places whose owners have died. Raises OSError."""
    if not place.is_dir():
        return
    for run in {path.name.removesuffix(_LOCK_SUFFIX) for path in place.iterdir()}:
        held = try_lock(_lock(place, run))
        if held:
            _discard(place / run, held)


def dead(place: Path) -> list[int]:
    """The bytes of each staging place whose owner has died. Raises OSError."""
    found = []
    for directory in place.iterdir() if place.is_dir() else ():
        held = try_lock(_lock(place, directory.name)) if directory.is_dir() else None
        if held:
            found.append(sum(status.st_size for _, status in walk(str(directory))))
            held.release()
    return found


def _own(place: Path, run: str, store: str) -> HeldLock:
    """The run's lock. Whoever is looking for dead owners may hold it for a moment, before there is a directory."""

    def waiting() -> None:
        if (place / run).exists():
            raise StoreError(f"run {run} is being written by another process")

    return wait_for(_lock(place, run), store, waiting)


def _discard(directory: Path, held: HeldLock) -> None:
    """The lock goes last: a directory without one would look like its owner's had died."""
    try:
        remove_tree(directory)
    finally:
        held.release()


def _lock(place: Path, run: str) -> str:
    return str(place / (run + _LOCK_SUFFIX))
