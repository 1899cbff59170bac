from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.git import (
    Objects,
    attempt,
    git,
    ignored_by,
    ignored_paths,
    read_repository,
)
from daintree.components.history import checked_out
from daintree.components.tree import WorkingTree
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
    with pytest.raises(GitError, match="git is not installed"):
        ignored_paths(monorepo.root, ["components/a/Dockerfile"])
    # A project without components has no need of it.
    assert ignored_paths(monorepo.root, []) == {}


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


def test_the_repository_of_a_calling_git_is_not_inherited(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert git(monorepo.root, "rev-parse", "--show-toplevel").decode() == f"{monorepo.root}\n"
    assert git(monorepo.root, "config", "user.name") == b"Ada\n"


def configuration_by_number(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.excludesFile")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(file))


def configuration_by_option(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """As `git -c` hands it to what git starts."""
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.excludesFile'='{file}'")


def configuration_of_the_user(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    settings = file.with_name("gitconfig")
    settings.write_text(f'[core]\nexcludesFile = "{file}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))


def configuration_of_the_system(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    configuration_of_the_user(monkeypatch, file)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.environ["GIT_CONFIG_GLOBAL"])
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")


@pytest.mark.parametrize(
    "configure",
    [
        configuration_by_number,
        configuration_by_option,
        configuration_of_the_user,
        configuration_of_the_system,
    ],
)
def test_configuration_in_the_environment_reaches_git(
    monorepo: Monorepo,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    configure: Callable[[pytest.MonkeyPatch, Path], None],
) -> None:
    excludes = tmp_path / "excludes"
    excludes.write_text("*.tmp\n")
    configure(monkeypatch, excludes)
    monorepo.component("a", {"x.tmp": "x"})
    entries = WorkingTree(monorepo.root).files("components/a")
    assert [entry.path for entry in entries] == ["components/a/Dockerfile", "components/a/main.py"]
    assert ignored_by(monorepo.root, "components/a/x.tmp") == f"{excludes}:1"
    assert ignored_by(monorepo.root, "components/a/main.py") == ""


def test_directories_above_that_git_must_not_search(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = monorepo.write("deep/er/file", "x").parent
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(inner.parent))
    with pytest.raises(GitError, match="is not in a git repository"):
        git(inner, "status")


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
    monorepo.git("worktree", "add", "--quiet", "../tree")
    worktree = monorepo.root.parent / "tree" / "deep" / "er"

    repository = read_repository(worktree)
    assert repository.prefix == b"deep/er/"
    assert repository.levels == 2
    assert repository.algorithm == "sha1"
    assert repository.common_directory.resolve() == monorepo.root / ".git"
    assert repository.git_directory == monorepo.root / ".git" / "worktrees" / "tree"
    commit = monorepo.git("rev-parse", "HEAD")
    assert (repository.head, repository.parents, repository.upstream) == (commit, (), "")
    assert not repository.is_shallow
    assert not repository.is_detached


def test_the_commits_of_a_repository(monorepo: Monorepo) -> None:
    empty = read_repository(monorepo.root)
    assert (empty.head, empty.parents, empty.upstream) == ("", (), "")
    first = monorepo.commit("first")
    monorepo.git("checkout", "--quiet", "-b", "topic", "--track")
    assert read_repository(monorepo.root).upstream == first
    second = monorepo.commit("second")
    repository = read_repository(monorepo.root)
    assert (repository.head, repository.parents, repository.upstream) == (second, (first,), first)
    monorepo.git("checkout", "--quiet", "--detach")
    repository = read_repository(monorepo.root)
    assert (repository.head, repository.parents, repository.upstream) == (second, (first,), "")
    assert repository.is_detached


def test_a_checkout_of_a_commit_is_gone_with_its_private_objects(monorepo: Monorepo) -> None:
    own = Objects(read_repository(monorepo.root)).directory
    with checked_out(monorepo.root, monorepo.commit("first")) as root:
        private = Objects(read_repository(root)).directory
        assert private.is_dir()
    assert not private.exists()
    assert own.is_dir()
    assert not root.exists()
    assert str(root) not in monorepo.git("worktree", "list")


def test_a_call_in_the_background() -> None:
    assert Background(lambda: 1).result() == 1
    failing = Background(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_a_file_that_goes_while_old_ones_are_looked_for_is_no_error(monorepo: Monorepo) -> None:
    repository = read_repository(monorepo.root)
    directory = Objects(repository).directory
    # A link that leads nowhere is, as a file that another process has just renamed, listed and then not there.
    (directory / "objects/renamed").symlink_to("nowhere")
    (directory / "pruned").unlink(missing_ok=True)
    Objects(repository)
    assert (directory / "pruned").exists()
