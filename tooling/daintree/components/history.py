"""History of a project's repository: ancestry of commits, unknown revisions, the commit that a change begins at."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daintree.components.git import (
    Repository,
    answer,
    attempt,
    environment,
    git,
    objects_directory,
    read_repository,
)
from daintree.components.tree import WorkingTree
from daintree.errors import GitError, UsageError, nearest

if TYPE_CHECKING:
    from git import Repo


_MAIN_NAMES = ("main", "master")
_BRANCHES = ("refs/heads", "refs/remotes/origin")


class Base(msgspec.Struct, frozen=True):
    """The commit to compare with ("" before any), its name in messages, and how it was chosen."""

    commit: str
    name: str
    chosen: str


def choose_base(
    repository: Repository, is_clean: Callable[[], bool], environ: Mapping[str, str] | None = None
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
            # The base itself may be checked out, or the pull request be merged.
            return _beside(repository, commit, name)
        if len(repository.parents) > 1:
            return Base(repository.parents[0], name, name)
        raise _lacks(repository, name, depth)
    pushed = environ.get("GITHUB_SHA") or repository.head
    queued = event.get("merge_group") or {}
    before = event.get("before") or queued.get("base_sha") or ""
    default = (event.get("repository") or {}).get("default_branch") or ""
    if pushed != repository.head:
        return None
    return _before_push(repository, str(before), str(default), len(event.get("commits") or ()))


def _named_by_gitlab(repository: Repository, environ: Mapping[str, str]) -> Base | None:
    base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
    if base and base != repository.head:
        if not resolve_commit(repository.root, base):
            raise _lacks(repository, f"the merge request's base {base}", 0)
        return Base(base, "the merge request's base", "the merge request's base")
    pushed = environ.get("CI_COMMIT_SHA") or repository.head
    if pushed != repository.head:
        return None
    before, default = environ.get("CI_COMMIT_BEFORE_SHA", ""), environ.get("CI_DEFAULT_BRANCH", "")
    return _before_push(repository, before, default, 0)


def _before_push(repository: Repository, before: str, default: str, commits: int) -> Base | None:
    """Return the base of a push; None where it names none, as that of a tag, or a manual one, does.

    A new branch, whose push has only zeros before it, and a forced push begin where the default branch has HEAD's history.
    """
    if before.strip("0") and before != repository.head:
        if resolve_commit(repository.root, before):
            return Base(before, "the push", "the commit before the push")
        if repository.is_shallow:
            name = f"the commit before the push, {before}"
            raise _lacks(repository, name, commits + 1 if commits else 0)
    if not before or not default:
        return None
    tip = resolve_commit(repository.root, f"refs/remotes/origin/{default}")
    if not tip:
        return None
    name = f"the default branch {default}"
    return _beside(repository, _merge_base(repository, tip, name, 0), name)


def _beside(repository: Repository, commit: str, name: str) -> Base | None:
    """Return the merge base with what `name` is as a base; None where that is HEAD: nothing lies beside it."""
    return None if commit == repository.head else Base(commit, name, f"the merge base with {name}")


def _merge_base(repository: Repository, commit: str, name: str, depth: int) -> str:
    finished = attempt(repository.root, "merge-base", "HEAD", commit)
    if finished.code == 0:
        return finished.stdout.decode("ascii").strip()
    if repository.is_shallow:
        raise _lacks(repository, f"the commit that HEAD and {name} have in common", depth)
    raise GitError(
        f"HEAD and {name} have no commit in common in this clone", hint="name a commit with --base"
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


def unknown_revision(root: Path, revision: str) -> UsageError | GitError:
    """Return the error for a revision that names no commit, with the nearest branch or tag as its hint."""
    with _history(root) as repository:
        names = sorted(reference.name for reference in repository.references)
    if revision in names:
        return GitError(
            f"the commit of {revision!r} is not in this clone",
            hint="git fsck names what is missing; git fetch may bring it back",
        )
    if not read_repository(root).is_shallow:
        return UsageError(f"git knows no commit {revision!r}", hint=nearest(revision, names))
    return UsageError(
        f"this shallow clone has no commit {revision!r}",
        hint="git fetch --unshallow (in CI: fetch-depth: 0 on GitHub, GIT_DEPTH: 0 on GitLab)",
    )


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


class CommitHistory:
    """The place of one commit in the history that this clone has; git is asked each question once, whoever asks."""

    def __init__(self, tree: WorkingTree, commit: str) -> None:
        self.commit = commit
        self._root, self._blobs = tree.root, tree.blobs

    @cached_property
    def seconds(self) -> int:
        """The time at which the commit was made, in seconds since 1970. Raises GitError."""
        content = self._blobs.read(self.commit)
        match = re.search(rb"^committer .* (\d+) [-+]\d+$", content, re.MULTILINE)
        if match is None:
            raise GitError(f"the commit {self.commit} cannot be read")
        return int(match[1])

    @cached_property
    def later(self) -> frozenset[str]:
        """The commits that come after it, as far as a reference or a reflog leads to them. Raises GitError."""
        arguments = ("rev-list", "--ancestry-path", "--all", "--reflog", f"^{self.commit}")
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
            main = {answer(self._root, "symbolic-ref", "--quiet", "HEAD")} & references.keys()
        tips = {references[name][0] for name in main}
        return self.commit in tips or not tips.isdisjoint(self.later)

    def unknown(self, others: Iterable[str]) -> set[str]:
        """Return those of the other commits (full ids) that this clone does not have."""
        return {other for other in others if other not in self.later and not self._has(other)}

    def _has(self, commit: str) -> bool:
        try:
            return bool(self._blobs.read(commit))
        except KeyError:
            return False


def resolve_commit(root: Path, revision: str) -> str:
    """Return the id of the commit that a revision names; "" when it names none."""
    named = f"{revision}^{{commit}}"
    finished = attempt(root, "rev-parse", "--verify", "--quiet", "--end-of-options", named)
    return finished.stdout.decode("ascii").strip() if finished.code == 0 else ""


def commits_of(root: Path, references: Iterable[str]) -> list[str]:
    """Return the commits that the branches or tags below these references (one at least) name, each once. Raises GitError."""
    form = "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname)"
    lines = git(root, "for-each-ref", form, *references).decode("ascii").splitlines()
    matches = (re.findall(r"commit ([0-9a-f]+)", line) for line in lines)
    return sorted({ids[0] for ids in matches if ids})


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """Yield the project's root in a fresh checkout of a commit; it is gone afterwards, with its private objects. Raises GitError."""
    import shutil
    import tempfile

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
                shutil.rmtree(objects_directory(read_repository(top)), ignore_errors=True)
                git(root, "worktree", "remove", "--force", str(top))
