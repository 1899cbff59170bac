"""A commit's files, as a clean checkout would put them on disk, and the commit to compare with."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from daintree.errors import GitError
from daintree.git.attributes import FILE, attribute_files, may_convert
from daintree.git.checkout import CheckedOut, check_out
from daintree.git.entry import SUBMODULE, SYMLINK, Entry, at_or_below, covers, narrowed
from daintree.git.plumbing import attempt, git, records
from daintree.git.repository import Repository


class CommitTree:
    """The project's files in one commit (a Tree). Every method raises GitError as git does."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository = repository
        self._commit = commit
        self._covered: set[str] = set()
        self._entries: list[Entry] = []
        self._contents: dict[str, bytes] = {}

    @property
    def root(self) -> Path:
        """The project's root on disk."""
        return self._repository.root

    @property
    def commit(self) -> str:
        """The commit's id."""
        return self._commit

    def load(self, directories: Iterable[str], *, contents: Collection[str] = ()) -> None:
        """Read these directories at once, with the contents of links and of files so named."""
        wanted = narrowed(name for name in directories if not covers(self._covered, name))
        if not wanted:
            return
        found = self._list(wanted)
        read = [e for e in found if e.mode == SYMLINK or os.path.basename(e.path) in contents]
        self._contents |= read_blobs(self.root, sorted({entry.blob for entry in read}))
        known = {entry.path: entry for entry in (*self._entries, *self._as_checked_out(found))}
        self._entries = [known[path] for path in sorted(known)]
        self._covered.update(wanted)

    def files(self, directory: str) -> list[Entry]:
        """The files at or below `directory`, sorted by path; empty when there are none."""
        self.load([directory])
        return at_or_below(
            self._entries, os.fsencode(directory), lambda entry: os.fsencode(entry.path)
        )

    def content(self, entry: Entry) -> bytes:
        """The raw bytes of a file of this tree (of a symbolic link: its target)."""
        if entry.blob not in self._contents:
            self._contents |= read_blobs(self.root, [entry.blob])
        return self._contents[entry.blob]

    def _list(self, directories: Sequence[str]) -> list[Entry]:
        above = attribute_files(directories, self._repository.levels)
        output = git(self.root, "ls-tree", "-r", "-z", self._commit, "--", *directories, *above)
        return [_entry(record) for record in records(output)]

    def _as_checked_out(self, entries: list[Entry]) -> list[Entry]:
        if not self._may_convert(entries):
            return entries
        files = [entry for entry in entries if entry.mode not in (SYMLINK, SUBMODULE)]
        found: CheckedOut = check_out(self._repository, self._commit, files)
        self._contents |= found.contents
        return [found.entries.get(entry.path, entry) for entry in entries]

    def _may_convert(self, entries: list[Entry]) -> bool:
        if any(os.path.basename(entry.path) == FILE for entry in entries):
            return True
        return may_convert(self._repository)


def _entry(record: bytes) -> Entry:
    facts, _, path = record.partition(b"\t")
    mode, _, blob = facts.decode("ascii").split(" ")
    return Entry(os.fsdecode(path), mode, blob)


def read_blobs(root: Path, blobs: Sequence[str]) -> dict[str, bytes]:
    """The contents of these blobs. Raises GitError when one is missing."""
    if not blobs:
        return {}
    output = git(root, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
    contents: dict[str, bytes] = {}
    at = 0
    for blob in blobs:
        end = output.index(b"\n", at)
        fields = output[at:end].split(b" ")
        if fields[1] != b"blob":
            raise GitError(f"the repository lacks the object {blob}", hint="git fetch")
        at = end + 1 + int(fields[2]) + 1
        contents[blob] = output[end + 1 : at - 1]
    return contents


def resolve_commit(root: Path, revision: str) -> str:
    """The id of the commit that a revision names; "" when it names none."""
    named = f"{revision}^{{commit}}"
    found = attempt(root, "rev-parse", "--verify", "--quiet", "--end-of-options", named)
    return found.stdout.decode("ascii").strip() if found.code == 0 else ""


def default_base(root: Path) -> str:
    """The merge base of HEAD with its upstream branch; without an upstream, HEAD; "" before any
    commit.

    Raises GitError when the two share no history here, as in a clone that is too shallow.
    """
    found = attempt(root, "merge-base", "HEAD", "@{upstream}")
    if found.code == 0:
        return found.stdout.decode("ascii").strip()
    if found.code == 1:
        raise GitError(
            "HEAD and its upstream branch have no commit in common in this clone",
            hint="fetch more history with `git fetch --unshallow`, or name a commit with --base",
        )
    return resolve_commit(root, "HEAD")


def head(root: Path, directories: Sequence[str]) -> tuple[str, bool]:
    """The commit checked out ("" before any), and whether these directories differ from it.

    Untracked files count, ignored ones do not. Raises GitError as git does.
    """
    output = git(root, "status", *_STATUS, "--", *directories)
    commit, dirty = "", False
    for record in records(output):
        if record.startswith(b"# branch.oid "):
            commit = record.split(b" ")[2].decode("ascii").removeprefix("(initial)")
        elif not record.startswith(b"#"):
            dirty = True
    return commit, dirty and bool(directories)


_STATUS = (
    *("--porcelain=v2", "--branch", "--no-ahead-behind", "-z"),
    *("--untracked-files=normal", "--no-renames", "--ignore-submodules=all"),
)
