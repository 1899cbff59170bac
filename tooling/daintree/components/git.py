"""Runs git, and answers questions about a project's repository and history.

A git hook runs with GIT_DIR, GIT_INDEX_FILE and others set for the commit being made; they would point git at another
repository than the project's and are dropped. What configures git (GIT_CONFIG_COUNT, GIT_CONFIG_GLOBAL …) is passed on.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from daintree.errors import GitError
from daintree.process import Finished, Running, capture
from daintree.settings import cache_directory

# git's own list (git rev-parse --local-env-vars) without its two variables of configuration, and what changes its answers.
# fmt: off
_DROPPED = frozenset(
    f"GIT_{name}"
    for name in (
        "ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR", "CONFIG", "DIR", "GRAFT_FILE", "IMPLICIT_WORK_TREE",
        "INDEX_FILE", "NAMESPACE", "NO_REPLACE_OBJECTS", "OBJECT_DIRECTORY", "PREFIX", "QUARANTINE_PATH",
        "REPLACE_REF_BASE", "SHALLOW_FILE", "WORK_TREE", "GLOB_PATHSPECS", "NOGLOB_PATHSPECS",
        "ICASE_PATHSPECS", "EXTERNAL_DIFF", "DIFF_OPTS",
    )
)
# fmt: on
_FIXED = {
    "LC_ALL": "C",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_ADVICE = r"(?m)^\s*(git config --global --add safe\.directory .+)$"
_KEPT_SECONDS = 14 * 24 * 3600
_ATTRIBUTES = ("text", "eol", "ident", "working-tree-encoding", "filter")
_FILES = ("alternates", "config", "HEAD", "pruned")
# Hooks and monitors are programs; a split index is written beside the repository's own; ignoreStat and checkStat miss
# edits; a compressed blob takes five times as long to write.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    "core.ignoreStat=false",
    "core.safecrlf=false",
    "core.checkStat=default",
    "core.compression=0",
    "core.looseCompression=0",
    "add.ignoreErrors=false",
    # The copies live as long as one command (git 2.40 and later).
    "index.skipHash=true",
    "advice.addEmbeddedRepo=false",
    "advice.addIgnoredFile=false",
)
FLAGS = tuple(argument for setting in _SETTINGS for argument in ("-c", setting))


def git(
    root: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """Run `git <arguments>` in `root`, and return what it prints; paths given to it are taken literally.

    Raises GitError when git is missing, `root` is in no repository, or git refuses.
    """
    finished = attempt(root, *arguments, stdin=stdin, env=env)
    if finished.code != 0:
        raise refusal(root, arguments, finished)
    return finished.stdout


def attempt(
    root: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> Finished:
    """Run git where an exit code is an answer. Raises GitError only when git is missing."""
    try:
        return capture(_command(root, arguments), env=environment(root, env or {}), stdin=stdin)
    except FileNotFoundError:
        raise _no_git() from None


def start(root: Path, *arguments: str, env: Mapping[str, str]) -> Running:
    """Start git, and do not wait for its end. Raises GitError only when git is missing."""
    try:
        return Running(_command(root, arguments), env=environment(root, env))
    except FileNotFoundError:
        raise _no_git() from None


def _command(root: Path, arguments: Iterable[str]) -> list[str]:
    return ["git", "--no-pager", "-C", os.fspath(root), *arguments]


def _no_git() -> GitError:
    return GitError(
        "git is not installed, or not on PATH",
        hint="install git: versions are read from the project's git repository",
    )


def environment(root: Path, added: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the environment that git runs in for the project at `root`, with the variables `added`.

    GIT_DIR names its repository only where none lies above the project: a hook's GIT_DIR may be another's.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    if os.environ.get("GIT_DIR") and not any((p / ".git").exists() for p in (root, *root.parents)):
        for name in ("GIT_DIR", "GIT_WORK_TREE"):
            if os.environ.get(name):
                variables[name] = os.path.abspath(os.environ[name])
    return {**variables, **_FIXED, **added}


def refusal(root: Path, arguments: Iterable[str], finished: Finished) -> GitError:
    """Return the error for a git command that failed."""
    complaint = finished.complaint()
    if "not a git repository" in complaint:
        return GitError(
            f"{root} is not in a git repository",
            hint="clone the project with git, or run `git init && git add .` in it",
        )
    if "dubious ownership" in complaint:
        advice = re.search(_ADVICE, complaint)
        return GitError(
            f"git does not trust the repository of {root}: it belongs to another user",
            hint=advice[1] if advice else complaint,
        )
    if "promisor" in complaint or "could not fetch" in complaint:
        return GitError(
            f"{root} is a partial clone, and git cannot fetch the objects it lacks: {complaint}",
            hint="connect to the network, or clone without --filter",
        )
    command = next(argument for argument in arguments if re.fullmatch(r"[a-z][a-z-]+", argument))
    reason = complaint.removeprefix("fatal: ") or f"exit code {finished.code}"
    return GitError(f"git {command} failed in {root}: {reason}")


def records(output: bytes) -> list[bytes]:
    """Return the records of NUL-terminated output."""
    parts = output.split(b"\0")
    parts.pop()
    return parts


def path_text(path: bytes) -> str:
    """Return a path as text. Raises GitError for one that is not UTF-8."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        shown = path.decode("utf-8", "backslashreplace")
        raise GitError(
            f"the file name {shown} is not UTF-8", hint="rename the file: names must be UTF-8 text"
        ) from None


class Repository(NamedTuple):
    """The repository of the project at `root`.

    `prefix` is the project's path below the working tree's top ("" or "some/where/"), `git_directory` this working tree's
    own and `common_directory` the one all its worktrees share, `algorithm` the hash of object ids. `head` is the commit
    checked out, `upstream` that of its upstream branch ("" for none).
    """

    root: Path
    prefix: bytes
    git_directory: Path
    common_directory: Path
    algorithm: str
    head: str
    parents: tuple[str, ...]
    upstream: str

    @property
    def levels(self) -> int:
        """Number of directories that the project lies below the working tree's top."""
        return self.prefix.count(b"/")

    @property
    def is_shallow(self) -> bool:
        """True when the clone lacks a part of the history."""
        return (self.common_directory / "shallow").exists()

    @property
    def is_detached(self) -> bool:
        """True when no branch is checked out."""
        return not (self.git_directory / "HEAD").read_bytes().startswith(b"ref:")

    @property
    def folds_case(self) -> bool:
        """True where git may take a name for one that the index has in other letters."""
        config = (self.common_directory / "config").read_bytes()
        return sys.platform == "darwin" or b"ignorecase" in config.lower()

    @property
    def origin_url(self) -> str:
        """Address of origin; "" when there is no origin. May hold credentials."""
        return answer(self.root, "config", "--get", "remote.origin.url")


def read_repository(root: Path) -> Repository:
    """Return the repository that `root` lies in. Raises GitError when there is none."""
    wanted = ("--show-object-format", "--absolute-git-dir", "--git-common-dir", "--show-prefix")
    # Ends with an error where there is no commit or no upstream, after it has answered all the rest.
    finished = attempt(root, "rev-parse", *wanted, "--revs-only", "HEAD", "HEAD^@", "@{upstream}")
    answers = finished.stdout.split(b"\n")
    if len(answers) < len(wanted) + 1:
        raise refusal(root, ["rev-parse"], finished)
    algorithm, git_directory, common, *more = answers[:-1]
    commits: list[str] = []
    length = 64 if algorithm == b"sha256" else 40
    while len(more) > 1 and re.fullmatch(rb"[0-9a-f]{%d}" % length, more[-1]):
        commits.insert(0, more.pop().decode("ascii"))
    upstream = commits.pop() if finished.code == 0 and len(commits) > 1 else ""
    return Repository(
        root=root,
        prefix=b"\n".join(more),
        git_directory=Path(os.fsdecode(git_directory)),
        common_directory=root / os.fsdecode(common),
        algorithm=algorithm.decode("ascii"),
        head=commits[0] if commits else "",
        parents=tuple(commits[1:]),
        upstream=upstream,
    )


def ignored_by(root: Path, path: str) -> str:
    """Return the file and line of the rule by which git ignores a path, such as .gitignore:3; "" when git does not ignore it."""
    return ignored_paths(root, [path]).get(path, "")


def ignored_paths(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return file and line of the rule by which git ignores each of these paths, which need not exist; none outside of git."""
    arguments = ("check-ignore", "-v", "-z", "--stdin")
    names = b"".join(os.fsencode(path) + b"\0" for path in paths)
    if not names:
        # A project of pipelines alone needs no git: the tooling's own image has none.
        return {}
    # This one command refuses to take paths literally, and has no use for patterns.
    finished = attempt(root, *arguments, stdin=names, env={"GIT_LITERAL_PATHSPECS": "0"})
    fields = iter(records(finished.stdout) if finished.code == 0 else [])
    return {
        os.fsdecode(path): f"{os.fsdecode(file)}:{line.decode('ascii')}"
        for file, line, pattern, path in zip(fields, fields, fields, fields, strict=True)
        if not pattern.startswith(b"!")
    }


def answer(root: Path, *arguments: str) -> str:
    """Return what git prints, stripped; "" when it refuses."""
    finished = attempt(root, *arguments)
    return finished.stdout.decode("utf-8", "replace").strip() if finished.code == 0 else ""


_STATUS = (
    *("--porcelain=v2", "--branch", "--no-ahead-behind", "-z"),
    *("--untracked-files=normal", "--no-renames", "--ignore-submodules=all"),
)


def head(root: Path, directories: Iterable[str]) -> tuple[str, bool]:
    """Return the commit checked out ("" before any), and True when these directories differ from it.

    Untracked files count, ignored ones do not. Raises GitError as git does.
    """
    paths = [*directories]
    commit, is_dirty = "", False
    for record in records(git(root, "status", *_STATUS, "--", *paths)):
        if record.startswith(b"# branch.oid "):
            commit = record.split(b" ")[2].decode("ascii").removeprefix("(initial)")
        elif not record.startswith(b"#"):
            is_dirty = True
    return commit, is_dirty and bool(paths)


class Objects:
    """The private object directory of one repository; the repository's own objects are its alternates."""

    def __init__(self, repository: Repository) -> None:
        """Make the directory if it is missing. Raises GitError when it cannot be written."""
        self.directory = objects_directory(repository)
        self._repository = repository
        try:
            self._make()
        except OSError as error:
            raise GitError(
                f"{self.directory} cannot be written: {error.strerror}",
                hint="set XDG_CACHE_HOME to a directory that you can write to, on a disk with space",
            ) from None

    def _make(self) -> None:
        objects = os.fsencode(os.path.abspath(self._repository.common_directory / "objects"))
        config = "[core]\nrepositoryformatversion = 1\nbare = true\n"
        config += f"[extensions]\nobjectFormat = {self._repository.algorithm}\n"
        wanted = {
            "objects/info/alternates": objects + b"\n",
            "config": config.encode("ascii"),
            "HEAD": b"ref: refs/heads/main\n",
        }
        if (self.directory / "HEAD").exists():
            self._prune()
        for path, content in wanted.items():
            file = self.directory / path
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                partial = file.with_name(f"{file.name}.{os.urandom(6).hex()}")
                partial.write_bytes(content)
                partial.replace(file)
        (self.directory / "refs").mkdir(exist_ok=True)

    def _prune(self) -> None:
        """Remove, once a day, what has not been used for two weeks."""
        mark, now = self.directory / "pruned", time.time()
        if mark.exists() and now - mark.stat().st_mtime < _KEPT_SECONDS / 14:
            return
        mark.touch()
        for parent, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(parent, name)
                # Another process may have given it its name meanwhile, or removed it.
                with suppress(FileNotFoundError):
                    status = os.stat(path)
                    # An index in use has the time of the repository's own, which may be old.
                    used = status.st_ctime if name.startswith("index.") else status.st_mtime
                    if name not in _FILES and now - used > _KEPT_SECONDS:
                        os.unlink(path)

    def remove(self) -> None:
        """Remove the directory, so that it is made anew."""
        import shutil

        shutil.rmtree(self.directory, ignore_errors=True)


def objects_directory(repository: Repository) -> Path:
    """Return the place of the private objects of one working tree."""
    place = f"{repository.git_directory}\0{repository.algorithm}"
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:20]
    return objects_parent() / name


def objects_parent() -> Path:
    """Return the directory of the private objects of all working trees."""
    return cache_directory(os.environ) / "git"


def blob_id(content: bytes, like: str) -> str:
    """Return the id that git gives a blob of this content, in the object format of another id."""
    digest = hashlib.new("sha1" if len(like) == 40 else "sha256", usedforsecurity=False)
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()


def read_conversions(
    root: Path, variables: Mapping[str, str], paths: Sequence[str]
) -> dict[str, str]:
    """Return, by path, the attributes by which a checkout writes other bytes than the blob's: those of an index. Raises GitError."""
    command = ("-c", "core.attributesFile=/dev/null", "check-attr", "--cached", "-z", "--stdin")
    names = b"".join(os.fsencode(path) + b"\0" for path in paths)
    neutral = {**variables, "GIT_ATTR_NOSYSTEM": "1"}
    fields = iter(records(git(root, *command, *_ATTRIBUTES, stdin=names, env=neutral)))
    values: dict[str, dict[str, str]] = {}
    for path, name, value in zip(fields, fields, fields, strict=True):
        values.setdefault(os.fsdecode(path), {})[name.decode()] = value.decode("utf-8", "replace")
    return {path: conversion for path in paths if (conversion := _conversion(values[path]))}


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


class Blobs:
    """Reads blobs through one `git cat-file` process, which lives as long as this."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        """Start it. Raises GitError when git is missing."""
        try:
            self._process = subprocess.Popen(
                _command(root, (*FLAGS, "cat-file", "--batch")),
                env=environment(root, variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise _no_git() from None
        self._contents: dict[str, bytes] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._process)

    def read(self, blob: str) -> bytes:
        """Return the bytes of a blob or commit. Raises KeyError when the repository lacks it."""
        with self._lock:
            if blob not in self._contents:
                self._contents[blob] = self._ask(blob)
            return self._contents[blob]

    def _ask(self, blob: str) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{blob}\n".encode("ascii"))
            stdin.flush()
        except OSError:
            raise KeyError(blob) from None
        fields = stdout.readline().split()
        if len(fields) != 3:
            raise KeyError(blob)
        size = int(fields[2])
        content = stdout.read(size + 1)
        if len(content) != size + 1:
            raise KeyError(blob)
        return content[:size]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def unused_objects(before: float) -> list[Path]:
    """Private objects of repositories that are gone, and those not used since a time (seconds since 1970)."""
    directories = []
    for mark in sorted(objects_parent().glob("*/HEAD")):
        directory = mark.parent
        with suppress(OSError):
            repository = (directory / "objects/info/alternates").read_bytes().rstrip(b"\n")
            used = max(path.stat().st_mtime for path in (mark, *directory.glob("pruned")))
            if used < before or not os.path.isdir(repository):
                directories.append(directory)
    return directories
