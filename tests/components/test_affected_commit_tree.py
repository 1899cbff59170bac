"""A commit's files, told by what differs in the working tree: always those of a clean clone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daintree.components.affected import CommitTree
from daintree.components.entries import SUBMODULE, Entry
from daintree.components.git import head
from daintree.components.tree import WorkingTree
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo

DIRECTORY = "components/a"


def tree_of(monorepo: Monorepo, commit: str) -> CommitTree:
    return CommitTree(WorkingTree(monorepo.root), commit)


def assert_as_cloned(monorepo: Monorepo, commit: str) -> list[Entry]:
    """The commit's files are those of a fresh clone of it, converted as there."""
    clone = type(monorepo)(monorepo.root.parent / f"clone-of-{commit}")
    monorepo.git("clone", "--quiet", "--no-checkout", monorepo.root, clone.root)
    clone.git("checkout", "--quiet", "--detach", commit)
    tree = tree_of(monorepo, commit)
    entries = tree.files(DIRECTORY)
    cloned = WorkingTree(clone.root)
    assert entries == cloned.files(DIRECTORY)
    assert [tree.content(e) for e in entries] == [cloned.content(e) for e in entries]
    paths = [entry.path for entry in entries]
    assert tree.conversions(paths) == cloned.conversions(paths)
    return entries


def test_files_and_their_contents(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/größe 1", "one\n")
    monorepo.write(f"{DIRECTORY}/new\nline", "two\n", mode=0o755)
    (monorepo.root / DIRECTORY / "link").symlink_to("größe 1")
    monorepo.write("components/a-b/x", "another's\n")
    commit = monorepo.commit()
    monorepo.write(f"{DIRECTORY}/later", "three\n")
    monorepo.write(f"{DIRECTORY}/größe 1", "another\n")
    (monorepo.root / DIRECTORY / "link").unlink()
    monorepo.git("init", "--quiet", f"{DIRECTORY}/nested")
    assert len(assert_as_cloned(monorepo, commit)) == 3
    assert tree_of(monorepo, commit).files("components/nothing") == []


def test_the_attributes_are_those_of_the_commit(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/a.txt", "one\n")
    plain = monorepo.commit()
    monorepo.write(".gitattributes", "*.txt eol=crlf\n")
    converted = monorepo.commit()
    monorepo.write(".gitattributes", "*.txt ident\n")
    assert_as_cloned(monorepo, plain)
    assert_as_cloned(monorepo, converted)
    tree = tree_of(monorepo, converted)
    tree.files(DIRECTORY)
    assert tree.conversions([f"{DIRECTORY}/a.txt"]) == {f"{DIRECTORY}/a.txt": "eol=crlf"}


def test_a_directory_that_git_is_asked_for_later(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/a.txt", "one\n")
    monorepo.write("components/b/b.txt", "one\n")
    commit = monorepo.commit()
    monorepo.write("components/b/b.txt", "two\n")
    tree = tree_of(monorepo, commit)
    assert [tree.content(entry) for entry in tree.files(DIRECTORY)] == [b"one\n"]
    assert [tree.content(entry) for entry in tree.files("components/b")] == [b"one\n"]


def test_submodules(monorepo: Monorepo) -> None:
    monorepo.write("file", "x")
    monorepo.commit()
    monorepo.git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        monorepo.root,
        f"{DIRECTORY}/sub",
    )
    tree = tree_of(monorepo, monorepo.commit())
    assert [entry.mode for entry in tree.files(DIRECTORY)] == [SUBMODULE]


def test_head(monorepo: Monorepo) -> None:
    assert head(monorepo.root, [DIRECTORY]) == ("", False)
    monorepo.write(f"{DIRECTORY}/f", "x")
    monorepo.write("components/b/f", "x")
    assert head(monorepo.root, [DIRECTORY]) == ("", True)
    commit = monorepo.commit()
    assert head(monorepo.root, [DIRECTORY]) == (commit, False)
    monorepo.write("components/b/f", "y")
    assert head(monorepo.root, [DIRECTORY]) == (commit, False)
    assert head(monorepo.root, []) == (commit, False)
    assert head(monorepo.root, [DIRECTORY, "components/b"]) == (commit, True)
    monorepo.write(f"{DIRECTORY}/untracked", "x")
    assert head(monorepo.root, [DIRECTORY]) == (commit, True)


def test_a_blob_that_the_repository_lacks(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/f", "x")
    commit = monorepo.commit()
    blob = monorepo.git("rev-parse", f"HEAD:{DIRECTORY}/f")
    monorepo.write(f"{DIRECTORY}/f", "another")
    (monorepo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    tree = tree_of(monorepo, commit)
    with pytest.raises(GitError, match=f"the repository lacks the object {blob}"):
        tree.content(tree.files(DIRECTORY)[0])
