"""The git hooks: installed by `doit hooks`, run by real commits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.services.image_project import NO_ENGINE

if TYPE_CHECKING:
    from tests.e2e.projects import Project
    from tests.services.image_project import ImageProject

REPOSITORY = Path(__file__).parents[2]
# Nothing of the environment that the tests run in.
BARE_PATH = "/usr/local/bin:/usr/bin:/bin"


def with_hooks(project: Project) -> Project:
    """The project with its hooks committed and installed, and no environment activated."""
    shutil.copytree(REPOSITORY / ".githooks", project.root / ".githooks", symlinks=True)
    project.commit()
    done = project.doit("hooks")
    assert (done.code, done.stdout) == (0, "git calls the hooks in .githooks now\n"), done.stderr
    return project.elsewhere(project.root, PATH=BARE_PATH)


def commit(project: Project, variables: Mapping[str, str] | None = None, *, expect: int = 0) -> str:
    """Commit everything; what git and its hooks said, those in the background too."""
    project.git("add", "--all")
    done = subprocess.run(
        ["git", "commit", "--quiet", "--message", "a change"],
        cwd=project.root,
        env={**project.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stderr + done.stdout


def hook(project: Project, path: str, script: str) -> None:
    """A hook of the user's own."""
    project.write(path, f"#!/bin/sh\n{script}\n").chmod(0o755)


def test_a_commit_pushes_what_it_changed_from_its_own_files(image_project: ImageProject) -> None:
    project = with_hooks(image_project.project)
    image_project.edit("text/join")
    project.git("add", "components/text/join")
    image_project.edit("text/join", "# not committed")
    image_project.edit("text/load", "# nor this")
    done = subprocess.run(
        ["git", "commit", "--quiet", "--message", "a change"],
        cwd=project.root,
        env=dict(project.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == "daintree: pushed text/join\n"
    head = image_project.head()
    assert image_project.digest("text/join", head) == image_project.digest("text/join", "latest")
    assert image_project.tags("text/load") == []
    project.git("stash", "--quiet")
    built = image_project.build("--dry-run", "text/join")
    assert built["text/join"]["digest"] == image_project.digest("text/join", head) != ""
    assert project.git("worktree", "list").count("\n") == 1


def test_a_commit_that_changes_no_image(image_project: ImageProject) -> None:
    project = with_hooks(image_project.project)
    project.write("notes.txt", "nothing\n")
    assert commit(project, NO_ENGINE) == "daintree: no image to build\n"


def test_no_failure_stops_a_commit_or_is_hidden(image_project: ImageProject) -> None:
    project = with_hooks(image_project.project)
    image_project.edit("text/join")
    told = commit(project, NO_ENGINE)
    assert told.startswith("daintree: error: the Docker engine is not running")
    assert told.count("\n") == 1
    image_project.edit("text/join")
    told = commit(project, {"DAINTREE_REGISTRY": "127.0.0.1:1/ml"})
    assert told.startswith("daintree: error: the registry 127.0.0.1:1 cannot be reached")
    project.write("components/text/join/Dockerfile", "FROM scratch\nCOPY nothing /\n")
    assert "daintree: error: cannot build" in commit(project)


def test_it_is_turned_off_by_a_variable(image_project: ImageProject) -> None:
    project = with_hooks(image_project.project)
    image_project.edit("text/join")
    assert commit(project, {"DAINTREE_HOOKS": "off"}) == ""
    assert image_project.tags("text/join") == []


def test_without_doit_a_commit_says_so(project: Project) -> None:
    project = with_hooks(project)
    project.git("config", "daintree.doit", "/nowhere/doit")
    if shutil.which("doit", path=BARE_PATH):
        pytest.skip("this machine has a doit of its own")
    project.write("notes.txt", "nothing\n")
    told = commit(project)
    assert told == (
        "daintree: doit was not found, so no image was built (hint: run `doit hooks` again)\n"
    )


@pytest.mark.parametrize("directory", [".git/hooks", "my hooks"])
def test_hooks_that_were_there_are_called(project: Project, directory: str, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / ".githooks", project.root / ".githooks", symlinks=True)
    project.commit()
    log = tmp_path / "log"
    for name in ("pre-commit", "commit-msg", "post-commit", "pre-push", "reference-transaction"):
        hook(project, f"{directory}/{name}", f'echo {name} "$1" >> "{log}"')
    if directory != ".git/hooks":
        project.git("config", "core.hooksPath", directory)
        project.write(".gitignore", "my hooks/\n")
    done = project.doit("hooks")
    assert "called as before: commit-msg, post-commit, pre-commit, pre-push\n" in done.stdout
    assert "warning: not called any more: reference-transaction\n" in done.stdout
    log.unlink(missing_ok=True)
    project.write("notes.txt", "nothing\n")
    commit(project, {"DAINTREE_HOOKS": "off"})
    assert [line.split()[0] for line in log.read_text().splitlines()] == [
        "pre-commit",
        "commit-msg",
        "post-commit",
    ]
    assert log.read_text().splitlines()[1] == "commit-msg .git/COMMIT_EDITMSG"

    removed = project.doit("hooks", "--remove")
    assert removed.stdout == f"git calls the hooks in {directory} again\n"
    settings = project.git("config", "--local", "--list")
    assert "daintree." not in settings
    assert ("core.hookspath=my hooks" in settings) == (directory == "my hooks")
    assert project.doit("hooks", "--remove").stdout == "the project's hooks were not in use\n"


def test_a_hook_that_was_there_may_refuse_a_commit(project: Project) -> None:
    hook(project, ".git/hooks/pre-commit", "echo not today; exit 1")
    shutil.copytree(REPOSITORY / ".githooks", project.root / ".githooks", symlinks=True)
    project.doit("hooks")
    assert "not today" in commit(project, expect=1)


def test_it_lives_with_pre_commit(project: Project) -> None:
    project.write(
        ".pre-commit-config.yaml",
        "repos:\n- repo: local\n  hooks:\n"
        "  - {id: no-tabs, name: no tabs, entry: '\\t', language: pygrep, files: notes}\n",
    )
    project = with_hooks(project)
    project.write("notes.txt", "a\tb\n")
    assert "no tabs" in commit(project, expect=1)
    commit(project, {"DAINTREE_HOOKS": "off"})
    project.write("notes.txt", "a b\n")
    assert "no tabs" in commit(project)


def test_there_must_be_hooks(project: Project) -> None:
    assert "there is no .githooks/post-commit" in project.doit("hooks").complaint()


def test_the_hooks_are_programs() -> None:
    for path in (REPOSITORY / ".githooks").iterdir():
        assert os.access(path, os.X_OK), path
