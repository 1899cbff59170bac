"""A commit's files, as a clean checkout would put them on disk, and the commit to compare with."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.components.attributes import (
    FILE,
    attribute_files,
    may_convert,
    read_attributes,
    rewrites,
)
from daintree.components.entry import (
    SUBMODULE,
    SYMLINK,
    Entry,
    at_or_below,
    blob_of,
    covers,
    narrowed,
)
from daintree.components.git import Repository, attempt, git, records
from daintree.errors import GitError


class CheckedOut(msgspec.Struct, frozen=True):
    """The entries, by path, of files that a checkout rewrites, and their contents by blob id."""

    entries: dict[str, Entry]
    contents: dict[str, bytes]


def check_out(repository: Repository, commit: str, files: Sequence[Entry]) -> CheckedOut:
    """Those of a commit's files that a checkout rewrites, with the bytes it writes.

    Raises GitError as git does, for instance when a required filter fails.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch, "tree")
        top.mkdir()
        environment = {
            "GIT_DIR": os.fspath(repository.git_directory),
            "GIT_WORK_TREE": os.fspath(top),
            "GIT_INDEX_FILE": os.path.join(scratch, "index"),
        }
        git(top, "-c", "core.splitIndex=false", "read-tree", commit, env=environment)
        paths = {repository.prefix + os.fsencode(file.path): file for file in files}
        rewritten = _rewritten(repository, top, list(paths), environment)
        names = b"".join(path + b"\0" for path in rewritten)
        git(top, "checkout-index", "-z", "--stdin", stdin=names, env=environment)
        return _read(repository, top, {path: paths[path] for path in rewritten})


def _rewritten(
    repository: Repository, top: Path, paths: Sequence[bytes], environment: Mapping[str, str]
) -> list[bytes]:
    found = read_attributes(top, paths, cached=environment)
    return [path for path in paths if rewrites(found.get(path, {}), repository.config)]


def _read(repository: Repository, top: Path, files: Mapping[bytes, Entry]) -> CheckedOut:
    written = CheckedOut({}, {})
    for path, file in files.items():
        content = top.joinpath(os.fsdecode(path)).read_bytes()
        blob = blob_of(content, repository.algorithm)
        written.entries[file.path] = Entry(file.path, file.mode, blob)
        written.contents[blob] = content
    return written


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
