"""Staging places of a directory store: private directories whose owner's lock tells the living from the dead.

_staging/<run id>.lock      held as long as the owner lives
_staging/<run id>/run/      what becomes the run's place by one rename
_staging/<run id>/scratch/  temporary files
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daintree.errors import StoreError
from daintree.store.index import HISTORY, INDEX, LEASES, LOG, MANIFEST, NOTES, SOURCES
from daintree.store.integrity import OUTPUT, STAMP, has_stamp, walk
from daintree.store.locks import HeldLock, try_lock, wait_for
from daintree.store.names import check_identifier
from daintree.store.objects import MARKER, mapped
from daintree.store.records import RunManifest, decode


def measure(root: Path) -> tuple[int, int]:
    """(runs, bytes of all files) below `root`; (0, 0) where there is nothing. Raises OSError."""
    if not root.exists():
        return 0, 0
    held = 0
    for parent, _, names in os.walk(root):
        for name in names:
            # Others may be working in the store: what they remove meanwhile is not held.
            with suppress(FileNotFoundError):
                held += os.lstat(os.path.join(parent, name)).st_size
    return sum(1 for _ in _runs(root)), held


def empty(root: Path) -> None:
    """Remove the index, the history, the runs, the sources, the notes and the leases nobody holds.

    In this order, so that being stopped midway leaves no record of a run that is gone. Anything else stays. Raises
    StoreError for a directory that is not marked as a store, OSError as removing does.
    """
    if not root.exists():
        return
    if not (root / MARKER).is_file():
        if any(root.iterdir()):
            raise StoreError(
                f"{root} is not an artifact store: nothing is removed",
                hint=f"a store holds a file named {MARKER}; remove the directory by hand if you are sure",
            )
        return
    for name in (INDEX, HISTORY):
        remove_tree(root / name)
    for run in list(_runs(root)):
        remove_tree(run)
        _prune(run.parent, root)
    for name in (SOURCES, NOTES):
        remove_tree(root / name)
    _remove_idle(root / LEASES)


def remove_tree(path: Path) -> None:
    """Remove a directory with all below it, whatever their permissions; nothing where there is none.

    Links are removed, never followed. Raises OSError, NotADirectoryError where `path` is a link or a file.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
    directories: list[str] = []
    pending = [str(path)]
    while pending:
        directory = pending.pop()
        directories.append(directory)
        # A stage may have left directories that not even their owner can list.
        os.chmod(directory, 0o700)
        with os.scandir(directory) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    os.unlink(entry.path)
    for directory in reversed(directories):
        os.rmdir(directory)


def _runs(root: Path) -> Iterator[Path]:
    """The directories of the runs: those outside the store's own with a run's manifest or a stamp in them."""
    for directory, inner, names in os.walk(root):
        if directory == str(root):
            inner[:] = [name for name in inner if not name.startswith("_")]
        elif _is_run(root, Path(directory), names):
            inner.clear()
            yield Path(directory)


def _is_run(root: Path, directory: Path, names: Sequence[str]) -> bool:
    """A `run.json` alone proves nothing: others write files of that name too."""
    if MANIFEST in names:
        manifest = decode(RunManifest, (directory / MANIFEST).read_bytes())
        if manifest and manifest.location == directory.relative_to(root).as_posix():
            return True
    return STAMP in names and has_stamp(str(directory))


def _prune(directory: Path, root: Path) -> None:
    """Remove the directories that removing a run has left empty."""
    while directory != root:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent


def _remove_idle(leases: Path) -> None:
    for path in leases.glob("*"):
        held = try_lock(str(path))
        if held:
            held.release()


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
