"""A directory as a backend, and the staging directories in it.

Records are read by plain `open`: 20 µs each, and no import that a run with nothing to do would pay for. A conditional replacement
is a file lock and a rename. Whatever is made here can be written by the group where the group may write the store's own directory.

    _staging/<run id>.lock      held as long as the owner lives
    _staging/<run id>/run/      published by one rename
    _staging/<run id>/scratch/  temporary files
    _staging/<run id>/key       the content key that is being computed
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daintree.errors import StoreError, check_writable
from daintree.store.backend import (
    MAX_RECORD_BYTES,
    SMALL_RECORD_BYTES,
    Content,
    Entry,
    read_regular,
    translate_errors,
)
from daintree.store.layout import LEASES, LOG, OUTPUT, STAGING, check_identifier

if TYPE_CHECKING:
    from daintree.store.leases import HeldLock

MARKER = "_store"
MARKER_TEXT = (
    "This directory is an artifact store; `doit store` shows it, `doit gc` frees space in it.\n"
)
REPLACEMENTS = "_lock"
_LOCK_SUFFIX = ".lock"
_TEMPORARY = ".tmp-"


class Directory:
    """The `Backend` in a directory, which the first write makes and marks; one that does not exist holds nothing."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.abspath(root)

    @property
    def url(self) -> str:
        return self.root

    def get_many(self, paths: Sequence[str], limit: int = MAX_RECORD_BYTES) -> list[Content]:
        """One after the other: a thread would cost more than it saves."""
        with translate_errors(self.root):
            return [read_regular(f"{self.root}/{path}", limit) for path in paths]

    def create(self, path: str, content: bytes) -> bool:
        """By a hard link, which fails where the name is taken."""
        with translate_errors(self.root), self._written(path, content) as temporary:
            try:
                os.link(temporary, f"{self.root}/{path}")
            except FileExistsError:
                return False
            return True

    def put(self, path: str, content: bytes) -> None:
        with translate_errors(self.root), self._written(path, content) as temporary:
            os.replace(temporary, f"{self.root}/{path}")

    def replace(self, path: str, old: Content, new: bytes) -> bool:
        """Under the store's lock file, by a rename. Creating needs no lock: it never touches what stands."""
        import fcntl

        from daintree.store.leases import open_lock

        with translate_errors(self.root):
            self.prepare()
            with open(open_lock(f"{self.root}/{REPLACEMENTS}"), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if old is None or self.get_many([path], SMALL_RECORD_BYTES)[0] != old:
                    return False
                self.put(path, new)
                return True

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Nothing where there is no such directory. Each directory is read when its first object is taken."""
        base = f"{prefix}/" if prefix else ""
        try:
            with os.scandir(f"{self.root}/{prefix}") as scanned:
                # As a bucket sorts them: a directory by its name with the slash.
                entries = sorted(
                    (f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name, e)
                    for e in scanned
                    if not e.name.startswith(_TEMPORARY)
                )
        except OSError as error:
            if self._is_absent(error):
                return
            with translate_errors(self.root):
                raise error
        for name, entry in entries:
            if name.endswith("/"):
                yield from self.list(base + entry.name)
            else:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Entry(base + name, status.st_size, status.st_mtime)

    def children(self, prefix: str) -> Sequence[str]:
        with translate_errors(self.root):
            try:
                with os.scandir(f"{self.root}/{prefix}") as scanned:
                    return sorted(e.name for e in scanned if e.is_dir(follow_symlinks=False))
            except OSError as error:
                if self._is_absent(error):
                    return []
                raise

    def _is_absent(self, error: OSError) -> bool:
        """True of a directory that is not there; of a store that cannot be made there, too, which its first write says."""
        if isinstance(error, NotADirectoryError):
            return not os.path.isdir(self.root)
        return isinstance(error, FileNotFoundError)

    def delete(self, paths: Sequence[str]) -> None:
        with translate_errors(self.root):
            for path in paths:
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.root}/{path}")
                self.prune(os.path.dirname(path))

    def delete_below(self, prefix: str) -> None:
        """Directories that become empty go too."""
        with translate_errors(self.root):
            remove_tree(f"{self.root}/{prefix}")
            self.prune(os.path.dirname(prefix))

    def prepare(self) -> None:
        """Make the directory, marked as a store, unless it is there."""
        with translate_errors(self.root):
            marker = f"{self.root}/{MARKER}"
            if not os.path.exists(marker):
                os.makedirs(self.root, exist_ok=True)
                with open(marker, "w", encoding="utf-8") as file:
                    file.write(MARKER_TEXT)

    def check_writable(self) -> None:
        """Raise StoreError where no run could be made here, as far as that is known without writing."""
        with translate_errors(self.root):
            for name in (LEASES, STAGING):
                check_writable(f"{self.root}/{name}")

    def make(self, path: str) -> str:
        """Make a directory in the store with its parents, the group's to write where the store is; its absolute path. Raises OSError."""
        full = f"{self.root}/{path}"
        if not os.path.isdir(full):
            parent = os.path.dirname(path)
            above = self.make(parent) if parent else self.root
            with suppress(FileExistsError):
                os.mkdir(full)
                mode = os.stat(above).st_mode
                # Who may write there may read and enter as well, whatever the umask is.
                wanted = (mode & 0o2000) | (mode & 0o020) // 2 * 7 | (mode & 0o002) // 2 * 7
                os.chmod(full, (os.stat(full).st_mode & 0o7777) | wanted)
        return full

    def prune(self, path: str) -> None:
        """Remove a directory and its parents as far as they are empty."""
        while path:
            try:
                os.rmdir(f"{self.root}/{path}")
            except OSError:
                return
            path = os.path.dirname(path)

    @contextmanager
    def stage(self, run: str, key: str = "") -> Iterator[Staging]:
        """A staging directory for the run of this id and content key, removed in the end; those of dead owners are removed first.

        Raises StoreError when it cannot be made, or when the run has one already.
        """
        check_identifier("run", run)
        with translate_errors(self.root):
            self.prepare()
            place = self.make(STAGING)
            reap(place)
            held = _own(place, run, self.root)
        staging = Staging(Path(place, run))
        try:
            with translate_errors(self.root):
                for part in (f"{run}/run/{OUTPUT}", f"{run}/scratch"):
                    self.make(f"{STAGING}/{part}")
                if key:
                    staging.key.write_text(key, encoding="ascii")
            yield staging
        except BaseException:
            # Threads that an interrupt has left behind may still write there: what they leave is removed as a dead owner's.
            with suppress(OSError):
                _discard(staging.directory, held)
            raise
        with translate_errors(self.root):
            _discard(staging.directory, held)

    @contextmanager
    def _written(self, path: str, content: bytes) -> Iterator[str]:
        """A temporary file beside `path` that holds the content; removed if it is still there in the end."""
        self.prepare()
        parent = self.make(os.path.dirname(path))
        temporary = f"{parent}/{_TEMPORARY}{os.urandom(8).hex()}"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                if os.stat(parent).st_mode & 0o022:
                    from daintree.store.leases import share

                    share(parent, file.fileno())
            yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


@dataclass(frozen=True)
class Staging:
    """A private directory on the store's file system where one run is prepared before it is published."""

    directory: Path

    @property
    def run(self) -> Path:
        """The directory that is published."""
        return self.directory / "run"

    @property
    def output(self) -> Path:
        """The directory the stage writes into, empty at first."""
        return self.run / OUTPUT

    @property
    def scratch(self) -> Path:
        """A directory for temporary files, never published."""
        return self.directory / "scratch"

    @property
    def key(self) -> Path:
        """The file with the content key that is being computed: whose log it is that grows here."""
        return self.directory / "key"

    @property
    def log(self) -> Path:
        """The file that keeps what the stage said; published beside the output as `log.txt`."""
        return self.run / LOG


def reap(place: str) -> None:
    """Remove the staging directories whose owners have died. Raises OSError."""
    from daintree.store.leases import try_lock

    for run in {name.removesuffix(_LOCK_SUFFIX) for name in _names(place)}:
        held = try_lock(_lock(place, run))
        if held:
            _discard(Path(place, run), held)


def dead(place: str) -> list[int]:
    """The bytes of each staging directory whose owner has died. Raises OSError."""
    from daintree.store.leases import try_lock

    sizes = []
    for name in _names(place):
        directory = f"{place}/{name}"
        held = try_lock(_lock(place, name)) if os.path.isdir(directory) else None
        if held:
            sizes.append(size_below(directory))
            held.release()
    return sizes


def size_below(directory: str | Path) -> int:
    """The bytes of all files below a directory; 0 where there is none. Raises OSError."""
    from daintree.store.integrity import walk

    return sum(s.st_size for _, s in walk(str(directory))) if os.path.isdir(directory) else 0


def remove_tree(path: str | Path) -> None:
    """Remove a directory with all below it, whatever their permissions; nothing where there is none.

    Links are removed, never followed. Raises OSError, NotADirectoryError where `path` is a link or a file.
    """
    if not os.path.lexists(path):
        return
    if os.path.islink(path):
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
    directories: list[str] = []
    pending = [str(path)]
    while pending:
        directory = pending.pop()
        directories.append(directory)
        # A stage may have left directories that not even their owner can list. Another user's is theirs to change.
        with suppress(PermissionError):
            os.chmod(directory, 0o700)
        with os.scandir(directory) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    os.unlink(entry.path)
    for directory in reversed(directories):
        os.rmdir(directory)


def _own(place: str, run: str, store: str) -> HeldLock:
    """The run's lock. Whoever is looking for dead owners may hold it for a moment, before there is a directory."""
    from daintree.store.leases import wait_for

    def waiting() -> None:
        if os.path.exists(f"{place}/{run}"):
            raise StoreError(f"run {run} is being written by another process")

    return wait_for(_lock(place, run), store, waiting)


def _discard(directory: Path, held: HeldLock) -> None:
    """The lock goes last: a directory without one would look like its owner's had died."""
    try:
        remove_tree(directory)
    finally:
        held.release()


def _names(place: str) -> list[str]:
    return os.listdir(place) if os.path.isdir(place) else []


def _lock(place: str, run: str) -> str:
    return f"{place}/{run}{_LOCK_SUFFIX}"
