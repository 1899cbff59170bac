"""The same files are the same version, whatever state git is in and wherever they lie."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import read_versions
from daintree.components.history import unknown_revision
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo

NAMES = ["a", "user"]


def digests(root: Path) -> list[str]:
    versions = read_versions(root, NAMES, platform="linux/amd64", bases={})
    return [versions[name].digest for name in NAMES]


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    monorepo.component("a", {"ein Wort": "1\n", "größe": "2\r\n"})
    monorepo.write("components/a/run.sh", "#!/bin/sh\n", mode=0o755)
    (monorepo.root / "components/a/link").symlink_to("main.py")
    monorepo.component("user", {"component.yaml": "uses: [lib/stageio]\n"})
    monorepo.library("lib/stageio", {"__init__.py": ""})
    return monorepo


def test_untracked_staged_committed_amended_and_packed(project: Monorepo) -> None:
    expected = digests(project.root)
    project.git("add", "--all")
    assert digests(project.root) == expected
    project.commit()
    assert digests(project.root) == expected
    project.git("commit", "--quiet", "--amend", "--message", "other words")
    assert digests(project.root) == expected
    project.git("gc", "--quiet")
    assert digests(project.root) == expected


def test_changed_back_and_checked_out_again(project: Monorepo) -> None:
    expected = digests(project.root)
    project.commit()
    project.write("components/a/main.py", "print(2)\n")
    changed = digests(project.root)
    assert changed[0] != expected[0]
    assert changed[1] == expected[1]
    project.git("stash", "--quiet")
    assert digests(project.root) == expected
    project.git("stash", "pop", "--quiet")
    assert digests(project.root) == changed
    project.commit()
    project.git("checkout", "--quiet", "HEAD~1")
    assert digests(project.root) == expected


def clone(project: Monorepo, to: Path) -> None:
    project.git("clone", "--quiet", project.root, to)


def shallow_clone(project: Monorepo, to: Path) -> None:
    project.commit("one more")
    project.git("clone", "--quiet", "--depth=1", f"file://{project.root}", to)


def partial_clone(project: Monorepo, to: Path) -> None:
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("clone", "--quiet", "--filter=blob:none", f"file://{project.root}", to)


def worktree(project: Monorepo, to: Path) -> None:
    project.git("worktree", "add", "--quiet", "--detach", to)


def worktree_of_a_bare_clone(project: Monorepo, to: Path) -> None:
    project.git("clone", "--quiet", "--bare", project.root, f"{to}.git")
    project.git(f"--git-dir={to}.git", "worktree", "add", "--quiet", "--detach", to)


def clone_with_another_umask(project: Monorepo, to: Path) -> None:
    previous = os.umask(0o077)
    try:
        clone(project, to)
    finally:
        os.umask(previous)


def sparse_clone(project: Monorepo, to: Path) -> None:
    project.git("clone", "--quiet", "--sparse", project.root, to)


def submodule_of_another(project: Monorepo, to: Path) -> None:
    outer = type(project)(to.parent / "outer").init()
    outer.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", project.root, "inner"
    )
    to.symlink_to(outer.root / "inner")


@pytest.mark.parametrize(
    "copy",
    [
        clone,
        shallow_clone,
        partial_clone,
        worktree,
        worktree_of_a_bare_clone,
        clone_with_another_umask,
        sparse_clone,
        submodule_of_another,
    ],
)
def test_everywhere_else(
    project: Monorepo, tmp_path: Path, copy: Callable[[Monorepo, Path], None]
) -> None:
    expected = digests(project.root)
    project.commit()
    copy(project, tmp_path / "else where")
    assert digests(tmp_path / "else where") == expected


def test_a_copy_without_history(project: Monorepo, tmp_path: Path) -> None:
    expected = digests(project.root)
    subprocess.run(["cp", "-R", project.root / "components", tmp_path / "components"], check=True)
    type(project)(tmp_path).git("init", "--quiet")
    assert digests(tmp_path) == expected


def test_inside_a_hook(project: Monorepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """git sets these for its hooks, and during `git commit --only` the index is a temporary one."""
    expected = digests(project.root)
    project.commit()
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", str(project.root / ".git" / "next-index-1.lock"))
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "0")
    assert digests(project.root) == expected


@pytest.mark.parametrize("work_tree", [True, False])
def test_a_repository_that_only_the_environment_names(
    project: Monorepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work_tree: bool
) -> None:
    project.commit()
    expected = digests(project.root)
    (project.root / ".git").rename(tmp_path / "apart.git")
    with pytest.raises(GitError, match="is not in a git repository"):
        digests(project.root)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", "apart.git")
    if work_tree:
        monkeypatch.setenv("GIT_WORK_TREE", str(project.root))
    assert digests(project.root) == expected
    assert unknown_revision(project.root, "man").hint == "did you mean 'main'?"


def test_a_merge_conflict_counts_as_it_lies_on_disk(project: Monorepo) -> None:
    project.commit()
    project.git("checkout", "--quiet", "-b", "other")
    project.write("components/a/main.py", "print('theirs')\n")
    project.commit()
    project.git("checkout", "--quiet", "main")
    project.write("components/a/main.py", "print('ours')\n")
    project.commit()
    before = digests(project.root)
    with pytest.raises(subprocess.CalledProcessError):
        project.git("merge", "other")
    conflicted = digests(project.root)
    assert conflicted[0] != before[0]
    project.write("components/a/main.py", "print('ours')\n")
    assert digests(project.root) == before
