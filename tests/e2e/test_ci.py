"""The workflow and the scripts around it: what can be checked of them without running them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from daintree.authoring.git_hooks import SCRIPTS as HOOKS
from tests.services.availability import unavailable

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NEW_PROJECT = ROOT / "tooling/daintree/authoring/templates/project"
NEW_WORKFLOW = NEW_PROJECT / "dot-github/workflows/daintree.yml.template"
SCRIPTS = [
    ROOT / ".ci/run",
    ROOT / ".ci/new-project",
    ROOT / ".ci/services",
    *sorted(HOOKS.iterdir()),
]


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    program = shutil.which("actionlint") or shutil.which(
        "actionlint", path=str(Path.home() / "go/bin")
    )
    if program is None:
        unavailable("actionlint is not installed (.ci/services builds it)")
    new = tmp_path / ".github/workflows/daintree.yml"
    new.parent.mkdir(parents=True)
    shutil.copy(NEW_WORKFLOW, new)
    done = subprocess.run([program, *WORKFLOWS, new], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_new_project_uses_the_same_actions() -> None:
    used, known = (
        set(re.findall(r"uses: *(.*)", "".join(path.read_text("utf-8") for path in paths)))
        for paths in ([NEW_WORKFLOW], WORKFLOWS)
    )
    assert used
    assert used <= known


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = re.findall(r"uses: *(\S+)(.*)", workflow.read_text(encoding="utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_read_by_their_shell(script: Path) -> None:
    shell = "bash" if b"bash" in script.read_bytes().split(b"\n")[0] else "sh"
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_services_are_refused_without_a_known_action() -> None:
    done = subprocess.run([ROOT / ".ci/services", "dance"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "services: what is 'dance'? start or stop\n",
    )


def test_the_local_script_runs_what_the_workflow_runs() -> None:
    """Every doit command of the workflow, in the order it has there."""
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for workflow in WORKFLOWS:
        for command in re.findall(r"run: (doit .+)", workflow.read_text(encoding="utf-8")):
            assert command in script, command


@pytest.mark.parametrize("script", [*WORKFLOWS, ROOT / ".ci/run"], ids=lambda path: path.name)
def test_nothing_is_installed_without_a_hash(script: Path) -> None:
    """But for the line by which the README tells people to install."""
    commands = re.findall(r"pip install.*", script.read_text(encoding="utf-8"))
    assert commands
    for command in commands:
        fetches_nothing = "--no-deps --no-build-isolation" in command
        is_readme = command.endswith("-e . && doit run item2vec")
        assert "--require-hashes" in command or fetches_nothing or is_readme, command


def test_tools_have_versions() -> None:
    modules = re.findall(r'"\w+ (github\S+)"', (ROOT / ".ci/services").read_text(encoding="utf-8"))
    assert len(modules) == 3
    for module in modules:
        assert re.search(r"@v\d+\.\d+\.\d+", module), module


def test_what_builds_the_project_is_locked() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    written = (ROOT / "requirements/build.in").read_text(encoding="utf-8").split()
    assert written == project["build-system"]["requires"]
    assert "--hash=sha256:" in (ROOT / "requirements/build.txt").read_text(encoding="utf-8")


def test_the_directory_of_the_services_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "taken")
    done = subprocess.run(
        [ROOT / ".ci/services", "start", tmp_path / "link"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"services: {tmp_path}/link is not a directory of ")
