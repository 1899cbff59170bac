"""What git converts, does not look at or has not checked out is affected when its bytes differ, and only then."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.library_project import CLEAN, affected_since, assert_as_defined, by_definition, reasons

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def test_staged_and_changed_back_is_not_affected(library_project: Monorepo) -> None:
    original = (library_project.root / CLEAN / "main.py").read_text()
    library_project.write(f"{CLEAN}/main.py", "2")
    library_project.git("add", "--all")
    library_project.write(f"{CLEAN}/main.py", original)
    assert reasons(library_project) == {}


def test_deleted_in_the_index_alone_is_not_affected(library_project: Monorepo) -> None:
    library_project.git("rm", "--quiet", "--cached", f"{CLEAN}/main.py")
    assert reasons(library_project) == {}


@pytest.mark.parametrize(
    "attributes",
    [
        "* text=auto",
        "*.txt eol=crlf",
        "*.txt ident",
        "*.txt filter=upper",
        "*.txt text",
        "*.py -text",
    ],
)
def test_attributes_that_convert(library_project: Monorepo, attributes: str) -> None:
    library_project.git("config", "filter.upper.clean", "tr a-z A-Z")
    library_project.git("config", "filter.upper.smudge", "tr A-Z a-z")
    library_project.write(".gitattributes", f"{attributes}\n")
    assert_as_defined(library_project)
    library_project.write(f"{CLEAN}/notes.txt", "one $Id$\n")
    library_project.commit()
    assert_as_defined(library_project)

    library_project.git("rm", "--quiet", "-r", "--cached", "components")
    library_project.git("reset", "--quiet", "--hard")
    assert reasons(library_project, "HEAD") == {}
    library_project.write(f"{CLEAN}/notes.txt", "one\r\n")
    assert_as_defined(library_project)
    library_project.git("add", "--all")
    assert_as_defined(library_project)
    library_project.write(".gitattributes", "")
    assert_as_defined(library_project)
    library_project.write("components/train/main.py", "print(2)\n")
    assert_as_defined(library_project)


def test_bytes_that_git_takes_for_unmodified_are_no_change(library_project: Monorepo) -> None:
    library_project.write(".gitattributes", "* text=auto\n")
    library_project.commit()
    library_project.write(f"{CLEAN}/notes.txt", "x\r\n")
    library_project.git("add", "--all")
    assert library_project.git("status", "--porcelain") == ""
    assert reasons(library_project, "HEAD") == {}


def test_a_conflict_is_told(library_project: Monorepo) -> None:
    library_project.git("checkout", "--quiet", "-b", "other")
    library_project.write(f"{CLEAN}/main.py", "theirs\n")
    library_project.commit()
    library_project.git("checkout", "--quiet", "main")
    library_project.write(f"{CLEAN}/main.py", "ours\n")
    library_project.commit()
    with pytest.raises(subprocess.CalledProcessError):
        library_project.git("merge", "other")
    assert reasons(library_project) == {"common/clean": ["main.py changed (with conflict markers)"]}


def test_another_conversion_is_told(library_project: Monorepo) -> None:
    library_project.write(".gitattributes", "notes.txt eol=crlf\n")
    assert reasons(library_project) == {
        "common/clean": ["notes.txt is checked out otherwise (.gitattributes)"]
    }


@pytest.mark.parametrize("value", ["true", "input"])
def test_autocrlf(library_project: Monorepo, value: str) -> None:
    library_project.git("config", "core.autocrlf", value)
    assert_as_defined(library_project)
    library_project.write(f"{CLEAN}/notes.txt", "x\r\n")
    assert_as_defined(library_project)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_files_that_git_was_told_not_to_look_at(library_project: Monorepo, flag: str) -> None:
    library_project.git("update-index", flag, f"{CLEAN}/notes.txt")
    assert reasons(library_project) == {}
    library_project.write(f"{CLEAN}/notes.txt", "changed behind git's back\n")
    assert reasons(library_project) == {"common/clean": ["notes.txt changed"]}


def test_what_a_sparse_checkout_leaves_out_is_not_affected(library_project: Monorepo) -> None:
    library_project.git("sparse-checkout", "set", "components/train", "components/lib")
    assert not (library_project.root / CLEAN).exists()
    assert reasons(library_project) == {}
    library_project.write("components/train/main.py", "2")
    assert list(reasons(library_project)) == ["train"]


def test_a_sparse_checkout_of_a_commit_that_changed_what_it_leaves_out(
    library_project: Monorepo,
) -> None:
    base = library_project.git("rev-parse", "HEAD")
    library_project.write(f"{CLEAN}/main.py", "2")
    library_project.commit()
    expected = by_definition(library_project, base)
    library_project.git("sparse-checkout", "set", "components/train", "components/lib")
    assert {
        item.name: item.version for item in affected_since(library_project, base).components
    } == expected


def test_a_project_below_the_top_of_its_repository(monorepo: Monorepo) -> None:
    inner = type(monorepo)(monorepo.root / "deep" / "er")
    inner.component("a", {"x.txt": "1\n"})
    inner.component("b")
    monorepo.component("outside")
    monorepo.commit()
    monorepo.write("components/outside/main.py", "2")
    assert reasons(inner) == {}
    inner.write("components/a/main.py", "2")
    monorepo.write(".gitattributes", "*.txt eol=crlf\n")
    monorepo.commit()
    assert list(reasons(inner, "HEAD~1")) == ["a"]
