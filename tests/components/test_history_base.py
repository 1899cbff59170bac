"""The commit that a change is compared with: in CI, and on a laptop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.git import read_repository
from daintree.components.history import Base, choose_base, unknown_revision
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo

ZEROS = "0" * 40


def chosen(
    monorepo: Monorepo, environ: Mapping[str, str] | None = None, *, clean: bool = True
) -> Base:
    return choose_base(read_repository(monorepo.root), lambda: clean, environ or {})


def event(tmp_path: Path, content: object) -> dict[str, str]:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(content))
    return {"CI": "true", "GITHUB_EVENT_PATH": str(file)}


@pytest.fixture
def commits(monorepo: Monorepo) -> list[str]:
    return [monorepo.commit(str(number)) for number in range(4)]


def shallow(monorepo: Monorepo, depth: int = 1) -> Monorepo:
    clone = type(monorepo)(monorepo.root.parent / "shallow")
    url = f"file://{monorepo.root}"
    monorepo.git("clone", "--quiet", f"--depth={depth}", url, clone.root)
    return clone


def test_before_any_commit(monorepo: Monorepo) -> None:
    assert chosen(monorepo) == Base("", "", "no commit yet")


def test_a_branch_with_an_upstream(monorepo: Monorepo, commits: list[str]) -> None:
    monorepo.git("checkout", "--quiet", "-b", "topic", "--track")
    assert chosen(monorepo, clean=False).chosen == "HEAD, which the upstream branch is at"
    assert chosen(monorepo).commit == commits[2]
    monorepo.commit("topic")
    assert chosen(monorepo) == Base(
        commits[3], "the upstream branch", "the merge base with the upstream branch"
    )


def test_nothing_is_compared_with_itself(monorepo: Monorepo, commits: list[str]) -> None:
    assert chosen(monorepo, clean=False).commit == commits[3]
    parent = Base(commits[2], "HEAD^", "the parent commit, as HEAD has nothing uncommitted")
    assert chosen(monorepo) == parent
    assert chosen(monorepo, {"CI": "true"}, clean=False).commit == commits[2]
    monorepo.git("checkout", "--quiet", "--detach")
    assert chosen(monorepo, clean=False).chosen == "the parent commit, as HEAD is detached"


def test_the_first_commit(monorepo: Monorepo) -> None:
    first = monorepo.commit()
    assert chosen(monorepo) == Base(first, "HEAD", "HEAD, the first commit")


def test_a_push_on_github(monorepo: Monorepo, commits: list[str], tmp_path: Path) -> None:
    push = {**event(tmp_path, {"before": commits[0]}), "GITHUB_SHA": commits[3]}
    assert chosen(monorepo, push) == Base(commits[0], "the push", "the commit before the push")
    assert chosen(monorepo, {**push, "GITHUB_SHA": commits[2]}).commit == commits[2]
    for before in (ZEROS, "1" * 40, ""):
        assert chosen(monorepo, event(tmp_path, {"before": before})).commit == commits[2]
    contents: list[object] = [[], "x", {"before": None, "commits": None}]
    for content in contents:
        assert chosen(monorepo, event(tmp_path, content)).commit == commits[2]
    assert chosen(monorepo, {"GITHUB_EVENT_PATH": "/nowhere"}).commit == commits[2]


def test_a_new_branch_begins_at_the_default_one(
    monorepo: Monorepo, commits: list[str], tmp_path: Path
) -> None:
    monorepo.git("update-ref", "refs/remotes/origin/trunk", commits[1])
    name = "the default branch trunk"
    fork = Base(commits[1], name, f"the merge base with {name}")
    for before in (ZEROS, "1" * 40, commits[3]):
        pushed = {"before": before, "repository": {"default_branch": "trunk"}}
        assert chosen(monorepo, event(tmp_path, pushed)) == fork
        assert (
            chosen(monorepo, {"CI_COMMIT_BEFORE_SHA": before, "CI_DEFAULT_BRANCH": "trunk"}) == fork
        )
    # Of a tag, and of the default branch itself, nothing lies beside it.
    monorepo.git("update-ref", "refs/remotes/origin/trunk", commits[3])
    tagged = {"CI_COMMIT_BEFORE_SHA": ZEROS, "CI_DEFAULT_BRANCH": "trunk", "CI_COMMIT_TAG": "v1"}
    assert chosen(monorepo, tagged).commit == commits[2]
    without_default = {"CI_COMMIT_BEFORE_SHA": ZEROS, "CI_DEFAULT_BRANCH": "gone"}
    assert chosen(monorepo, without_default).commit == commits[2]


def test_a_merge_queue_on_github(monorepo: Monorepo, commits: list[str], tmp_path: Path) -> None:
    queued = event(tmp_path, {"merge_group": {"base_sha": commits[1]}})
    assert chosen(monorepo, queued).commit == commits[1]


def test_a_pull_request_on_github(monorepo: Monorepo, commits: list[str], tmp_path: Path) -> None:
    environ = {**event(tmp_path, {"pull_request": {"commits": 2}}), "GITHUB_BASE_REF": "main"}
    monorepo.git("update-ref", "refs/remotes/origin/main", commits[3])
    monorepo.git("checkout", "--quiet", "-b", "topic", commits[1])
    monorepo.commit("topic")
    assert chosen(monorepo, environ) == Base(
        commits[1],
        "the pull request's base main",
        "the merge base with the pull request's base main",
    )


def test_a_pull_request_whose_base_is_checked_out(
    monorepo: Monorepo, commits: list[str], tmp_path: Path
) -> None:
    environ = {**event(tmp_path, {"pull_request": {"commits": 2}}), "GITHUB_BASE_REF": "main"}
    monorepo.git("update-ref", "refs/remotes/origin/main", commits[3])
    parent = Base(commits[2], "HEAD^", "the parent commit, as HEAD has nothing uncommitted")
    assert chosen(monorepo, environ) == parent
    assert chosen(monorepo, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": commits[3]}) == parent


def test_a_merge_request_and_a_push_on_gitlab(monorepo: Monorepo, commits: list[str]) -> None:
    merge_request = {"CI": "true", "CI_MERGE_REQUEST_DIFF_BASE_SHA": commits[1]}
    assert chosen(monorepo, merge_request).commit == commits[1]
    push = {"CI": "true", "CI_COMMIT_BEFORE_SHA": commits[0], "CI_COMMIT_SHA": commits[3]}
    assert chosen(monorepo, push).commit == commits[0]
    assert chosen(monorepo, {**push, "CI_COMMIT_BEFORE_SHA": ZEROS}).commit == commits[2]


def test_a_shallow_clone_says_how_many_commits_to_fetch(
    monorepo: Monorepo, commits: list[str], tmp_path: Path
) -> None:
    clone = shallow(monorepo)
    with pytest.raises(GitError) as caught:
        chosen(clone)
    assert caught.value.message == "this shallow clone lacks the parent of HEAD: fetch 2 commits"
    assert caught.value.hint.startswith("git fetch --depth=2 ")

    push = {"before": commits[0], "commits": [{}, {}, {}]}
    with pytest.raises(GitError, match=f"lacks the commit before the push, {commits[0]}: fetch 4"):
        chosen(clone, event(tmp_path, push))

    # A checkout of a pull request has no branch of the base.
    clone.git("update-ref", "-d", "refs/remotes/origin/main")
    pull = {"pull_request": {"commits": 3, "base": {"sha": commits[0]}}}
    with pytest.raises(GitError, match="lacks the pull request's base main: fetch 5 commits"):
        chosen(clone, {**event(tmp_path, pull), "GITHUB_BASE_REF": "main"})

    with pytest.raises(GitError, match=r"lacks the merge request's base .*: fetch all commits"):
        chosen(clone, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": commits[0]})

    clone.git("fetch", "--quiet", "--depth=2", "origin", "main")
    assert chosen(clone).commit == commits[2]


def test_an_upstream_without_common_history(monorepo: Monorepo) -> None:
    monorepo.commit("first")
    monorepo.git("checkout", "--quiet", "--orphan", "topic")
    monorepo.commit("unrelated")
    monorepo.git("branch", "--quiet", "--set-upstream-to=main")
    with pytest.raises(GitError, match="have no commit in common in this clone") as caught:
        chosen(monorepo)
    assert "--base" in caught.value.hint


def test_a_commit_that_a_shallow_clone_has_not(monorepo: Monorepo, commits: list[str]) -> None:
    error = unknown_revision(shallow(monorepo).root, "HEAD~3")
    assert error.message == "this shallow clone has no commit 'HEAD~3'"
    assert error.hint.startswith("git fetch --unshallow (in CI: ")
