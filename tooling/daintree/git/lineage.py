"""How commits lie to each other: which is older, which is on the main line, and what the upstream branch is called."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from daintree.git.plumbing import attempt, git

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
