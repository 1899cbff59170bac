"""The files of a project as git would commit them now, and as a commit has them.

git computes both: `git add --all` is applied to a copy of the repository's index, new blobs go to a private object directory.
For a tree that is begun early `git status` tells what differs from that index, and only this is added, to an index of its own.
The repository is never written to, and no copy lives on: a version would depend on what this clone did before.
"""

from __future__ import annotations

import os
import re
import sys
import weakref
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from daintree.components.entries import (
    ATTRIBUTES,
    IGNORE,
    STATUS,
    SUBMODULE,
    TOP,
    Differences,
    Entry,
    at_or_below,
    changed_paths,
    is_covered,
    read_differences,
)
from daintree.components.git import (
    FLAGS,
    Blobs,
    Objects,
    Repository,
    attempt,
    git,
    path_text,
    read_conversions,
    read_repository,
    records,
    refusal,
    start,
)
from daintree.errors import GitError
from daintree.process import Finished, Running
from daintree.terminal import colour, say

# A new file from so many bytes on takes a command a moment that is noticed.
LARGE = 100_000_000
_announced: set[Path] = set()

_MOST_PATHS = 30
_MOST_CHANGES = 200
_NO_COMMIT = r"(?m)^error: '(.+?)/?' does not have a commit checked out$"
_UNREADABLE = r"(?m)^error: open\(\"(.+)\"\): (.+)$"
_NO_FILE = r"(?m)^error: (.+): can only add regular files"
_FILTER = r"external filter '.*' failed.*|.*clean filter '.*' failed"
_LIST = ("ls-files", "-z", "-s", "-v", "--resolve-undo", "--")
# A file that is only intended to be added counts: it is in the list, too.
_COMPARE = (
    *("--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff"),
    "--ita-visible-in-index",
)


class _Started(NamedTuple):
    """git's status of a working tree's paths, and the names of files to look for meanwhile."""

    paths: list[str]
    names: Sequence[str]
    status: Running


class WorkingTree:
    """The project's files on disk as git would commit them (a Tree), at the moment their directory was first asked for.

    Files are tracked, or untracked and not ignored. What a sparse checkout leaves out counts as the index has it. Every
    method raises GitError as git does, and for what git cannot read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._covered: set[str] = set()
        self._loaded: set[str] = set()
        self._excluded: set[str] = set()
        self._nested: set[str] = set()
        self._records: list[bytes] = []
        self._named: dict[str, set[str]] = {}
        self._compared: dict[tuple[str, int], Differences] = {}
        # What the copy of the index has otherwise: its entry, and that of the file on disk.
        self._changes: Differences = {}
        self._started: _Started | None = None
        # Counts how often git has looked at the files.
        self.readings = 0
        # Paths that were in conflict.
        self.conflicts: set[str] = set()

    @cached_property
    def repository(self) -> Repository:
        """The repository that the project lies in."""
        repository = read_repository(self.root)
        self._open(repository)
        return repository

    def load(self, directories: Iterable[str]) -> None:
        """Ask git for these directories or files together, with the next question."""
        self._covered.update(directories)

    def start(self, directories: Iterable[str], names: Sequence[str] = ()) -> None:
        """Ask git for these directories or files now; the first question about the tree waits for its answers.

        `git status` does not write an index of all files; while it looks at them, the first question has git list the index
        and compare it with HEAD, and looks for files with these names. Hardly anything is left to be done after it.
        """
        self._settle()
        self.load(directories)
        if self._covered == self._loaded or self._excluded or not self.repository.head:
            return
        self._loaded = {*self._covered}
        paths = self._prepare()
        status = self._start(*self._storage, *STATUS, *paths, *self._above())
        weakref.finalize(self, status.stop)
        self._started = _Started(paths, names, status)

    def _start(self, *arguments: str) -> Running:
        return start(self.root, *FLAGS, *arguments, env=self._variables)

    @property
    def objects(self) -> Path:
        """The private git directory that has the blobs of this tree."""
        assert self.repository
        return self._objects.directory

    def exclude(self, patterns: Iterable[str]) -> None:
        """Leave what git's glob patterns match as the index has it: no version counts that."""
        self._settle()
        self._excluded = {*patterns}
        self._loaded = set()

    def files(self, directory: str) -> list[Entry]:
        self._ensure(directory)
        entries = [self._entry(record) for record in self._at(directory)]
        nested = [
            Entry(path, SUBMODULE, "") for path in self._nested if is_covered({directory}, path)
        ]
        return sorted([*entries, *nested], key=lambda entry: entry.path) if nested else entries

    def content(self, entry: Entry) -> bytes:
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

    @property
    def blobs(self) -> Blobs:
        """The reader of the blobs of this tree, and of all objects of its repository."""
        assert self.repository
        return self._blobs

    def named(self, name: str) -> set[str]:
        """Return the paths of all files with this name."""
        self._ensure()
        if name not in self._named:
            self._find([name])
        return self._named[name]

    def _find(self, names: Iterable[str]) -> None:
        """Note the paths of all files with one of these names, in one pass over the list."""
        self._named.update({name: set() for name in names})
        ends = tuple(f"{mark}{name}".encode() for name in names for mark in "/\t")
        for record in self._records:
            if record.endswith(ends):
                path = path_text(self._path(record))
                # A name may have a tab in it.
                self._named.get(path.rpartition("/")[2], set()).add(path)

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
        return self._with_changes(read_differences(self._git(*self._comparison(against))))

    def _comparison(self, commit: str) -> tuple[str, ...]:
        relative = ("--relative",) if self.repository.prefix else ()
        return ("diff-index", *_COMPARE, *relative, commit)

    def conversions(self, paths: Iterable[str], commit: str = "") -> Mapping[str, str]:
        """Return what a checkout does to these files by their attributes, where it writes other bytes than the blob's.

        The attributes are those of `commit` where one is given.
        """
        wanted = [*paths]
        has_files = self.named(ATTRIBUTES) or self.repository.prefix
        shared = self.repository.common_directory / "info" / "attributes"
        if not wanted or not (commit or has_files or shared.exists()):
            return {}
        variables = dict(self._variables)
        if commit:
            variables["GIT_INDEX_FILE"] += ".base"
            git(self.root, *FLAGS, "read-tree", commit, env=variables)
        return read_conversions(self.root, variables, wanted)

    def _open(self, repository: Repository) -> None:
        self._objects = Objects(repository)
        index = self._objects.directory / f"index.{os.urandom(6).hex()}"
        for suffix in ("", ".changed", ".base"):
            weakref.finalize(self, Path(f"{index}{suffix}").unlink, missing_ok=True)
        self._variables = {
            "GIT_INDEX_FILE": os.fspath(index),
            "GIT_OBJECT_DIRECTORY": os.fspath(self._objects.directory / "objects"),
        }
        # The length of what is listed of a file before its path.
        self._offset = len("H 100644  0\t") + (64 if repository.algorithm == "sha256" else 40)
        # What git-lfs takes in stays out of the repository too; what that has is found through the alternates.
        self._storage = ("-c", f"lfs.storage={self._objects.directory / 'lfs'}")
        self._patterns = {**self._variables, "GIT_LITERAL_PATHSPECS": "0"}
        self._blobs = Blobs(self.root, self._variables)

    def _ensure(self, directory: str = "") -> None:
        """Let git look at what was asked for and has not been looked at."""
        assert self.repository
        if directory and not is_covered(self._covered, directory):
            self._covered.add(directory)
        self._settle()
        if self._covered - self._loaded:
            self._loaded = {*self._covered}
            self._read()

    def _read(self) -> None:
        paths = self._prepare()
        self._add(self._present(paths))
        self._list(paths)

    def _prepare(self) -> list[str]:
        """Copy the index; return the paths that git is to look at."""
        if (self.root / TOP).is_symlink():
            raise GitError(f"{TOP} is a link", hint="put the components into the project itself")
        self.readings += 1
        self._changes = {}
        self._copy_index(Path(self._variables["GIT_INDEX_FILE"]))
        return self._paths()

    def _settle(self) -> None:
        """Wait for what `start` has begun."""
        started, self._started = self._started, None
        if not started:
            return
        beside = self._start(*self._comparison(self.repository.head))
        listing, comparison = self._start(*_LIST, *started.paths).finish(), beside.finish()
        is_plain = not listing.code and not comparison.code and self._is_plain(listing.stdout)
        if is_plain:
            self._find(started.names)
        else:
            started.status.stop()
        status = started.status.finish()
        if is_plain and self._take_in(changed_paths(self.repository, status)):
            before = read_differences(comparison.stdout)
            self._compared[self.repository.head, self.readings] = self._with_changes(before)
        else:
            self._add(self._present(started.paths))
            self._list(started.paths)

    def _take_in(self, paths: Sequence[str] | None) -> bool:
        """Bring the list up to date with changed files, which are added to an index of their own; False where git refuses them."""
        if paths is None or len(paths) > _MOST_CHANGES:
            return False
        new = self._added(paths) if paths else {}
        if new is None:
            return False
        for path in paths:
            name, entry = os.fsencode(path), new.get(path)
            at = bisect_left(self._records, name, key=self._path)
            old = [record for record in self._records[at : at + 1] if self._path(record) == name]
            line = [f"H {entry.mode} {entry.blob} 0\t".encode() + name] if entry else []
            self._records[at : at + len(old)] = line
            named = self._named.get(path.rpartition("/")[2], set())
            named.add(path) if entry else named.discard(path)
            self._changes[path] = (self._entry(old[0]) if old else None, entry)
        return True

    def _added(self, paths: Sequence[str]) -> Mapping[str, Entry] | None:
        """Return what the files at these paths become in the index, by path; None where git refuses one."""
        index = f"{self._variables['GIT_INDEX_FILE']}.changed"
        Path(index).unlink(missing_ok=True)
        variables = {**self._patterns, "GIT_INDEX_FILE": index}
        known = [record for path in paths for record in self._at(path)]
        if known:
            self._put(known, variables)
        finished = attempt(self.root, *self._addition(paths), env=variables)
        if finished.code or finished.stderr:
            return None
        self._measure(finished.stdout)
        listed = records(git(self.root, *FLAGS, *_LIST, env=variables))
        return {entry.path: entry for entry in map(self._entry, listed)}

    def _put(self, entries: Iterable[bytes], variables: Mapping[str, str]) -> None:
        """Put entries, as they are listed, into an index anew: without flags, and without times to be taken for unchanged."""
        prefix = self.repository.prefix
        lines = [entry[2 : self._offset] + prefix + self._path(entry) + b"\0" for entry in entries]
        command = (*FLAGS, "update-index", "-z", "--index-info")
        git(self.root, *command, stdin=b"".join(lines), env=variables)

    def _with_changes(self, before: Differences) -> Differences:
        """Return the differences of a commit from the tree; `before` are those from the index."""
        both = {**before}
        for path, (old, new) in self._changes.items():
            both[path] = (before[path][0] if path in before else old, new)
        return {path: pair for path, pair in both.items() if pair[0] != pair[1]}

    def _present(self, paths: Iterable[str]) -> list[str]:
        return [p for p in (*paths, *self._above()) if os.path.lexists(self.root / p)]

    def _above(self) -> list[str]:
        return ["../" * (level + 1) + ATTRIBUTES for level in range(self.repository.levels)]

    def _paths(self) -> list[str]:
        wanted = sorted(self._loaded)
        # git compares every file with every path it is given.
        if len(wanted) > _MOST_PATHS:
            wanted = sorted({path.partition("/")[0] for path in wanted})
        above = {""} | {
            path[: place + 1] for path in wanted for place, mark in enumerate(path) if mark == "/"
        }
        return [*wanted, *sorted(parent + ATTRIBUTES for parent in above)]

    def _copy_index(self, target: Path) -> None:
        """Copy the index with its time: git compares the times of files with it to tell which edits it may have missed.

        On one file system that takes a second name: git writes a new index in the place of one, and never into it.
        """
        index = self.repository.git_directory / "index"
        target.unlink(missing_ok=True)
        try:
            with suppress(OSError):
                os.link(os.path.realpath(index), target)
                return
            with open(index, "rb") as source:
                status = os.fstat(source.fileno())
                target.write_bytes(source.read())
        except FileNotFoundError:
            return
        except OSError as error:
            raise GitError(f"git's index cannot be read: {error.strerror}") from None
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _git(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return git(self.root, *FLAGS, *arguments, stdin=stdin, env=self._variables)

    def _add(self, paths: Collection[str]) -> None:
        while paths:
            arguments = self._addition(paths)
            if self._is_added(attempt(self.root, *arguments, env=self._patterns), arguments):
                return

    def _addition(self, paths: Iterable[str]) -> tuple[str, ...]:
        specs = [f":(literal){path}" for path in paths]
        specs += [f":(exclude,literal){path}" for path in sorted(self._nested)]
        specs += [f":(exclude,glob){pattern}" for pattern in sorted(self._excluded)]
        return (*FLAGS, *self._storage, "add", "--all", "--sparse", "--verbose", "--", *specs)

    def _is_added(self, finished: Finished, arguments: Iterable[str]) -> bool:
        """Return False where git has added nothing at all, as one nested repository has no commit: it is left out next time."""
        complaint = finished.stderr.decode("utf-8", "replace")
        nested = re.search(_NO_COMMIT, complaint)
        if nested:
            self._nested.add(self._below_root(nested[1]))
            return False
        self._check(complaint)
        # With 1, git says that some of the paths are ignored; all others are added.
        if finished.code not in (0, 1):
            raise refusal(self.root, arguments, finished)
        self._measure(finished.stdout)
        return True

    def _check(self, complaint: str) -> None:
        unreadable, no_file = re.search(_UNREADABLE, complaint), re.search(_NO_FILE, complaint)
        if unreadable:
            raise GitError(
                f"{self._below_root(unreadable[1])} cannot be read: {unreadable[2]}",
                hint="give yourself access to it",
            )
        if no_file:
            raise GitError(f"{self._below_root(no_file[1])} is not a regular file")
        if broken := re.search(_FILTER, complaint):
            raise GitError(
                f"a filter that .gitattributes names does not work: {broken[0]}",
                hint="install the filter's program, or set filter.<name>.clean right in git's configuration",
            )

    def _below_root(self, path: str) -> str:
        return path.removeprefix(os.fsdecode(self.repository.prefix))

    def _measure(self, output: bytes) -> None:
        """Warn of the new files that every command has to hash again, of each once a process: else nobody knew what takes so long."""
        for name in re.findall(rb"(?m)^add '(.+)'$", output):
            path = self._below_root(os.fsdecode(name))
            with suppress(OSError):
                size = os.lstat(self.root / path).st_size
                if size >= LARGE and self.root / path not in _announced:
                    _announced.add(self.root / path)
                    warning = colour("warning: ", "yellow", sys.stderr)
                    say(
                        f"{warning}{path}: a new file of {size // 10**6} MB is hashed by every command"
                        f" until it is committed or left out in {IGNORE} (above {LARGE // 10**6} MB)"
                    )

    def _list(self, paths: Sequence[str]) -> None:
        again = self._list_once(paths)
        if again:
            self._add(again)
            self._list_once(paths)

    def _list_once(self, paths: Sequence[str]) -> list[str]:
        """Read the index; the paths that have to be added again, since git was told not to look at them."""
        output = self._git(*_LIST, *paths)
        if self._is_plain(output):
            return self._gone(paths)
        listed = records(output)
        self.conflicts = {path_text(self._path(r)) for r in listed if r.startswith(b"U ")}
        listed = [record for record in listed if not record.startswith(b"U ")]
        flagged = [record for record in listed if record.startswith((b"h ", b"s "))]
        skipped = [record for record in listed if record.startswith(b"S ")]
        root = os.fsencode(self.root)
        flagged += [r for r in skipped if os.path.lexists(os.path.join(root, self._path(r)))]
        if flagged:
            # Not by --no-assume-unchanged: git takes a flagged file's time for one that it has looked at, and would miss
            # an edit in the second in which the file was committed.
            self._put(flagged, self._variables)
        # A path in conflict that is not added has up to three records.
        first = {self._path(record): record for record in reversed(listed)}
        self._records = [first[path] for path in sorted(first)]
        return [*map(path_text, {*map(self._path, flagged)}), *self._gone(paths)]

    def _is_plain(self, output: bytes) -> bool:
        """Take a list, unless it has conflicts, or files that git was told not to look at."""
        self._records, self._named = records(output), {}
        return {*map(itemgetter(0), self._records)} <= {ord("H")}

    def _at(self, path: str) -> list[bytes]:
        return at_or_below(self._records, os.fsencode(path), self._path)

    def _gone(self, paths: Sequence[str]) -> list[str]:
        """The paths that are tracked, wanted and not on disk: git can be asked to add what it knows."""
        missing = [path for path in paths if not os.path.lexists(self.root / path)]
        return [
            path
            for path in missing
            for record in self._at(path)[:1]
            if not record.startswith((b"S", b"s"))
        ]

    def _path(self, record: bytes) -> bytes:
        return record[self._offset :]

    def _entry(self, record: bytes) -> Entry:
        return Entry(
            path=path_text(record[self._offset :]),
            mode=record[2:8].decode("ascii"),
            blob=record[9 : self._offset - 3].decode("ascii"),
        )
