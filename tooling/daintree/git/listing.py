"""What git's index and `git status` say of a project's directories, as git prints it.

The records stay the bytes git printed until somebody asks for them: a tree may hold a hundred
thousand files, and the question mostly concerns a few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from daintree.git.attributes import FILE, attribute_files
from daintree.git.background import Background
from daintree.git.entry import Entry, at_or_below, narrowed
from daintree.git.plumbing import git, path_text, records
from daintree.git.repository import Repository, read_repository

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
