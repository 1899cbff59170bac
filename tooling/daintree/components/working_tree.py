"""The files of the working tree as a build sees them: tracked, or untracked and not ignored.

The blob ids are those of the raw bytes on disk. The index's ids are used where git says that the
file is unmodified and would hand out those same bytes: no conversion by attributes or
`core.autocrlf`, and neither assume-unchanged nor skip-worktree, which tell git not to look. Every
other file is hashed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from daintree.components.attributes import (
    FILE,
    attribute_files,
    converts,
    may_convert,
    read_attributes,
    rewrites,
)
from daintree.components.entry import (
    EXECUTABLE,
    REGULAR,
    SUBMODULE,
    SYMLINK,
    Entry,
    at_or_below,
    blob_of,
    blob_of_file,
    covers,
    narrowed,
)
from daintree.components.git import Repository, git, path_text, read_repository, records
from daintree.concurrency import Background
from daintree.errors import GitError

PLAIN = b"H"
SKIPPED = b"S"


class Listing(msgspec.Struct, frozen=True):
    """Everything git knows of the directories.

    `index` is the index as printed, `tracked` its records `<tag> <mode> <id> <stage>\\t<path>`, sorted
    by path, which begins at `offset`; `doubtful` are those of them that git was told not to look at,
    or that are not merged. `changed` and `deleted` are the tracked paths whose file on disk is not the
    index's, or not there. `untracked` are the other paths that git does not ignore, sorted; a `/`
    at the end tells a nested repository. `has_attribute_files`: whether any of these is one.
    """

    repository: Repository
    index: bytes
    tracked: list[bytes]
    doubtful: list[bytes]
    offset: int
    changed: frozenset[bytes]
    deleted: frozenset[bytes]
    untracked: list[bytes]
    has_attribute_files: bool

    def path(self, record: bytes) -> bytes:
        """The path of a tracked record."""
        return record[self.offset :]

    def entry(self, record: bytes) -> Entry:
        """The index's entry of a tracked record."""
        return Entry(
            path=path_text(record[self.offset :]),
            mode=record[2:8].decode("ascii"),
            blob=record[9 : self.offset - 3].decode("ascii"),
        )

    def tracked_named(self, name: bytes) -> list[bytes]:
        """The paths of the tracked files with this name, but for one at the top.

        Searches the index as printed, which takes a tenth of the time that a look at each record does.
        """
        found: list[bytes] = []
        end = b"/" + name + b"\0"
        at = self.index.find(end)
        while at >= 0:
            record = self.index.rfind(b"\0", 0, at) + 1
            found.append(self.index[record + self.offset : at + len(end) - 1])
            at = self.index.find(end, at + 1)
        return found

    def tracked_below(self, directory: bytes) -> list[bytes]:
        """The tracked records at or below a directory."""
        return at_or_below(self.tracked, directory, self.path)

    def untracked_below(self, directory: bytes) -> list[bytes]:
        """The untracked paths in a directory."""
        return at_or_below(self.untracked, directory, lambda path: path)


def list_directories(
    root: Path, directories: Iterable[str], meanwhile: Callable[[], object] | None = None
) -> Listing:
    """What git knows of these directories (relative to the root; they need not exist).

    `meanwhile` is called while git looks at the files. Raises GitError as git does.
    """
    wanted = narrowed(directories)
    paths = [*wanted, *attribute_files(wanted)]
    repository = Background(lambda: read_repository(root))
    status = Background(lambda: git(root, "status", *_STATUS, "--", *paths))
    index = git(root, "ls-files", "-z", "-s", "-v", "--", *paths)
    if meanwhile:
        meanwhile()
    return _listing(repository.result(), index, status.result())


# "Deleted by both" and "deleted by them" tell of commits; the file may well be on disk.
_UNMERGED = (b"DD", b"UD")

_STATUS = ("--porcelain", "-z", "-uall", "--no-renames", "--ignore-submodules=all")


def _listing(repository: Repository, index: bytes, status: bytes) -> Listing:
    tracked = records(index)
    plain = index.count(b"\0" + PLAIN + b" ") + index.startswith(PLAIN + b" ")
    skip = 3 + len(repository.prefix)
    changed: set[bytes] = set()
    deleted: set[bytes] = set()
    untracked: list[bytes] = []
    for record in records(status):
        if record[:2] == b"??":
            untracked.append(record[skip:])
        elif record[1:2] == b"D" and record[:2] not in _UNMERGED:
            deleted.add(record[skip:])
        elif record[1:2] != b" ":
            changed.add(record[skip:])
    suffix = FILE.encode("ascii")
    return Listing(
        repository=repository,
        index=index,
        tracked=tracked,
        doubtful=[]
        if plain == len(tracked)
        else [record for record in tracked if not record.startswith(PLAIN)],
        offset=tracked[0].index(b"\t") + 1 if tracked else 0,
        changed=frozenset(changed),
        deleted=frozenset(deleted),
        untracked=sorted(untracked),
        has_attribute_files=suffix + b"\0" in index
        or any(path.endswith(suffix) for path in untracked),
    )


class WorkingTree:
    """The project's files on disk (a Tree), as they were when their directory was first asked for.

    A file that a sparse checkout leaves out counts as git has it: a version must not depend on what
    happens to be checked out. Every method raises GitError as git does, and for a file that cannot
    be read.
    """

    def __init__(self, root: Path, meanwhile: Callable[[], object] | None = None) -> None:
        """`meanwhile` is called each time while git looks at the files."""
        self._root, self._meanwhile = root, meanwhile
        self._covered: set[str] = set()

    @property
    def root(self) -> Path:
        """The project's root on disk."""
        return self._root

    def load(self, directories: Iterable[str]) -> None:
        """Ask git for these directories at once, not one by one when their files are wanted."""
        self._covered.update(directories)
        for name in ("listing", "_conversions"):
            self.__dict__.pop(name, None)

    @cached_property
    def listing(self) -> Listing:
        """What git says of the directories loaded."""
        return list_directories(self._root, self._covered, self._meanwhile)

    def files(self, directory: str) -> list[Entry]:
        """The files at or below `directory`, sorted by path; empty when there are none."""
        if not covers(self._covered, directory):
            self.load([directory])
        below = os.fsencode(directory)
        found = [*self._tracked(below), *self._untracked(below)]
        return sorted(found, key=lambda entry: entry.path)

    def content(self, entry: Entry) -> bytes:
        """The raw bytes of a file of this tree (of a symbolic link: its target)."""
        path = self._on_disk(os.fsencode(entry.path))
        try:
            if entry.mode == SYMLINK:
                return os.readlink(path)
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return git(self._root, "cat-file", "blob", entry.blob)
        except OSError as error:
            raise _unreadable(entry.path, error) from None

    def deviations(self) -> set[str]:
        """The paths loaded that may not be on disk what a checkout of the index would make them.

        Untracked files are among them.
        """
        listing, (converted, rewritten) = self.listing, self._conversions
        paths = {*listing.changed, *listing.deleted, *listing.untracked, *rewritten}
        for record in listing.tracked if converted else listing.doubtful:
            path = listing.path(record)
            if path in paths or (record.startswith(PLAIN) and path not in converted):
                continue
            if self._entry_on_disk(path, record) != listing.entry(record):
                paths.add(path)
        return {path_text(path) for path in paths}

    @cached_property
    def _conversions(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """The tracked paths that git may convert, and those of them that a checkout may rewrite."""
        listing = self.listing
        if not (listing.has_attribute_files or may_convert(listing.repository)):
            return frozenset(), frozenset()
        paths = [listing.path(record) for record in listing.tracked]
        found = read_attributes(self._root, paths)
        config = listing.repository.config
        converted = frozenset(path for path in paths if converts(found.get(path, {}), config))
        return converted, frozenset(
            path for path in converted if rewrites(found.get(path, {}), config)
        )

    def _tracked(self, directory: bytes) -> Iterator[Entry]:
        listing, (converted, _) = self.listing, self._conversions
        previous = b""
        for record in listing.tracked_below(directory):
            path = listing.path(record)
            # An unmerged path has up to three records.
            if path == previous or path in listing.deleted:
                continue
            previous = path
            if record.startswith(PLAIN) and path not in listing.changed and path not in converted:
                yield listing.entry(record)
            else:
                entry = self._entry_on_disk(path, record)
                if entry is not None:
                    yield entry

    def _untracked(self, directory: bytes) -> Iterator[Entry]:
        for path in self.listing.untracked_below(directory):
            if path.endswith(b"/"):
                yield Entry(path_text(path[:-1]), SUBMODULE, "")
            else:
                entry = self._entry_on_disk(path, None)
                if entry is not None:
                    yield entry

    def _entry_on_disk(self, path: bytes, record: bytes | None) -> Entry | None:
        """The entry of a file by its bytes on disk; None where there is no file any more."""
        name = path_text(path)
        indexed = self.listing.entry(record) if record else None
        if indexed and indexed.mode == SUBMODULE:
            return indexed
        try:
            status = os.lstat(self._on_disk(path))
            if not stat.S_ISDIR(status.st_mode):
                return Entry(name, self._mode(status, indexed), self._blob(path, status))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise _unreadable(name, error) from None
        return self._left_out(path, indexed) if record and record.startswith(SKIPPED) else None

    def _left_out(self, path: bytes, indexed: Entry | None) -> Entry | None:
        if indexed and path in self._conversions[1]:
            raise GitError(
                f"{indexed.path} is not checked out, and git would convert it",
                hint=f"git sparse-checkout add {os.path.dirname(indexed.path)}",
            )
        return indexed

    def _mode(self, status: os.stat_result, indexed: Entry | None) -> str:
        if stat.S_ISLNK(status.st_mode):
            return SYMLINK
        if not self.listing.repository.is_set("core.filemode", default=True):
            return EXECUTABLE if indexed and indexed.mode == EXECUTABLE else REGULAR
        return EXECUTABLE if status.st_mode & stat.S_IXUSR else REGULAR

    def _blob(self, path: bytes, status: os.stat_result) -> str:
        algorithm = self.listing.repository.algorithm
        if stat.S_ISLNK(status.st_mode):
            return blob_of(os.readlink(self._on_disk(path)), algorithm)
        return blob_of_file(self._on_disk(path), algorithm)

    def _on_disk(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self._root), path)


def _unreadable(path: str, error: OSError) -> GitError:
    return GitError(f"{path} cannot be read: {error.strerror}", hint="give yourself access to it")
