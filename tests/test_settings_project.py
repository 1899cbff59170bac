from __future__ import annotations

import os
from pathlib import Path

import pytest

from daintree.errors import SettingsError, UsageError
from daintree.settings import find_project, is_daintree, read_settings
from tests.configured import HOME


def test_a_project_is_found_from_anywhere_in_it(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").touch()
    below = tmp_path / "components/a/b"
    below.mkdir(parents=True)
    assert find_project(tmp_path) == find_project(below) == tmp_path


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for directory in (tmp_path, inner):
        (directory / "dodo.py").touch()
    assert find_project(inner) == inner


def test_outside_a_project_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").mkdir()
    with pytest.raises(UsageError) as failure:
        find_project(tmp_path)
    assert failure.value.message == f"there is no dodo.py in {tmp_path} or above it"
    assert failure.value.hint == "change into a project, or make one: doit new project DIR"


@pytest.mark.parametrize(
    ("name", "ours"), [("pipelines", True), ("components", True), ("src", False)]
)
def test_a_project_is_ours_by_its_directories(tmp_path: Path, name: str, ours: bool) -> None:
    (tmp_path / name).mkdir()
    assert is_daintree(tmp_path) is ours


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "here"),
        ("[project]\nname = 'shop'", "shop"),
        ("[project]\nname = 'shop'\n[tool.daintree]\nproject = 'fraud'", "fraud"),
        ("project = 3", "here"),
        ("[project]\nname = 3", "here"),
        ("[project]\nname = 'a\\u001b[31m'", "here"),
    ],
)
def test_a_project_has_the_name_of_its_package_or_its_directory(
    tmp_path: Path, text: str, name: str
) -> None:
    root = tmp_path / "here"
    root.mkdir()
    (root / "pyproject.toml").write_text(text)
    assert read_settings(root, HOME).project == name
    assert read_settings(root, {**HOME, "DAINTREE_PROJECT": "mine"}).project == "mine"


def test_a_directory_without_a_name_in_letters_is_a_project_too(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert read_settings(root, HOME).project == "\ufffd"
    assert read_settings(Path("/"), HOME).project == "/"


def test_a_name_that_no_record_should_hold_is_refused(tmp_path: Path) -> None:
    for name in ("a\nb", "x" * 101, "-"):
        with pytest.raises(SettingsError, match="DAINTREE_PROJECT: expected at most 100 letters"):
            read_settings(tmp_path, {**HOME, "DAINTREE_PROJECT": name})
