"""The commit that `affected` compares with when nobody names one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from daintree.components.git import Repository, attempt, resolve_commit
from daintree.errors import GitError


class Base(msgspec.Struct, frozen=True):
    """The commit to compare with ("" before any), its name in messages, and how it was chosen."""

    commit: str
    name: str
    chosen: str


def choose_base(
    repository: Repository,
    is_clean: Callable[[], bool],
    environ: Mapping[str, str] | None = None,
) -> Base:
    """Choose the commit that a change begins at.

    In CI that is the one GitHub or GitLab names: the base of the pull request, the commit before the push. Else it is the
    merge base with the upstream branch, or HEAD without one. Where that would compare HEAD with itself (nothing is
    uncommitted, HEAD is detached, this is CI) it is the parent commit. Raises GitError when this clone lacks the commit.
    """
    environ = os.environ if environ is None else environ
    head = repository.head
    if not head:
        return Base("", "", "no commit yet")
    named = _named_by_github(repository, environ) or _named_by_gitlab(repository, environ)
    if named:
        return named
    commit, chosen = head, "HEAD, as the branch has no upstream"
    if repository.upstream == head:
        chosen = "HEAD, which the upstream branch is at"
    elif repository.upstream:
        commit = _merge_base(repository, repository.upstream, "its upstream branch", 0)
        chosen = "the merge base with the upstream branch"
    is_alone = repository.is_detached or environ.get("CI", "") not in ("", "false")
    if commit != head or not (is_alone or is_clean()):
        return Base(commit, "HEAD" if commit == head else "the upstream branch", chosen)
    if repository.parents:
        reason = "HEAD is detached" if repository.is_detached else "HEAD has nothing uncommitted"
        return Base(repository.parents[0], "HEAD^", f"the parent commit, as {reason}")
    if repository.is_shallow:
        raise _lacks(repository, "the parent of HEAD", 2)
    return Base(head, "HEAD", "HEAD, the first commit")


def _named_by_github(repository: Repository, environ: Mapping[str, str]) -> Base | None:
    event = _read_event(environ.get("GITHUB_EVENT_PATH", ""))
    branch = environ.get("GITHUB_BASE_REF", "")
    if branch:
        pull = event.get("pull_request") or {}
        name = f"the pull request's base {branch}"
        tips = (f"refs/remotes/origin/{branch}", str((pull.get("base") or {}).get("sha") or branch))
        depth = int(pull.get("commits") or 0) + 2 if pull.get("commits") else 0
        for tip in filter(None, (resolve_commit(repository.root, tip) for tip in tips)):
            commit = _merge_base(repository, tip, name, depth)
            return Base(commit, name, f"the merge base with {name}")
        if len(repository.parents) > 1:
            return Base(repository.parents[0], name, name)
        raise _lacks(repository, name, depth)
    pushed = environ.get("GITHUB_SHA") or repository.head
    before = str(event.get("before") or "") if pushed == repository.head else ""
    return _before_push(repository, before, len(event.get("commits") or ()))


def _named_by_gitlab(repository: Repository, environ: Mapping[str, str]) -> Base | None:
    base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
    if base:
        if not resolve_commit(repository.root, base):
            raise _lacks(repository, f"the merge request's base {base}", 0)
        return Base(base, "the merge request's base", "the merge request's base")
    pushed = environ.get("CI_COMMIT_SHA") or repository.head
    before = environ.get("CI_COMMIT_BEFORE_SHA", "") if pushed == repository.head else ""
    return _before_push(repository, before, 0)


def _before_push(repository: Repository, before: str, commits: int) -> Base | None:
    """Return the base of a push; None for a new branch, whose push has only zeros, and for what a forced push replaced."""
    if not before.strip("0"):
        return None
    if resolve_commit(repository.root, before):
        return Base(before, "the push", "the commit before the push")
    if repository.is_shallow:
        raise _lacks(
            repository, f"the commit before the push, {before}", commits + 1 if commits else 0
        )
    return None


def _merge_base(repository: Repository, commit: str, name: str, depth: int) -> str:
    finished = attempt(repository.root, "merge-base", "HEAD", commit)
    if finished.code == 0:
        return finished.stdout.decode("ascii").strip()
    if repository.is_shallow:
        raise _lacks(repository, f"the commit that HEAD and {name} have in common", depth)
    raise GitError(
        f"HEAD and {name} have no commit in common in this clone",
        hint="name a commit with --base",
    )


def _lacks(repository: Repository, name: str, depth: int) -> GitError:
    """Return the error for a commit that this clone lacks; `depth` is the number of commits to fetch, 0 for all of them."""
    if not repository.is_shallow:
        return GitError(
            f"this clone lacks {name}", hint="git fetch origin, or name a commit with --base"
        )
    wanted = f"{depth} commits" if depth else "all commits"
    command = f"--depth={depth}" if depth else "--unshallow"
    return GitError(
        f"this shallow clone lacks {name}: fetch {wanted}",
        hint=f"git fetch {command} (in CI: fetch-depth: {depth} on GitHub, GIT_DEPTH: {depth} on GitLab),"
        " or name a commit with --base",
    )


def _read_event(path: str) -> dict[str, Any]:
    """Read GitHub's description of what started the job; empty where there is none."""
    try:
        event = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}
