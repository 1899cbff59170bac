"""The files of a directory among sorted paths, and what git's status says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.components.entries import STATUS, at_or_below, changed_paths, is_covered
from daintree.components.git import attempt, read_repository
from daintree.process import Finished

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Monorepo

NAMES = st.sampled_from(["a", "ab", "a-b", "a.b", "a0", "b", "A"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(st.sets(PATHS, max_size=12), PATHS)
def test_the_files_at_or_below_a_directory(paths: set[str], directory: str) -> None:
    ordered = sorted(path.encode() for path in paths)
    expected = [
        path
        for path in ordered
        if path.decode() == directory or path.decode().startswith(f"{directory}/")
    ]
    assert sorted(at_or_below(ordered, directory.encode(), lambda path: path)) == expected


@given(st.sets(PATHS, max_size=5), PATHS)
def test_a_path_is_covered_by_itself_and_what_holds_it(directories: set[str], path: str) -> None:
    expected = any(path == one or path.startswith(f"{one}/") for one in directories)
    assert is_covered(directories, path) is expected


def changed(root: Path) -> list[str] | None:
    """What git's status says of the components of the project at `root`."""
    return changed_paths(read_repository(root), attempt(root, *STATUS, "components"))


@pytest.mark.parametrize("below", ["", "some/where"])
def test_files_that_differ_from_the_index(monorepo: Monorepo, below: str) -> None:
    project = type(monorepo)(monorepo.root / below)
    for name in ("edited", "staged", "deleted", "left alone", "no longer tracked"):
        project.write(f"components/{name}", "1")
    monorepo.write("components/of another project", "1")
    project.write(".gitignore", "ignored\n")
    monorepo.commit()
    assert changed(project.root) == []
    project.write("components/staged", "2")
    monorepo.git("add", "--all")
    project.write("components/edited", "2")
    (project.root / "components/deleted").unlink()
    project.git("rm", "--quiet", "--cached", "components/no longer tracked")
    project.write("components/a b/new\nline", "1")
    project.write("components/ignored", "1")
    project.write("outside", "1")
    expected = ["a b/new\nline", "deleted", "edited", "no longer tracked"]
    assert sorted(changed(project.root) or []) == [f"components/{name}" for name in expected]


@pytest.mark.parametrize("name", ["components/.gitattributes", "components/a/.gitattributes"])
def test_an_attribute_file_may_change_what_git_makes_of_others(
    monorepo: Monorepo, name: str
) -> None:
    monorepo.write("components/a/main.py", "1")
    monorepo.commit()
    monorepo.write(name, "* text=auto\n")
    assert changed(monorepo.root) is None


def test_a_repository_inside_is_not_told_by_its_own_content(monorepo: Monorepo) -> None:
    monorepo.write("components/a/main.py", "1")
    monorepo.commit()
    monorepo.git("init", "--quiet", "components/a/inner")
    monorepo.write("components/a/inner/file", "1")
    assert changed(monorepo.root) is None


def test_a_git_that_folds_case_may_take_one_name_for_another(monorepo: Monorepo) -> None:
    monorepo.write("components/a/main.py", "1")
    monorepo.commit()
    assert changed(monorepo.root) == []
    monorepo.git("config", "core.ignoreCase", "true")
    assert changed(monorepo.root) is None


@pytest.mark.parametrize(
    "finished",
    [
        Finished(128, b"", b""),
        Finished(0, b"", b"warning: could not open directory 'components/a/': Permission denied\n"),
        Finished(0, b"u UU N... 100644 100644 100644 100644 1 2 3 components/a\0", b""),
        Finished(0, b"1 .M S.M. 160000 160000 160000 1 1 components/a\0", b""),
    ],
    ids=["a refusal", "a complaint", "a conflict", "a submodule"],
)
def test_what_is_left_to_git_add(monorepo: Monorepo, finished: Finished) -> None:
    monorepo.write("components/a", "1")
    monorepo.commit()
    assert changed_paths(read_repository(monorepo.root), finished) is None
