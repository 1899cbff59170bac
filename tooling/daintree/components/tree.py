"""The files of a project as git would commit them now, and as a commit has them.

git computes both: each working tree is a copy of the repository's own index, to which `git add --all` is applied; new
blobs go to a private object directory in the user's cache. The repository itself is never written to. The copy is never
kept: one that lives on would make a version depend on what this clone did before.
"""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from daintree.components.git import (
    FLAGS,
    Blobs,
    CommitHistory,
    Objects,
    Repository,
    attempt,
    git,
    objects_directory,
    objects_parent,
    path_text,
    read_repository,
    records,
    refusal,
)
from daintree.errors import GitError

REGULAR, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"
TOP = "components"
ATTRIBUTES = ".gitattributes"
LARGE = 100_000_000

_MOST_PATHS = 30
_NO_COMMIT = r"(?m)^error: '(.+?)/?' does not have a commit checked out$"
_UNREADABLE = r"(?m)^error: open\(\"(.+)\"\): (.+)$"
_NO_FILE = r"(?m)^error: (.+): can only add regular files"
_FILTER = r"external filter '.*' failed.*|.*clean filter '.*' failed"
_ATTRIBUTES = ("text", "eol", "ident", "working-tree-encoding", "filter")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One file: its path below the project's root, its mode and blob id as git writes them."""

    path: str
    mode: str
    blob: str


Differences = dict[str, tuple[Entry | None, Entry | None]]


class Tree(Protocol):
    """The files of a project in one state."""

    @property
    def root(self) -> Path:
        """The project's root on disk."""
        ...

    def files(self, directory: str) -> Sequence[Entry]:
        """Return the files at or below `directory`, sorted by path."""
        ...

    def content(self, entry: Entry) -> bytes:
        """Return the blob of a file of this tree (of a symbolic link: its target). Raises GitError when the repository lacks it."""
        ...

    def conversions(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Return what a checkout does to these files by their attributes, where it writes other bytes than the blob's."""
        ...


class WorkingTree:
    """The project's files on disk as git would commit them (a Tree), at the moment their directory was first asked for.

    Files are tracked, or untracked and not ignored. What a sparse checkout leaves out counts as the index has it. Every
    method raises GitError as git does, and for what git cannot read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._covered: set[str] = set()
        self._loaded: set[str] = set()
        self._excluded: set[str] = set()
        self._nested: set[str] = set()
        self._records: list[bytes] = []
        self._output = b""
        self._offset = 0
        self._compared: dict[tuple[str, int], Differences] = {}
        # Counts how often git has looked at the files.
        self.readings = 0
        # Paths that were in conflict, and new files with their sizes from LARGE on.
        self.conflicts: set[str] = set()
        self.large: dict[str, int] = {}

    @property
    def root(self) -> Path:
        """The project's root on disk."""
        return self._root

    @cached_property
    def repository(self) -> Repository:
        """The repository that the project lies in."""
        repository = read_repository(self._root)
        self._open(repository)
        return repository

    def load(self, directories: Iterable[str]) -> None:
        """Ask git for these directories or files together, with the next question."""
        self._covered.update(directories)

    @property
    def objects(self) -> Path:
        """The private git directory that has the blobs of this tree."""
        assert self.repository
        return self._objects.directory

    def exclude(self, patterns: Iterable[str]) -> None:
        """Leave what git's glob patterns match as the index has it: no version counts that."""
        self._excluded = {*patterns}
        self._loaded = set()

    def files(self, directory: str) -> list[Entry]:
        """Return the files at or below `directory`, sorted by path."""
        self._ensure(directory)
        below = os.fsencode(directory)
        entries = [self._entry(record) for record in at_or_below(self._records, below, self._path)]
        nested = [
            Entry(path, SUBMODULE, "") for path in self._nested if is_covered({directory}, path)
        ]
        return sorted([*entries, *nested], key=lambda entry: entry.path) if nested else entries

    def content(self, entry: Entry) -> bytes:
        """Return the blob of a file of this tree (of a symbolic link: its target). Raises GitError when the repository lacks it."""
        try:
            return self._blobs.read(entry.blob)
        except KeyError:
            pass
        # Lost from the private objects, or damaged there: whatever is still on disk is written again.
        self._objects.remove()
        self._open(self.repository)
        self._read()
        try:
            return self._blobs.read(entry.blob)
        except KeyError:
            raise GitError(
                f"the repository lacks the object {entry.blob} of {entry.path}", hint="git fetch"
            ) from None

    def commit_seconds(self, commit: str) -> int:
        """Return the time at which a commit was made, in seconds since 1970. Raises GitError."""
        assert self.repository
        found = re.search(rb"^committer .* (\d+) [-+]\d+$", self._blobs.read(commit), re.MULTILINE)
        if found is None:
            raise GitError(f"the commit {commit} cannot be read")
        return int(found[1])

    def history(self, commit: str) -> CommitHistory:
        """Return the place of a commit in the repository's history."""
        assert self.repository
        return CommitHistory(self._root, commit, self._blobs)

    def named(self, name: str) -> list[str]:
        """Return the paths of all files with this name but one at the top, without a look at each file."""
        self._ensure()
        paths: list[str] = []
        end = b"/" + os.fsencode(name) + b"\0"
        at = self._output.find(end)
        while at >= 0:
            record = self._output.rfind(b"\0", 0, at) + 1
            paths.append(path_text(self._output[record + self._offset : at + len(end) - 1]))
            at = self._output.find(end, at + 1)
        return paths

    def differences(self, commit: str) -> Differences:
        """Return the commit's and this tree's entry of each path below the project's root that is not the same in both.

        Without a commit everything differs from nothing.
        """
        self._ensure()
        key = (commit, self.readings)
        if key not in self._compared:
            self._compared[key] = self._compare(commit)
        return self._compared[key]

    def _compare(self, commit: str) -> Differences:
        against = commit or self._git("hash-object", "-t", "tree", "/dev/null").decode().strip()
        options = ("--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff")
        relative = ("--relative",) if self.repository.prefix else ()
        fields = iter(records(self._git("diff-index", *options, *relative, against)))
        found: Differences = {}
        for facts in fields:
            path = os.fsdecode(next(fields))
            old_mode, mode, old_blob, blob, _ = facts.decode("ascii").removeprefix(":").split(" ")
            found[path] = (
                Entry(path, old_mode, old_blob) if int(old_mode) else None,
                Entry(path, mode, blob) if int(mode) else None,
            )
        return found

    def conversions(self, paths: Iterable[str], commit: str = "") -> Mapping[str, str]:
        """Return what a checkout does to these files by their attributes, where it writes other bytes than the blob's.

        The attributes are those of `commit` where one is given.
        """
        wanted = [*paths]
        has_files = b"." + ATTRIBUTES.encode()[1:] + b"\0" in self._output or self.repository.prefix
        info = self.repository.common_directory / "info" / "attributes"
        if not wanted or not (commit or has_files or info.exists()):
            return {}
        variables = dict(self._variables)
        if commit:
            variables["GIT_INDEX_FILE"] += ".base"
            weakref.finalize(self, _remove, Path(variables["GIT_INDEX_FILE"]))
            git(self._root, *FLAGS, "read-tree", commit, env=variables)
        return _read_conversions(self._root, variables, wanted)

    def _open(self, repository: Repository) -> None:
        self._objects = Objects(repository)
        index = self._objects.directory / f"index.{os.urandom(6).hex()}"
        weakref.finalize(self, _remove, index)
        self._variables = {
            "GIT_INDEX_FILE": os.fspath(index),
            "GIT_OBJECT_DIRECTORY": os.fspath(self._objects.directory / "objects"),
        }
        self._blobs = Blobs(self._root, self._variables)

    def _ensure(self, directory: str = "") -> None:
        """Let git look at what was asked for and has not been looked at."""
        assert self.repository
        if directory and not is_covered(self._covered, directory):
            self._covered.add(directory)
        if self._covered - self._loaded:
            self._loaded = {*self._covered}
            self._read()

    def _read(self) -> None:
        if (self._root / TOP).is_symlink():
            raise GitError(f"{TOP} is a link", hint="put the components into the project itself")
        self.readings += 1
        paths = self._paths()
        self._copy_index()
        present = [path for path in paths if os.path.lexists(self._root / path)]
        self._add([*present, *self._attributes_above()])
        again = self._list(paths)
        if again:
            self._add(again)
            self._list(paths)

    def _paths(self) -> list[str]:
        wanted = sorted(self._loaded)
        if len(wanted) > _MOST_PATHS:
            # git compares every file with every path it is given.
            wanted = sorted({path.partition("/")[0] for path in wanted})
        above = {""} | {
            path[: place + 1] for path in wanted for place, mark in enumerate(path) if mark == "/"
        }
        return [*wanted, *sorted(parent + ATTRIBUTES for parent in above)]

    def _attributes_above(self) -> list[str]:
        above = ["../" * (level + 1) + ATTRIBUTES for level in range(self.repository.levels)]
        return [path for path in above if os.path.lexists(self._root / path)]

    def _copy_index(self) -> None:
        """Copy the index with its time: git compares the times of files with it to tell which edits it may have missed."""
        target = self._variables["GIT_INDEX_FILE"]
        try:
            with open(self.repository.git_directory / "index", "rb") as index:
                status = os.fstat(index.fileno())
                content = index.read()
        except FileNotFoundError:
            _remove(Path(target))
            return
        except OSError as error:
            raise GitError(f"git's index cannot be read: {error.strerror}") from None
        with open(target, "wb") as copy:
            copy.write(content)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _git(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return git(self._root, *FLAGS, *arguments, stdin=stdin, env=self._variables)

    def _add(self, paths: Collection[str]) -> None:
        if not paths:
            return
        specs = [f":(literal){path}" for path in paths]
        # What git-lfs takes in stays out of the repository too; what that has is found through the alternates.
        flags = (*FLAGS, "-c", f"lfs.storage={self.objects / 'lfs'}")
        while True:
            excluded = [f":(exclude,literal){path}" for path in sorted(self._nested)]
            excluded += [f":(exclude,glob){pattern}" for pattern in sorted(self._excluded)]
            arguments = ("add", "--all", "--sparse", "--verbose", "--", *specs, *excluded)
            variables = {**self._variables, "GIT_LITERAL_PATHSPECS": "0"}
            finished = attempt(self._root, *flags, *arguments, env=variables)
            complaint = finished.stderr.decode("utf-8", "replace")
            nested = re.search(_NO_COMMIT, complaint) if complaint else None
            if not nested:
                break
            # git adds nothing at all when one nested repository has no commit.
            self._nested.add(self._below_root(nested[1]))
        self._check(complaint)
        # With 1, git says that some of the paths are ignored; all others are added.
        if finished.code not in (0, 1):
            raise refusal(self._root, arguments, finished)
        self._measure(finished.stdout)

    def _check(self, complaint: str) -> None:
        if not complaint:
            return
        unreadable, no_file = re.search(_UNREADABLE, complaint), re.search(_NO_FILE, complaint)
        if unreadable:
            raise GitError(
                f"{self._below_root(unreadable[1])} cannot be read: {unreadable[2]}",
                hint="give yourself access to it",
            )
        if no_file:
            raise GitError(f"{self._below_root(no_file[1])} is not a regular file")
        broken = re.search(_FILTER, complaint)
        if broken:
            raise GitError(
                f"a filter that .gitattributes names does not work: {broken[0]}",
                hint="install the filter's program, or set filter.<name>.clean right in git's configuration",
            )

    def _below_root(self, path: str) -> str:
        return path.removeprefix(os.fsdecode(self.repository.prefix))

    def _measure(self, output: bytes) -> None:
        """Note the new files that every command has to hash again."""
        for line in output.split(b"\n"):
            if line.startswith(b"add '"):
                path = self._below_root(os.fsdecode(line[5:-1]))
                with suppress(OSError):
                    size = os.lstat(self._root / path).st_size
                    if size >= LARGE:
                        self.large[path] = size

    def _list(self, paths: Sequence[str]) -> list[str]:
        """Read the index; the paths that have to be added again, since git was told not to look at them."""
        output = self._git("ls-files", "-z", "-s", "-v", "--resolve-undo", "--", *paths)
        listed = records(output)
        self._offset = listed[0].index(b"\t") + 1 if listed else 0
        plain = output.count(b"\0H ") + output.startswith(b"H ")
        if plain == len(listed):
            self._output, self._records = output, listed
            return self._gone(paths)
        self.conflicts = {path_text(self._path(r)) for r in listed if r.startswith(b"U ")}
        listed = [record for record in listed if not record.startswith(b"U ")]
        flagged = [record for record in listed if record.startswith((b"h ", b"s "))]
        skipped = [record for record in listed if record.startswith(b"S ")]
        flagged += [r for r in skipped if os.path.lexists(self._on_disk(self._path(r)))]
        if flagged:
            # Not by --no-assume-unchanged: git takes a flagged file's time for one that it has looked at, and would miss
            # an edit in the second in which the file was committed. A new entry has neither flag nor time.
            prefix = self.repository.prefix
            new = [r[2 : self._offset] + prefix + self._path(r) + b"\0" for r in flagged]
            self._git("update-index", "-z", "--index-info", stdin=b"".join(new))
        # A path in conflict that is not added has up to three records.
        first = {self._path(record): record for record in reversed(listed)}
        self._records = [first[path] for path in sorted(first)]
        self._output = b"".join(record + b"\0" for record in self._records)
        return [*map(path_text, {*map(self._path, flagged)}), *self._gone(paths)]

    def _gone(self, paths: Sequence[str]) -> list[str]:
        """The paths that are tracked, wanted and not on disk: git can be asked to add what it knows."""
        missing = [path for path in paths if not os.path.lexists(self._root / path)]
        return [
            path
            for path in missing
            for record in at_or_below(self._records, os.fsencode(path), self._path)[:1]
            if not record.startswith((b"S", b"s"))
        ]

    def _on_disk(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self._root), path)

    def _path(self, record: bytes) -> bytes:
        return record[self._offset :]

    def _entry(self, record: bytes) -> Entry:
        return Entry(
            path=path_text(record[self._offset :]),
            mode=record[2:8].decode("ascii"),
            blob=record[9 : self._offset - 3].decode("ascii"),
        )


def blob_id(content: bytes, like: str) -> str:
    """Return the id that git gives a blob of this content, in the object format of another id."""
    digest = hashlib.new("sha1" if len(like) == 40 else "sha256", usedforsecurity=False)
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()


def remove_objects(root: Path) -> None:
    """Remove the private objects of the working tree at `root`, which is about to go itself. Raises GitError."""
    import shutil

    shutil.rmtree(objects_directory(read_repository(root)), ignore_errors=True)


def unused_objects(before: float) -> list[Path]:
    """Return the private objects of repositories that are gone, and of those not used since a time (seconds since 1970)."""
    directories = []
    for mark in sorted(objects_parent().glob("*/HEAD")):
        directory = mark.parent
        with suppress(OSError):
            repository = (directory / "objects/info/alternates").read_bytes().rstrip(b"\n")
            used = max(path.stat().st_mtime for path in (mark, *directory.glob("pruned")))
            if used < before or not os.path.isdir(repository):
                directories.append(directory)
    return directories


def is_covered(directories: Collection[str], path: str) -> bool:
    """Return True when one of the directories is `path` or holds it."""
    while path:
        if path in directories:
            return True
        path = path.rpartition("/")[0]
    return False


T = TypeVar("T")


def at_or_below(items: Sequence[T], directory: bytes, path_of: Callable[[T], bytes]) -> list[T]:
    """The items whose path is `directory` or lies in it; `items` are sorted by path."""
    start = bisect_left(items, directory + b"/", key=path_of)
    end = bisect_left(items, directory + b"0", lo=start, key=path_of)
    exact = bisect_left(items, directory, hi=start, key=path_of)
    own = items[exact : exact + 1] if exact < start and path_of(items[exact]) == directory else ()
    return [*own, *items[start:end]]


def _read_conversions(
    root: Path, variables: Mapping[str, str], paths: Sequence[str]
) -> dict[str, str]:
    command = ("-c", "core.attributesFile=/dev/null", "check-attr", "--cached", "-z", "--stdin")
    names = b"".join(os.fsencode(path) + b"\0" for path in paths)
    neutral = {**variables, "GIT_ATTR_NOSYSTEM": "1"}
    fields = iter(records(git(root, *command, *_ATTRIBUTES, stdin=names, env=neutral)))
    values: dict[str, dict[str, str]] = {}
    for path, name, value in zip(fields, fields, fields, strict=True):
        values.setdefault(os.fsdecode(path), {})[name.decode()] = value.decode("utf-8", "replace")
    return {path: found for path in paths if (found := _conversion(values[path]))}


def _conversion(attributes: Mapping[str, str]) -> str:
    """Attributes, as they are written, by which a checkout writes other bytes than the blob's."""
    parts = []
    if attributes["eol"] == "crlf" and attributes["text"] != "unset":
        parts.append("eol=crlf")
    if attributes["ident"] == "set":
        parts.append("ident")
    if attributes["working-tree-encoding"] not in ("unspecified", "unset", "set"):
        parts.append(f"working-tree-encoding={attributes['working-tree-encoding']}")
    if attributes["filter"] == "lfs":
        parts.append("filter=lfs")
    return " ".join(parts)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
