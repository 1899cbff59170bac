"""What a directory store holds as a whole: how much it is, and emptying it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from daintree.errors import StoreError
from daintree.manifest import RunManifest, decode
from daintree.store.locks import try_lock
from daintree.store.objects import MARKER
from daintree.store.records import HISTORY, INDEX, LEASES, MANIFEST, NOTES, SOURCES
from daintree.store.stamp import STAMP, has_stamp


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
