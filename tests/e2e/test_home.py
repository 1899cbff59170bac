"""Homes that are missing or no absolute paths: no directory named `~` is made, and none where nobody looks for it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.projects import Project

# An account that no machine has.
UNKNOWN_USER = 54_321
COMMANDS = (
    ("config",),
    ("plan", "words"),
    ("run", "words"),
    ("doctor",),
    ("run", "words", "--output", "~/out"),
    ("store",),
)


def listing(*directories: Path) -> list[Path]:
    return sorted(path for directory in directories for path in directory.iterdir())


def without_settings(project: Project, **variables: str) -> Project:
    """The project with no setting that names a directory, and these variables."""
    environ = {
        name: text
        for name, text in project.environ.items()
        if not name.startswith(("DAINTREE_", "XDG_")) and name != "HOME"
    }
    return Project(project.root, {**environ, **variables})


@pytest.mark.parametrize("home", ["relative", "~", "./x"])
def test_a_relative_home_makes_no_directory_in_the_project(
    project: Project, tmp_path: Path, home: str
) -> None:
    caches = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "UV_CACHE_DIR": str(tmp_path / "uv")}
    project = without_settings(project, HOME=home, **caches)
    (project.root / "output").mkdir()
    (project.root / ".doit.db").touch()
    (tmp_path / "cache").mkdir()
    before = listing(project.root, tmp_path)
    for command in COMMANDS[:4]:
        done = project.doit(*command)
        assert done.code == 0, done.stderr
    assert set(listing(project.root, tmp_path)) - {tmp_path / "uv"} == set(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an account that nobody has")
def test_an_account_without_a_home_is_told_what_to_set(project: Project, tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    project.git("config", "--global", "safe.directory", "*")
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(0o755)
    become = (setpriv, f"--reuid={UNKNOWN_USER}", "--clear-groups")
    homeless = without_settings(project)
    before = listing(project.root, tmp_path)
    for command in COMMANDS:
        complaint = homeless.doit(*command, prefix=become).complaint()
        assert "there is no home directory: HOME is not an absolute path" in complaint
        assert "hint: set HOME, or XDG_CACHE_HOME" in complaint
    assert listing(project.root, tmp_path) == before
