"""A tree that git has begun to look at before anybody asks is the tree that it finds when asked."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.components.entries import Entry
from daintree.components.tree import WorkingTree
from daintree.errors import GitError
from tests.components.git_files import DIRECTORY, FILE
from tests.components.test_tree_situations import MAIN, SITUATIONS, project
from tests.conftest import Monorepo

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["project"]

PATHS = ["a", "b", "b/c", "b/c/d", ".gitattributes", ".gitignore"]
STEPS: dict[str, Callable[[Monorepo, str], object]] = {
    "write": lambda repository, path: _write(repository.root / "components" / path),
    "write again": lambda repository, path: _write(repository.root / "components" / path, "2"),
    "delete": lambda repository, path: _remove(repository.root / "components" / path),
    "mode": lambda repository, path: _make_executable(repository.root / "components" / path),
    "stage": lambda repository, path: repository.git("add", "--all", "--force", "components"),
    "intend": lambda repository, path: repository.git(
        "add", "--all", "--force", "--intent-to-add", "."
    ),
    "unstage": lambda repository, path: repository.git(
        *("rm", "-r", "--quiet", "--cached", "--ignore-unmatch", f"components/{path}")
    ),
    "commit": lambda repository, path: repository.commit(),
    "write unseen": lambda repository, path: _write_unseen(repository.root / "components" / path),
    "ignore": lambda repository, path: _ignore(repository.root / ".gitignore", path),
    "check out the first commit": lambda repository, path: repository.git(
        *("checkout", "--quiet", "--force", "--detach", "first")
    ),
    "check out the last commit": lambda repository, path: repository.git(
        *("checkout", "--quiet", "--force", "main")
    ),
}


def _write(path: Path, text: str = "1") -> None:
    for parent in reversed(path.parents):
        if parent.is_file():
            parent.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(path)
    path.write_text(f"{text} -text\n" if path.name.startswith(".git") else text)


def _write_unseen(path: Path) -> None:
    """Write as many bytes as the file has, and give it the time that it had."""
    if path.is_file():
        before = path.stat()
        path.write_bytes(b"3" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _ignore(rules: Path, path: str) -> None:
    with open(rules, "a", encoding="utf-8") as file:
        file.write(f"/components/{path}\n")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.is_file():
        path.unlink()


def _make_executable(path: Path) -> None:
    if path.is_file():
        path.chmod(0o755)


def started(root: Path, *directories: str) -> WorkingTree:
    tree = WorkingTree(root)
    tree.start(directories or ["components"])
    return tree


def added(repository: Monorepo) -> list[Entry]:
    """The files of the components after `git add --all` in a copy of the repository."""
    copy = Monorepo(repository.root.with_name("copy"))
    shutil.copytree(repository.root, copy.root, symlinks=True)
    copy.git("add", "--all")
    lines = copy.git("ls-files", "--stage", "-z", "components").split("\0")[:-1]
    entries = [
        (path, *facts.split(" ")[:2]) for facts, _, path in (x.partition("\t") for x in lines)
    ]
    return sorted((Entry(*entry) for entry in entries), key=lambda entry: entry.path)


def assert_alike(root: Path) -> None:
    """All that can be asked of a tree has the same answer from one that was begun before."""
    early, late = started(root), WorkingTree(root)
    assert early.files("components") == late.files("components")
    assert early.named("main.py") == late.named("main.py")
    assert early.differences(late.repository.head) == late.differences(late.repository.head)
    assert early.conflicts == late.conflicts
    paths = [entry.path for entry in late.files("components")]
    assert early.conversions(paths) == late.conversions(paths)


@pytest.mark.parametrize("name", SITUATIONS)
def test_in_each_situation(project: Monorepo, name: str) -> None:
    SITUATIONS[name](project)
    assert_alike(project.root)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(PATHS)), max_size=8))
def test_after_any_steps(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", f"{directory}/cache")
        repository = Monorepo(Path(directory, "project")).init()
        repository.write("components/x/main.py", "print(1)\n")
        repository.commit()
        repository.git("tag", "first")
        for step, path in steps:
            STEPS[step](repository, path)
        assert_alike(repository.root)
        assert WorkingTree(repository.root).files("components") == added(repository)


def test_an_intended_file_that_is_gone(project: Monorepo) -> None:
    new = project.write("components/a/new", "new\n")
    project.git("add", "--intent-to-add", new)
    new.unlink()
    assert_alike(project.root)


def test_what_changed_is_added_to_an_index_of_its_own(project: Monorepo, tmp_path: Path) -> None:
    project.write(MAIN, "print(2)\n")
    project.write("components/a/new", "new\n")
    tree, before = started(project.root), (project.root / ".git/index").read_bytes()
    entries = {entry.path: entry for entry in tree.files("components")}
    assert tree.content(entries["components/a/new"]) == b"new\n"
    indexes = (tmp_path / "home/.cache/daintree/git").glob("*/index.*")
    assert [i.read_bytes() for i in indexes if i.suffix != ".changed"] == [before]
    assert_alike(project.root)


def test_more_changes_than_are_worth_an_index_of_their_own(project: Monorepo) -> None:
    for number in range(201):
        project.write(f"components/a/{number}", f"{number}\n")
    assert_alike(project.root)


def test_a_directory_that_has_become_a_link(project: Monorepo) -> None:
    shutil.rmtree(project.root / "components/a")
    project.write("components/b/main.py", "print(1)\n")
    (project.root / "components/a").symlink_to("b")
    assert_alike(project.root)


def test_a_conflict(project: Monorepo) -> None:
    project.git("checkout", "--quiet", "-b", "other")
    project.write(MAIN, "theirs\n")
    project.commit()
    project.git("checkout", "--quiet", "main")
    project.write(MAIN, "ours\n")
    project.commit()
    with pytest.raises(Exception, match="exit status 1"):
        project.git("merge", "other")
    assert_alike(project.root)
    assert started(project.root).files(MAIN)
    assert MAIN in (tree := started(project.root)).named("main.py")
    assert tree.conflicts == {MAIN}


def test_a_project_below_the_repositorys_top(monorepo: Monorepo) -> None:
    below = type(monorepo)(monorepo.root / "some/where")
    below.component("a")
    below.write("components/b", "1")
    monorepo.write("components/a/main.py", "of the top\n")
    monorepo.commit()
    below.write(MAIN, "print(2)\n")
    below.write("components/c", "new\n")
    (below.root / "components/b").unlink()
    assert_alike(below.root)


def test_a_repository_inside_that_has_no_commit(project: Monorepo) -> None:
    project.git("init", "--quiet", "components/a/inner")
    project.write("components/a/new", "new\n")
    assert_alike(project.root)


def test_before_any_commit_and_below_no_change_at_all(monorepo: Monorepo) -> None:
    monorepo.write(FILE, "one\n")
    assert [entry.path for entry in started(monorepo.root).files(DIRECTORY)] == [FILE]
    monorepo.commit()
    assert [entry.path for entry in started(monorepo.root).files(DIRECTORY)] == [FILE]


def test_a_commit_without_any_of_the_files(monorepo: Monorepo) -> None:
    monorepo.write("README.md", "one\n")
    monorepo.commit()
    paths = sorted(f"{DIRECTORY}/{name}" for name in ("c", "a", "b"))
    for path in paths:
        monorepo.write(path, f"{path}\n")
    assert [entry.path for entry in started(monorepo.root).files(DIRECTORY)] == paths


def test_more_that_is_asked_for_later(project: Monorepo) -> None:
    tree = started(project.root, "components/a")
    project.write("components/b/later", "later\n")
    tree.load(["components/b"])
    assert "components/b/later" in [entry.path for entry in tree.files("components/b")]
    assert tree.files("components/a") == WorkingTree(project.root).files("components/a")


def test_an_error_comes_with_the_first_question(project: Monorepo) -> None:
    (project.root / MAIN).unlink()
    os.mkfifo(project.root / MAIN)
    tree = started(project.root)
    with pytest.raises(GitError, match=r"components/a/main\.py is not a regular file"):
        tree.files("components")


def test_nothing_is_left_of_one_that_nobody_asks(project: Monorepo, tmp_path: Path) -> None:
    started(project.root)
    gc.collect()
    [private] = (tmp_path / "home/.cache/daintree/git").iterdir()
    assert not list(private.glob("index*"))
