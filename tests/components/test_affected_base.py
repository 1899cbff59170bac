"""The commit that `affected` compares with: the one asked for, or where the branch left its upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daintree.components import WorkingTree
from daintree.components.affected import Affected, affected
from daintree.errors import GitError, UsageError
from tests.library_project import CLEAN, PLATFORM, affected_since, reasons, versions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Monorepo


def test_the_base_is_the_merge_base_with_the_upstream_branch(library_project: Monorepo) -> None:
    base = library_project.git("rev-parse", "HEAD")
    library_project.git("checkout", "--quiet", "-b", "topic", "--track")
    library_project.write(f"{CLEAN}/main.py", "topic")
    library_project.commit()
    library_project.git("checkout", "--quiet", "main")
    library_project.write("components/train/main.py", "main")
    library_project.commit()
    library_project.git("checkout", "--quiet", "topic")
    assert affected_since(library_project).base == base
    assert list(reasons(library_project)) == ["common/clean"]
    assert list(reasons(library_project, "main")) == ["common/clean", "train"]
    assert list(reasons(library_project, "HEAD")) == []


def test_nothing_uncommitted_is_compared_with_the_parent(library_project: Monorepo) -> None:
    first = library_project.git("rev-parse", "HEAD")
    assert affected_since(library_project).chosen == "HEAD, the first commit"
    library_project.write(f"{CLEAN}/main.py", "2")
    assert affected_since(library_project).chosen == "HEAD, as the branch has no upstream"
    library_project.commit()
    assert affected_since(library_project).base == first
    assert list(reasons(library_project)) == ["common/clean"]


def test_before_any_commit_everything_is_affected(monorepo: Monorepo) -> None:
    assert affected_since(monorepo) == Affected("", (), "no commit yet")
    monorepo.component("b")
    monorepo.component("a")
    assert reasons(monorepo) == {"a": ["no commit yet"], "b": ["no commit yet"]}
    assert {item.name: item.version for item in affected_since(monorepo).components} == versions(
        monorepo.root, {}
    )


def test_an_unknown_base(library_project: Monorepo) -> None:
    library_project.git("branch", "develop")
    with pytest.raises(UsageError) as caught:
        affected_since(library_project, "devel")
    assert caught.value.message == "git knows no commit 'devel'"
    assert caught.value.hint == "did you mean 'develop'?"


def test_outside_a_repository(tmp_path: Path) -> None:
    for base in (None, "main"):
        with pytest.raises(GitError, match="is not in a git repository"):
            affected(WorkingTree(tmp_path), base, platform=PLATFORM, bases={})
