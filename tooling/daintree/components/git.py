"""Runs git, and answers questions about a project's repository and history.

A git hook runs with GIT_DIR, GIT_INDEX_FILE and others set for the commit being made; they would point git at another
repository than the project's and are dropped. What configures git (GIT_CONFIG_COUNT, GIT_CONFIG_GLOBAL …) is passed on.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from daintree.errors import GitError, UsageError
from daintree.process import Finished, capture
from daintree.settings import cache_directory
from daintree.terminal import nearest

if TYPE_CHECKING:
    from git import Repo

# git's own list (git rev-parse --local-env-vars) without its two variables of configuration, and what changes its answers.
_DROPPED = frozenset(
    f"GIT_{name}"
    for name in [
        "ALTERNATE_OBJECT_DIRECTORIES",
        "COMMON_DIR",
        "CONFIG",
        "DIR",
        "GRAFT_FILE",
        "IMPLICIT_WORK_TREE",
        "INDEX_FILE",
        "NAMESPACE",
        "NO_REPLACE_OBJECTS",
        "OBJECT_DIRECTORY",
        "PREFIX",
        "QUARANTINE_PATH",
        "REPLACE_REF_BASE",
        "SHALLOW_FILE",
        "WORK_TREE",
        "GLOB_PATHSPECS",
        "NOGLOB_PATHSPECS",
        "ICASE_PATHSPECS",
        "EXTERNAL_DIFF",
        "DIFF_OPTS",
    ]
)
_FIXED = {
    "LC_ALL": "C",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_ADVICE = r"(?m)^\s*(git config --global --add safe\.directory .+)$"
_KEPT_SECONDS = 14 * 24 * 3600
_FILES = ("alternates", "config", "HEAD", "pruned")
# Hooks and monitors are programs; a split index is written beside the repository's own; ignoreStat and checkStat miss
# edits; a compressed blob takes five times as long to write.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.splitIndex=false",
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
_MAIN_NAMES = ("main", "master")
_BRANCHES = ("refs/heads", "refs/remotes/origin")


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
    command = ["git", "--no-pager", "-C", os.fspath(root), *arguments]
    try:
        return capture(command, env={**environment(root), **(env or {})}, stdin=stdin)
    except FileNotFoundError:
        raise GitError(
            "git is not installed, or not on PATH",
            hint="install git: versions are read from the project's git repository",
        ) from None


def environment(root: Path) -> dict[str, str]:
    """Return the environment that git runs in for the project at `root`.

    GIT_DIR names its repository only where none lies above the project: a hook's GIT_DIR may be another's.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    if os.environ.get("GIT_DIR") and not any((p / ".git").exists() for p in (root, *root.parents)):
        for name in ("GIT_DIR", "GIT_WORK_TREE"):
            if os.environ.get(name):
                variables[name] = os.path.abspath(os.environ[name])
    return {**variables, **_FIXED}


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


class Repository(msgspec.Struct, frozen=True, kw_only=True):
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


def resolve_commit(root: Path, revision: str) -> str:
    """Return the id of the commit that a revision names; "" when it names none."""
    named = f"{revision}^{{commit}}"
    finished = attempt(root, "rev-parse", "--verify", "--quiet", "--end-of-options", named)
    return finished.stdout.decode("ascii").strip() if finished.code == 0 else ""


def unknown_revision(root: Path, revision: str) -> UsageError:
    """Return the error for a revision that names no commit, with the nearest branch or tag as its hint."""
    with _history(root) as repository:
        names = sorted(reference.name for reference in repository.references)
    return UsageError(f"git knows no commit {revision!r}", hint=nearest(revision, names))


@contextmanager
def _history(root: Path) -> Iterator[Repo]:
    """Open the repository with GitPython, which is slow to import and reads git's environment variables itself."""
    import git as gitpython

    inherited = dict(os.environ)
    _replace_environment(environment(root))
    try:
        with gitpython.Repo(
            os.environ.get("GIT_DIR", root), search_parent_directories=True
        ) as repository:
            yield repository
    except gitpython.InvalidGitRepositoryError:
        raise GitError(f"{root} is not in a git repository", hint="git init") from None
    except gitpython.CommandError as error:
        raise GitError(f"git failed in {root}: {str(error.stderr).strip()}") from None
    finally:
        _replace_environment(inherited)


def _replace_environment(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def origin_url(root: Path) -> str:
    """Return the address of origin; "" when there is no origin. May hold credentials. Raises GitError."""
    return _answer(root, "config", "--get", "remote.origin.url")


def _answer(root: Path, *arguments: str) -> str:
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


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """Yield the project's root in a fresh checkout of a commit, which is gone afterwards. Raises GitError."""
    prefix = os.fsdecode(read_repository(root).prefix)
    # Forgets what a killed process has left.
    git(root, "worktree", "prune")
    with tempfile.TemporaryDirectory(prefix="daintree-") as scratch:
        top = Path(scratch, "tree")
        no_hooks = ("-c", "core.hooksPath=/dev/null")
        git(root, *no_hooks, "worktree", "add", "--quiet", "--detach", str(top), commit)
        try:
            yield top / prefix
        finally:
            with suppress(GitError):
                git(root, "worktree", "remove", "--force", str(top))


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
                hint="set XDG_CACHE_HOME to a directory that you can write to",
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
                if name not in _FILES and now - os.stat(path).st_mtime > _KEPT_SECONDS:
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


def commits_of(root: Path, references: Iterable[str]) -> list[str]:
    """Return the commits that the branches or tags below these references (one at least) name, each once. Raises GitError."""
    form = "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname)"
    lines = git(root, "for-each-ref", form, *references).decode("ascii").splitlines()
    matches = (re.findall(r"commit ([0-9a-f]+)", line) for line in lines)
    return sorted({ids[0] for ids in matches if ids})


class Blobs:
    """Reads blobs through one `git cat-file` process, which lives as long as this."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        command = ["git", "-C", os.fspath(root), *FLAGS, "cat-file", "--batch"]
        self._process = subprocess.Popen(
            command,
            env={**environment(root), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
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


class CommitHistory:
    """The place of one commit in the history that this clone has; git is asked each question once, whoever asks."""

    def __init__(self, root: Path, commit: str, blobs: Blobs) -> None:
        self._root, self._commit, self._blobs = root, commit, blobs

    @cached_property
    def later(self) -> frozenset[str]:
        """The commits that come after it, as far as a reference or a reflog leads to them. Raises GitError."""
        arguments = ("rev-list", "--ancestry-path", "--all", "--reflog", f"^{self._commit}")
        return frozenset(git(self._root, *arguments).decode("ascii").split())

    @cached_property
    def is_on_main_line(self) -> bool:
        """True when the main branch, here or as last fetched from origin, has the commit. Raises GitError.

        The main branch is the one that origin calls its default; else main or master; else the one checked out.
        """
        form = "--format=%(refname)%00%(objectname)%00%(symref)"
        lines = os.fsdecode(git(self._root, "for-each-ref", form, *_BRANCHES)).splitlines()
        references = {name: rest for name, *rest in (line.split("\0") for line in lines)}
        default = references.get("refs/remotes/origin/HEAD", ("", ""))[1]
        names = [default.removeprefix("refs/remotes/origin/")] if default else [*_MAIN_NAMES]
        main = {f"{place}/{name}" for name in names for place in _BRANCHES} & references.keys()
        if not main:
            main = {_answer(self._root, "symbolic-ref", "--quiet", "HEAD")} & references.keys()
        tips = {references[name][0] for name in main}
        return self._commit in tips or not tips.isdisjoint(self.later)

    def unknown(self, others: Iterable[str]) -> set[str]:
        """Return those of the other commits (full ids) that this clone does not have."""
        return {other for other in others if other not in self.later and not self._has(other)}

    def _has(self, commit: str) -> bool:
        try:
            return bool(self._blobs.read(commit))
        except KeyError:
            return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()
