"""A commit's files: always what a clean clone of it has on disk."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components.commit_tree import CommitTree, default_base, head, resolve_commit
from daintree.components.entry import SUBMODULE, Entry
from daintree.components.git import read_repository
from daintree.components.working_tree import WorkingTree
from daintree.errors import GitError

if TYPE_CHECKING:
    from tests.conftest import Monorepo

DIRECTORY = "components/a"


def tree_of(monorepo: Monorepo, commit: str) -> CommitTree:
    return CommitTree(read_repository(monorepo.root), commit)


def assert_as_cloned(monorepo: Monorepo, commit: str) -> list[Entry]:
    """The commit's files are those of a fresh clone of it, read from the clone's disk."""
    clone = type(monorepo)(monorepo.root.parent / f"clone-of-{commit}")
    monorepo.git("clone", "--quiet", "--no-checkout", monorepo.root, clone.root)
    config = (monorepo.root / ".git" / "config").read_text()
    (clone.root / ".git" / "config").write_text(config)
    clone.git("checkout", "--quiet", "--detach", commit)
    tree = tree_of(monorepo, commit)
    entries = tree.files(DIRECTORY)
    cloned = WorkingTree(clone.root)
    assert entries == cloned.files(DIRECTORY)
    assert [tree.content(entry) for entry in entries] == [
        cloned.content(entry) for entry in entries
    ]
    return entries


def test_files_and_their_contents(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/größe 1", "one\n")
    monorepo.write(f"{DIRECTORY}/new\nline", "two\n", mode=0o755)
    (monorepo.root / DIRECTORY / "link").symlink_to("größe 1")
    monorepo.write("components/a-b/x", "another's\n")
    commit = monorepo.commit()
    monorepo.write(f"{DIRECTORY}/later", "three\n")
    assert len(assert_as_cloned(monorepo, commit)) == 3
    assert tree_of(monorepo, commit).files("components/nothing") == []


@pytest.mark.parametrize(
    ("attributes", "content"),
    [
        ("* text=auto", "one\n"),
        ("*.txt eol=crlf", "one\ntwo\n"),
        ("*.txt ident", "$Id$\n"),
        ("*.txt filter=upper", "one\n"),
        ("*.txt working-tree-encoding=UTF-16LE-BOM", "one\n".encode("utf-16")),
        ("*.txt text", "one\n"),
    ],
)
def test_converted_as_a_checkout_converts(
    monorepo: Monorepo, attributes: str, content: str | bytes
) -> None:
    monorepo.git("config", "filter.upper.clean", "tr a-z A-Z")
    monorepo.git("config", "filter.upper.smudge", "tr A-Z a-z")
    monorepo.write(".gitattributes", f"{attributes}\n")
    monorepo.write(f"{DIRECTORY}/a b.txt", content)
    monorepo.write(f"{DIRECTORY}/other", "other\n")
    assert_as_cloned(monorepo, monorepo.commit())


@pytest.mark.parametrize("value", ["true", "input"])
def test_converted_by_autocrlf(monorepo: Monorepo, value: str) -> None:
    monorepo.write(f"{DIRECTORY}/a.txt", "one\n")
    monorepo.write(f"{DIRECTORY}/b.txt", "one\r\n")
    commit = monorepo.commit()
    monorepo.git("config", "core.autocrlf", value)
    assert_as_cloned(monorepo, commit)


def test_the_attributes_are_those_of_the_commit(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/a.txt", "one\n")
    plain = monorepo.commit()
    monorepo.write(".gitattributes", "*.txt eol=crlf\n")
    converted = monorepo.commit()
    first = assert_as_cloned(monorepo, plain)
    second = assert_as_cloned(monorepo, converted)
    assert first != second


def test_a_required_filter_that_fails(monorepo: Monorepo) -> None:
    monorepo.write(f"{DIRECTORY}/a.txt", "one\n")
    monorepo.write(".gitattributes", "*.txt filter=broken\n")
    commit = monorepo.commit()
    monorepo.git("config", "filter.broken.smudge", "false")
    monorepo.git("config", "filter.broken.required", "true")
    with pytest.raises(
        GitError, match=r"(?s)git checkout-index failed .*smudge filter broken failed"
    ):
        tree_of(monorepo, commit).files(DIRECTORY)


def test_a_project_below_the_top_of_its_repository(monorepo: Monorepo) -> None:
    monorepo.write(f"deep/er/{DIRECTORY}/a.txt", "one\n")
    monorepo.write(".gitattributes", "*.txt eol=crlf\n")
    commit = monorepo.commit()
    entries = tree_of(type(monorepo)(monorepo.root / "deep" / "er"), commit).files(DIRECTORY)
    (monorepo.root / f"deep/er/{DIRECTORY}/a.txt").unlink()
    monorepo.git("checkout", "--", ".")
    assert entries == WorkingTree(monorepo.root / "deep" / "er").files(DIRECTORY)
    assert (monorepo.root / f"deep/er/{DIRECTORY}/a.txt").read_bytes() == b"one\r\n"


def test_many_directories_and_contents_at_once(monorepo: Monorepo) -> None:
    for number in range(40):
        monorepo.write(f"components/c{number}/Dockerfile", f"FROM x{number}\n")
        monorepo.write(f"components/c{number}/empty", "")
    tree = tree_of(monorepo, monorepo.commit())
    tree.load((f"components/c{number}" for number in range(40)), contents={"Dockerfile"})
    for number in range(40):
        first, second = tree.files(f"components/c{number}")
        assert tree.content(first) == f"FROM x{number}\n".encode()
        assert tree.content(second) == b""


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


def test_resolving(monorepo: Monorepo) -> None:
    assert resolve_commit(monorepo.root, "HEAD") == ""
    commit = monorepo.commit()
    monorepo.git("tag", "--annotate", "--message", "x", "v1")
    assert resolve_commit(monorepo.root, "v1") == commit
    assert resolve_commit(monorepo.root, commit[:8]) == commit
    for wrong in ("nothing", "--help", "HEAD:./", "", "a b"):
        assert resolve_commit(monorepo.root, wrong) == ""


def test_default_base(monorepo: Monorepo) -> None:
    assert default_base(monorepo.root) == ""
    first = monorepo.commit("first")
    assert default_base(monorepo.root) == first
    monorepo.git("checkout", "--quiet", "-b", "topic")
    second = monorepo.commit("second")
    assert default_base(monorepo.root) == second
    monorepo.git("branch", "--quiet", "--set-upstream-to=main")
    assert default_base(monorepo.root) == first
    monorepo.git("checkout", "--quiet", "--detach")
    assert default_base(monorepo.root) == second


def test_an_upstream_without_common_history(monorepo: Monorepo) -> None:
    monorepo.commit("first")
    monorepo.git("checkout", "--quiet", "--orphan", "topic")
    monorepo.commit("unrelated")
    monorepo.git("branch", "--quiet", "--set-upstream-to=main")
    with pytest.raises(GitError, match="have no commit in common in this clone") as caught:
        default_base(monorepo.root)
    assert "--base" in caught.value.hint


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


def test_a_blob_that_the_repository_lacks(monorepo: Monorepo, tmp_path: Path) -> None:
    monorepo.write(f"{DIRECTORY}/f", "x")
    commit = monorepo.commit()
    blob = monorepo.git("rev-parse", f"HEAD:{DIRECTORY}/f")
    (monorepo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    tree = tree_of(monorepo, commit)
    with pytest.raises(GitError, match=f"the repository lacks the object {blob}"):
        tree.content(tree.files(DIRECTORY)[0])


def test_a_shallow_clone(monorepo: Monorepo, tmp_path: Path) -> None:
    monorepo.write(f"{DIRECTORY}/f", "x")
    monorepo.commit()
    commit = monorepo.commit("again")
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{monorepo.root}", tmp_path / "shallow"],
        check=True,
    )
    shallow = type(monorepo)(tmp_path / "shallow")
    assert default_base(shallow.root) == commit
    assert tree_of(shallow, commit).files(DIRECTORY) == WorkingTree(monorepo.root).files(DIRECTORY)
