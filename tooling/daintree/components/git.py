"""The one way to run git: no pager, prompt or lock, and nothing inherited from a calling git.

A hook runs with GIT_DIR, GIT_INDEX_FILE and others set for the commit under way; whoever asks for
the version of a component there means the project's own repository. So every GIT_* variable stays
behind.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from daintree.concurrency import Background
from daintree.errors import GitError
from daintree.process import Finished, capture

_FIXED = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
_ADVICE = re.compile(r"^\s*(git config --global --add safe\.directory .+)$", re.MULTILINE)


def git(
    root: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """What `git <arguments>` prints when run in `root`; paths given to it are taken literally.

    Raises GitError when git is missing, `root` is in no repository, or git refuses.
    """
    finished = attempt(root, *arguments, stdin=stdin, env=env)
    if finished.code != 0:
        raise _refusal(root, arguments, finished)
    return finished.stdout


def attempt(
    root: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> Finished:
    """As `git`, where an exit code is an answer. Raises GitError only when git is missing."""
    command = ["git", "--no-pager", "--literal-pathspecs", "-C", os.fspath(root), *arguments]
    try:
        return capture(command, env={**scrubbed(os.environ), **_FIXED, **(env or {})}, stdin=stdin)
    except FileNotFoundError:
        raise GitError(
            "git is not installed, or not on PATH",
            hint="install git: versions are read from the project's git repository",
        ) from None


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables that redirect git."""
    return {name: value for name, value in environ.items() if not name.startswith("GIT_")}


def records(output: bytes) -> list[bytes]:
    """The records of NUL-terminated output."""
    parts = output.split(b"\0")
    parts.pop()
    return parts


def path_text(path: bytes) -> str:
    """A path as text. Raises GitError for one that is not UTF-8."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        shown = path.decode("utf-8", "backslashreplace")
        raise GitError(
            f"the file name {shown} is not UTF-8", hint="rename the file: names must be UTF-8 text"
        ) from None


def _refusal(root: Path, arguments: tuple[str, ...], finished: Finished) -> GitError:
    complaint = finished.complaint()
    if "not a git repository" in complaint:
        return GitError(
            f"{root} is not in a git repository",
            hint="clone the project with git, or run `git init && git add .` in it",
        )
    if "dubious ownership" in complaint:
        advice = _ADVICE.search(complaint)
        return GitError(
            f"git does not trust the repository of {root}: it belongs to another user",
            hint=advice[1] if advice else complaint,
        )
    command = next(argument for argument in arguments if not argument.startswith("-"))
    reason = complaint.removeprefix("fatal: ") or f"exit code {finished.code}"
    return GitError(f"git {command} failed in {root}: {reason}")


_TRUE = frozenset({"true", "yes", "on", "1"})


class Repository(msgspec.Struct, frozen=True):
    """The repository of the project at `root`.

    `prefix` is the project's path below the working tree's top ("" or "some/where/"),
    `git_directory` this working tree's own and `common_directory` the one all its worktrees share,
    `algorithm` what object ids are made with, `config` git's effective configuration (of a key
    given several times the last value).
    """

    root: Path
    prefix: bytes
    git_directory: Path
    common_directory: Path
    algorithm: str
    config: dict[str, str]

    def is_set(self, key: str, *, default: bool = False) -> bool:
        """Whether a boolean key of git's configuration is true."""
        value = self.config.get(key)
        return default if value is None else value.lower() in _TRUE

    @property
    def levels(self) -> int:
        """How many directories the project lies below the working tree's top."""
        return self.prefix.count(b"/")


def read_repository(root: Path) -> Repository:
    """The repository that `root` lies in. Raises GitError when there is none."""
    config = Background(lambda: _read_config(root))
    wanted = ("--show-object-format", "--absolute-git-dir", "--git-common-dir", "--show-prefix")
    algorithm, git_directory, common, prefix = (
        git(root, "rev-parse", *wanted).removesuffix(b"\n").split(b"\n", 3)
    )
    return Repository(
        root=root,
        prefix=prefix,
        git_directory=Path(os.fsdecode(git_directory)),
        common_directory=root / os.fsdecode(common),
        algorithm=algorithm.decode("ascii"),
        config=config.result(),
    )


def _read_config(root: Path) -> dict[str, str]:
    config: dict[str, str] = {}
    for record in records(git(root, "config", "-z", "--list")):
        key, given, value = record.decode("utf-8", "replace").partition("\n")
        config[key] = value if given else "true"
    return config


_MAIN_NAMES = ("main", "master")


class Apart(msgspec.Struct, frozen=True):
    """Commits that are not in another's history: those later than it, and those this clone does not have."""

    later: frozenset[str]
    unknown: frozenset[str]


def commits_apart(root: Path, commit: str, others: Iterable[str]) -> Apart:
    """Which of the other commits (full ids) come after `commit`, and which are unknown here. Raises GitError."""
    asked = sorted(set(others))
    names = "".join(f"{other}^{{commit}}\n" for other in asked).encode("ascii")
    answers = git(root, "cat-file", "--batch-check", stdin=names).decode("utf-8").splitlines()
    known = {other for other, answer in zip(asked, answers, strict=True) if "missing" not in answer}
    later = frozenset(other for other in known - {commit} if _is_ancestor(root, commit, other))
    return Apart(later, frozenset(asked) - known)


def is_on_main_line(root: Path, commit: str) -> bool:
    """Whether the main branch, here or as last fetched from origin, has this commit.

    The main branch is the one that origin calls its default; else main or master; else the one checked out. Raises GitError.
    """
    named = _answer(root, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
    names = [named.removeprefix("refs/remotes/origin/")] if named else [*_MAIN_NAMES]
    references = [f"{place}/{name}" for name in names for place in _PLACES]
    present = git(root, "for-each-ref", "--format=%(refname)", *references).decode().split()
    if not present:
        current = _answer(root, "symbolic-ref", "--quiet", "HEAD")
        present = [current] if current else []
    return any(_is_ancestor(root, commit, reference) for reference in present)


_PLACES = ("refs/heads", "refs/remotes/origin")


def upstream_name(root: Path) -> str:
    """What the upstream branch is called, such as origin/main; "" when there is none. Raises GitError."""
    return _answer(root, "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")


def commit_seconds(root: Path, commit: str) -> int:
    """When a commit was made, in seconds since 1970. Raises GitError."""
    return int(git(root, "show", "--no-patch", "--no-show-signature", "--format=%ct", commit))


def origin_url(root: Path) -> str:
    """Where origin is, as git is configured; "" when there is no origin. May hold credentials. Raises GitError."""
    return _answer(root, "config", "--get", "remote.origin.url")


def _answer(root: Path, *arguments: str) -> str:
    finished = attempt(root, *arguments)
    return finished.stdout.decode("utf-8", "replace").strip() if finished.code == 0 else ""


def _is_ancestor(root: Path, older: str, newer: str) -> bool:
    return attempt(root, "merge-base", "--is-ancestor", older, newer).code == 0


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """The project's root in a fresh checkout of a commit, which is gone afterwards. Raises GitError."""
    prefix = os.fsdecode(read_repository(root).prefix)
    # What a killed process has left is forgotten here.
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
