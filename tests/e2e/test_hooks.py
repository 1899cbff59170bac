"""The git hooks: installed by `doit hooks`, run by real commits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.authoring.git_hooks import SCRIPTS
from tests.services.image_project import NO_ENGINE

if TYPE_CHECKING:
    from tests.e2e.projects import Project
    from tests.services.image_project import ImageProject

# Nothing of the environment that the tests run in.
BARE_PATH = "/usr/local/bin:/usr/bin:/bin"


def with_hooks(project: Project) -> Project:
    """The project with its hooks installed, and no environment activated."""
    done = project.doit("hooks")
    used = f"git calls the hooks in {project.root}/.git/daintree-hooks now\n"
    assert (done.code, done.stdout) == (0, used), done.stderr
    return project.at(project.root, PATH=BARE_PATH)


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
    message = commit(project, NO_ENGINE)
    assert message.startswith("daintree: error: the Docker engine is not running")
    assert message.count("\n") == 1
    image_project.edit("text/join")
    message = commit(project, {"DAINTREE_REGISTRY": "127.0.0.1:1/ml"})
    assert message.startswith("daintree: error: the registry 127.0.0.1:1 cannot be reached")
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
    message = commit(project)
    assert message == (
        "daintree: doit was not found, so no image was built (hint: run `doit hooks` again)\n"
    )


@pytest.mark.parametrize("directory", [".git/hooks", "my hooks"])
def test_hooks_that_were_there_are_called(project: Project, directory: str, tmp_path: Path) -> None:
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


def test_copies_of_another_version_are_shown_and_replaced_on_request(project: Project) -> None:
    project = with_hooks(project)
    assert project.doit("hooks").code == 0
    copy = project.root / ".git/daintree-hooks/post-commit"
    text = copy.read_text()
    copy.write_text(text.replace("exit 0", "exit 1"))
    project.write("notes.txt", "nothing\n")
    assert "this version has other hooks (hint: see `doit hooks`)" in commit(project)
    shown = project.doit("hooks").complaint()
    assert "the hooks in use differ from those of this version" in shown
    assert "in use/post-commit" in shown
    assert "doit hooks --update" in shown
    assert copy.read_text() != text
    assert project.doit("hooks", "--update").code == 0
    assert copy.read_text() == text


def hostile_branch(project: Project, mark: Path) -> None:
    """A branch of somebody else's, each file of which leaves a mark when it is run."""
    project.git("checkout", "--quiet", "-b", "hostile")
    script = f"#!/bin/sh\necho $0 >>{mark}\n"
    names = ("post-checkout", "post-merge", "post-rewrite", "commit-msg", "post-commit", "forward")
    for directory in (".githooks", "daintree-hooks", "hooks", "tooling/daintree"):
        for name in names:
            project.write(f"{directory}/{name}", script).chmod(0o755)
    for program in (".venv/bin/doit", ".venv/bin/pre-commit", "find-program", "doit"):
        project.write(program, script).chmod(0o755)
    for module in ("dodo.py", "daintree.py", "sitecustomize.py", "components/text/load/main.py"):
        project.write(module, f"open({str(mark)!r}, 'a').write(__file__)\n")
    project.commit()
    project.git("checkout", "--quiet", "main")
    project.write("notes.txt", "a commit of one's own\n")
    project.commit()


@pytest.mark.parametrize("chained", ["", "hooks", ".git/hooks"])
def test_a_hostile_branch_runs_nothing_when_it_is_checked_out_merged_or_rebased(
    project: Project, tmp_path: Path, chained: str
) -> None:
    mark = tmp_path / "mark"
    if chained == ".git/hooks":
        for name in ("post-checkout", "post-merge", "post-rewrite"):
            link = project.root / ".git/hooks" / name
            link.symlink_to(project.root / "hooks" / name)
    elif chained:
        hook(project, f"{chained}/post-checkout", "exit 0")
        project.commit()
        project.git("config", "core.hooksPath", chained)
    done = project.doit("hooks")
    assert done.code == 0, done.stderr
    off = project.at(project.root, DAINTREE_HOOKS="off")
    hostile_branch(off, mark)
    mark.unlink(missing_ok=True)
    project.git("checkout", "--quiet", "hostile")
    project.git("checkout", "--quiet", "main")
    project.git("checkout", "--quiet", "-b", "merged")
    project.git("merge", "--quiet", "--no-ff", "--no-edit", "hostile")
    project.git("checkout", "--quiet", "-b", "rebased", "main")
    project.git("rebase", "--quiet", "hostile")
    project.git("checkout", "--quiet", "-b", "pulled", "main")
    project.git("pull", "--quiet", "--rebase", ".", "hostile")
    project.git("checkout", "--quiet", "-b", "picked", "main")
    project.git("cherry-pick", "main..hostile")
    project.git("worktree", "add", "--quiet", "../tree", "hostile")
    project.git("stash", "--quiet", "--include-untracked")
    assert not mark.exists(), mark.read_text()


@pytest.mark.parametrize("layout", ["git directory elsewhere", "tree in a bare repository"])
def test_a_working_tree_is_known_wherever_its_git_directory_is(
    project: Project, tmp_path: Path, layout: str
) -> None:
    mark = tmp_path / "mark"
    if layout == "tree in a bare repository":
        project.git("clone", "--quiet", "--bare", project.root, tmp_path / "bare")
        project.at(tmp_path / "bare").git("worktree", "add", "--quiet", "tree", "-b", "own")
        project = project.at(tmp_path / "bare/tree")
    else:
        project.git("init", "--quiet", "--separate-git-dir", tmp_path / "elsewhere")
    hook(project, "hooks/post-checkout", "exit 0")
    project.commit()
    project.git("config", "core.hooksPath", "hooks")
    done = project.doit("hooks")
    assert "as files of the working tree: for your own commits and pushes alone" in done.stdout
    off = project.at(project.root, DAINTREE_HOOKS="off")
    off.git("checkout", "--quiet", "-b", "hostile")
    hook(off, "hooks/post-checkout", f'echo post-checkout >>"{mark}"')
    off.commit()
    off.git("checkout", "--quiet", "-")
    off.git("checkout", "--quiet", "hostile")
    assert not mark.exists()


def test_hooks_of_the_working_tree_are_called_for_a_commit_of_ones_own(
    project: Project, tmp_path: Path
) -> None:
    for name in ("pre-commit", "commit-msg", "post-commit", "post-checkout"):
        hook(project, f"hooks/{name}", f'echo {name} >>"{tmp_path}/log"')
    project.commit()
    project.git("config", "core.hooksPath", "hooks")
    done = project.doit("hooks")
    assert "as files of the working tree: for your own commits and pushes alone" in done.stdout
    project.write("notes.txt", "nothing\n")
    commit(project, {"DAINTREE_HOOKS": "off"})
    project.git("checkout", "--quiet", "-b", "other")
    assert (tmp_path / "log").read_text().split() == ["pre-commit", "commit-msg", "post-commit"]


def test_all_working_trees_have_the_hooks(project: Project, tmp_path: Path) -> None:
    project.git("worktree", "add", "--quiet", tmp_path / "tree")
    tree = with_hooks_of(project, tmp_path / "tree")
    for place in (project, tree):
        place.write("notes.txt", f"{place.root}\n")
        assert "daintree: no image to build" in commit(place)


def with_hooks_of(project: Project, tree: Path) -> Project:
    """Another working tree of the project, in which the hooks are installed."""
    other = project.at(tree)
    done = other.doit("hooks")
    assert f"git calls the hooks in {project.root}/.git/daintree-hooks now\n" in done.stdout
    return other


def test_a_working_tree_with_a_hooks_path_of_its_own_gets_it_back(
    project: Project, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    project.git("config", "extensions.worktreeConfig", "true")
    project.git("worktree", "add", "--quiet", tmp_path / "tree")
    tree = project.at(tmp_path / "tree")
    hook(tree, "../own/post-commit", f"echo called >>{log}")
    tree.git("config", "--worktree", "core.hooksPath", tmp_path / "own")
    assert "called as before: post-commit" in tree.doit("hooks").stdout
    tree.write("notes.txt", "nothing\n")
    assert "daintree: no image to build" in commit(tree)
    assert log.read_text() == "called\n"
    project.write("notes.txt", "nothing\n")
    assert commit(project) == ""
    removed = tree.doit("hooks", "--remove")
    assert removed.stdout == f"git calls the hooks in {tmp_path}/own again\n"


def test_without_a_repository_there_are_no_hooks(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    assert "is not in a git repository" in project.doit("hooks").complaint()


def test_the_scripts_are_programs() -> None:
    for path in SCRIPTS.iterdir():
        assert os.access(path, os.X_OK), path
