"""Ancestry of commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daintree.components.git import read_repository
from daintree.components.history import CommitHistory
from daintree.components.tree import WorkingTree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Monorepo

NOWHERE = "12" * 20


def test_later_commits_and_unknown_ones(monorepo: Monorepo) -> None:
    first, second, third = (monorepo.commit(str(number)) for number in range(3))
    monorepo.git("checkout", "--quiet", "-b", "aside", first)
    aside = monorepo.commit("aside")

    history = CommitHistory(WorkingTree(monorepo.root), second)

    assert history.later == {third}
    assert history.unknown([first, second, third, aside, NOWHERE]) == {NOWHERE}


def test_a_later_commit_that_only_a_reflog_leads_to(monorepo: Monorepo) -> None:
    first, second = monorepo.commit("first"), monorepo.commit("second")
    monorepo.git("reset", "--quiet", "--hard", first)

    assert CommitHistory(WorkingTree(monorepo.root), first).later == {second}


def is_on_main_line(root: Path, commit: str) -> bool:
    return CommitHistory(WorkingTree(root), commit).is_on_main_line


def test_the_main_line(monorepo: Monorepo) -> None:
    first, second = monorepo.commit("first"), monorepo.commit("second")
    monorepo.git("checkout", "--quiet", "-b", "feature")
    feature = monorepo.commit("feature")

    assert is_on_main_line(monorepo.root, first)
    assert is_on_main_line(monorepo.root, second)
    assert not is_on_main_line(monorepo.root, feature)


def test_a_main_line_of_another_name(monorepo: Monorepo) -> None:
    first = monorepo.commit("first")
    monorepo.git("branch", "--move", "trunk")
    assert is_on_main_line(monorepo.root, first)
    monorepo.git("checkout", "--quiet", "--detach")
    assert not is_on_main_line(monorepo.root, first)


def test_the_main_line_is_what_origin_says(monorepo: Monorepo) -> None:
    first = monorepo.commit("first")
    monorepo.git("branch", "develop")
    later = monorepo.commit("later")
    monorepo.git("remote", "add", "origin", "https://git.example/shop")
    monorepo.git("update-ref", "refs/remotes/origin/develop", first)
    monorepo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop")

    assert is_on_main_line(monorepo.root, first)
    assert not is_on_main_line(monorepo.root, later)
    assert read_repository(monorepo.root).origin_url == "https://git.example/shop"


def test_without_a_remote_there_is_no_address(monorepo: Monorepo) -> None:
    assert read_repository(monorepo.root).origin_url == ""


def test_when_a_commit_was_made(monorepo: Monorepo) -> None:
    commit = monorepo.commit("first")
    assert CommitHistory(WorkingTree(monorepo.root), commit).seconds == int(
        monorepo.git("log", "-1", "--format=%ct", commit)
    )
