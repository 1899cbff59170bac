"""The same files are the same versions, whatever git state they are in and wherever they lie."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
EDIT = ("components/text/clean/main.py", "line.casefold()", "line.swapcase()")


@pytest.fixture
def edited(project: Project) -> Project:
    """A project that was run with a change not committed yet."""
    project.replace(*EDIT)
    project.write("components/text/clean/notes.txt", "untracked\n")
    project.run("words")
    return project


def test_a_commit_changes_nothing(edited: Project) -> None:
    versions = versions_of(edited)
    edited.git("add", "--all")
    assert edited.run("words") == ALL_HITS
    edited.commit()

    assert edited.run("words") == ALL_HITS
    assert versions_of(edited) == versions


def test_an_older_commit_checked_out_hits(ran: Project) -> None:
    ran.replace(*EDIT)
    ran.commit()
    assert ran.run("words") == {"load": "hit", "clean": "run", "count": "run"}

    ran.git("checkout", "--quiet", "HEAD~1")
    assert ran.run("words") == ALL_HITS
    ran.git("checkout", "--quiet", "main")
    assert ran.run("words") == ALL_HITS
    assert len(ran.executed()) == 5


def clone(project: Project, target: Path) -> None:
    project.git("clone", "--quiet", project.root, target)


def shallow_clone(project: Project, target: Path) -> None:
    project.git("commit", "--quiet", "--allow-empty", "--message", "one more")
    project.git("clone", "--quiet", "--depth", "1", f"file://{project.root}", target)


def worktree(project: Project, target: Path) -> None:
    project.git("worktree", "add", "--quiet", "-b", "other", target)


def clone_with_another_umask(project: Project, target: Path) -> None:
    subprocess.run(
        ["git", "clone", "--quiet", project.root, target],
        env=dict(project.environ),
        umask=0o077,
        check=True,
    )


def clone_below_another_repository(project: Project, target: Path) -> None:
    subprocess.run(["git", "init", "--quiet", target.parent], env=dict(project.environ), check=True)
    clone(project, target)


@pytest.mark.parametrize(
    "copy",
    [clone, shallow_clone, worktree, clone_with_another_umask, clone_below_another_repository],
)
def test_another_working_tree_hits(
    ran: Project, tmp_path: Path, copy: Callable[[Project, Path], None]
) -> None:
    target = tmp_path / "somewhere else" / "ünother tree"
    target.parent.mkdir()
    copy(ran, target)
    other = ran.at(target)

    assert other.run("words") == ALL_HITS
    assert versions_of(other) == versions_of(ran)


def test_the_same_inputs_give_the_same_bytes_everywhere(ran: Project, tmp_path: Path) -> None:
    ran.git("clone", "--quiet", ran.root, tmp_path / "other")
    other = ran.at(tmp_path / "other", DAINTREE_STORE=str(tmp_path / "other-store"))
    other.run("words")
    stages = ["words:load", "words:clean", "words:count"]
    first = {stage: ran.contents(ran.output(stage)) for stage in stages}
    assert ran.run("words", "--force", "load,clean,count")["count"] == "run"

    assert {stage: other.contents(other.output(stage)) for stage in stages} == first
    assert {stage: ran.contents(ran.output(stage)) for stage in stages} == first
    assert ran.contents(ran.root / "output/words") == first["words:count"]


def test_variables_of_a_calling_git_do_not_count(ran: Project, tmp_path: Path) -> None:
    misleading = {
        "GIT_DIR": str(tmp_path / "nowhere"),
        "GIT_INDEX_FILE": str(tmp_path / "no-index"),
    }

    assert ran.run("words", env=misleading) == ALL_HITS


def test_outside_a_repository_the_message_says_so(project: Project) -> None:
    shutil.rmtree(project.root / ".git")

    complaint = project.doit("run", "words").complaint()

    assert f"{project.root} is not in a git repository" in complaint
    assert "hint: clone the project with git" in complaint


def test_without_git_the_message_says_so(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    complaint = project.doit("plan", "words", env={"PATH": str(tmp_path / "empty")}).complaint()

    assert "git is not installed, or not on PATH" in complaint


def test_a_repository_without_a_commit_will_do(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    project.git("init", "--quiet")

    assert project.run("words") == {"load": "run", "clean": "run", "count": "run"}
    assert project.run("words") == ALL_HITS


def test_a_link_that_leaves_its_component_is_an_error(project: Project) -> None:
    (project.root / "components/text/clean/passwords").symlink_to("/etc/passwd")

    complaint = project.doit("run", "words").complaint()

    assert "components/text/clean" in complaint
    assert "passwords" in complaint


def test_file_names_of_every_kind_make_a_version(project: Project) -> None:
    for name in ["with space", "ünicode", 'quo"te', "back\\slash", "new\nline", "-dash", "*"]:
        project.write(f"components/text/clean/{name}", "one\n")
    assert project.run("words")["clean"] == "run"
    assert project.run("words") == ALL_HITS

    os.unlink(project.root / "components/text/clean/*")
    assert project.plan("words")["clean"] == "miss"


def versions_of(project: Project) -> dict[str, str]:
    stages = project.doit("plan", "words", "--json").json()["stages"]
    return {stage["component"]: stage["version"] for stage in stages}
