"""A project's history through GitPython: what commits say, and what lies between them.

GitPython is slow to import and inherits git's environment variables; both stay inside these
functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from daintree.components.commit_tree import resolve_commit
from daintree.components.git import scrubbed
from daintree.errors import GitError, UsageError
from daintree.terminal import nearest

if TYPE_CHECKING:
    import git

Kind = Literal["added", "deleted", "changed"]


class CommitFacts(msgspec.Struct, frozen=True):
    """One commit: its id, author's name, date (ISO 8601 with offset) and subject line."""

    id: str
    author: str
    date: str
    subject: str


class FileChange(msgspec.Struct, frozen=True):
    """One file that differs between two commits; its path is relative to the repository's top."""

    path: str
    kind: Kind


def commit_facts(root: Path, revision: str) -> CommitFacts:
    """What a commit says of itself. Raises UsageError for a revision git does not know."""
    found = _resolved(root, revision)
    with _repository(root) as repository:
        commit = repository.commit(found)
        return CommitFacts(
            id=commit.hexsha,
            author=commit.author.name or "",
            date=commit.authored_datetime.isoformat(),
            subject=str(commit.summary),
        )


def changes(root: Path, older: str, newer: str) -> list[FileChange]:
    """The files that differ between two commits, sorted by path; a rename is two changes.

    Raises UsageError when a revision names no commit.
    """
    before, after = _resolved(root, older), _resolved(root, newer)
    with _repository(root) as repository:
        kinds: dict[str, Kind] = {"A": "added", "D": "deleted"}
        found = [
            FileChange(str(diff.b_path or diff.a_path), kinds.get(str(diff.change_type), "changed"))
            for diff in repository.commit(before).diff(after, no_renames=True)
        ]
    return sorted(found, key=lambda change: change.path)


def unknown_revision(root: Path, revision: str) -> UsageError:
    """The error for a revision that names no commit, with the nearest branch or tag as its hint."""
    with _repository(root) as repository:
        names = sorted(reference.name for reference in repository.references)
    return UsageError(f"git knows no commit {revision!r}", hint=nearest(revision, names))


def _resolved(root: Path, revision: str) -> str:
    """The commit's full id: git itself reads revisions, in every form that it knows."""
    commit = resolve_commit(root, revision)
    if not commit:
        raise unknown_revision(root, revision)
    return commit


@contextmanager
def _repository(root: Path) -> Iterator[git.Repo]:
    import git

    inherited = dict(os.environ)
    _replace_environment(scrubbed(inherited))
    try:
        with git.Repo(root, search_parent_directories=True) as repository:
            yield repository
    except git.InvalidGitRepositoryError:
        raise GitError(f"{root} is not in a git repository", hint="git init") from None
    except git.CommandError as error:
        raise GitError(f"git failed in {root}: {str(error.stderr).strip()}") from None
    except git.exc.ODBError as error:
        raise GitError(
            f"GitPython cannot read the history of {root}: {error}",
            hint="it knows no repositories with SHA-256 ids",
        ) from None
    finally:
        _replace_environment(inherited)


def _replace_environment(environment: dict[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
