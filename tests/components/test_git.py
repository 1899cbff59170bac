from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.git import attempt, git, read_repository
from daintree.concurrency import Background
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def test_outside_a_repository(tmp_path: Path) -> None:
    with pytest.raises(GitError) as caught:
        git(tmp_path, "status")
    assert caught.value.message == f"{tmp_path} is not in a git repository"
    assert "git init" in caught.value.hint


def test_without_git(monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed, or not on PATH") as caught:
        git(monorepo.root, "status")
    assert caught.value.hint.startswith("install git")


def test_a_repository_of_somebody_else(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """git is stood in for by what it says then: a test cannot give files to another user."""
    script = monorepo.write(
        "bin/git",
        "#!/bin/sh\n"
        "printf \"fatal: detected dubious ownership in repository at '/x y'\\n\" >&2\n"
        "printf 'To add an exception for this directory, call:\\n\\n' >&2\n"
        "printf \"\\tgit config --global --add safe.directory '/x y'\\n\" >&2\n"
        "exit 128\n",
        mode=0o755,
    )
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(GitError, match="belongs to another user") as caught:
        git(monorepo.root, "status")
    assert caught.value.hint == "git config --global --add safe.directory '/x y'"


def test_a_refusal_says_which_command_and_why(monorepo: Monorepo) -> None:
    with pytest.raises(GitError, match=r"git rev-parse failed in .*: bad revision 'nothing'"):
        git(monorepo.root, "rev-parse", "nothing", "--")


def test_an_exit_code_can_be_an_answer(monorepo: Monorepo) -> None:
    assert attempt(monorepo.root, "config", "--get", "no.such").code == 1


def test_nothing_of_a_calling_git_is_inherited(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_CONFIG_GLOBAL"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert git(monorepo.root, "rev-parse", "--show-toplevel").decode() == f"{monorepo.root}\n"
    assert git(monorepo.root, "config", "user.name") == b"Ada\n"


def test_nothing_is_locked_or_written(monorepo: Monorepo) -> None:
    monorepo.write("file", "x")
    monorepo.commit()
    os.utime(monorepo.root / "file", (1, 1))
    index = monorepo.root / ".git" / "index"
    before = index.read_bytes()
    git(monorepo.root, "status")
    assert index.read_bytes() == before


def test_the_repository_of_a_project(monorepo: Monorepo) -> None:
    monorepo.write("deep/er/file", "x")
    monorepo.commit()
    monorepo.git("config", "core.eol", "lf")
    monorepo.git("worktree", "add", "--quiet", "../tree")
    worktree = monorepo.root.parent / "tree" / "deep" / "er"

    found = read_repository(worktree)
    assert found.prefix == b"deep/er/"
    assert found.levels == 2
    assert found.algorithm == "sha1"
    assert found.config["core.eol"] == "lf"
    assert found.common_directory.resolve() == monorepo.root / ".git"
    assert found.git_directory == monorepo.root / ".git" / "worktrees" / "tree"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("Yes", True), ("1", True), ("false", False), ("off", False), ("", False)],
)
def test_booleans_of_the_configuration(monorepo: Monorepo, value: str, expected: bool) -> None:
    monorepo.git("config", "x.y", value)
    repository = read_repository(monorepo.root)
    assert repository.is_set("x.y", default=not expected) is expected
    assert repository.is_set("x.missing", default=True)


def test_a_call_in_the_background() -> None:
    assert Background(lambda: 1).result() == 1
    failing = Background(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result()
