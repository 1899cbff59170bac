"""A stage gets the variables that its component names, and nothing else of whoever runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import EnvironmentFailed
from daintree.runners.environments import find_python
from tests.e2e.projects import REPOSITORY
from tests.services.availability import unavailable

if TYPE_CHECKING:
    from tests.e2e.projects import Project

BODY = "(output / 'a.txt').write_text(os.environ['SHOP_PASSWORD'][::-1])"
SECRET = "open sesame"


def test_a_variable_that_is_named_is_needed_before_anything_runs(project: Project) -> None:
    project.component("odd/login", BODY)
    project.write("components/odd/login/component.yaml", "env: [SHOP_PASSWORD]\n")
    project.pipeline("odd", "text/load", "odd/login")
    planned = project.doit("plan", "odd")
    assert "cannot run: odd/login needs the environment variable SHOP_PASSWORD" in planned.stdout
    assert "hint: export SHOP_PASSWORD=…, or a line" in planned.stdout
    complaint = project.doit("run", "odd").complaint()
    assert "stage odd:login: odd/login needs the environment variable SHOP_PASSWORD" in complaint
    assert "text/load" not in complaint


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alpha==1", "'alpha==1' has no hash"),
        ("-r other.txt", "brings in another file: -r other.txt"),
        ("alpha @ git+https://host/alpha", "is a repository"),
    ],
)
def test_requirements_that_the_run_would_refuse_are_place_by_the_plan(
    project: Project, line: str, reason: str
) -> None:
    project.write("components/text/count/requirements.txt", f"{line}\n")
    place = "components/text/count/requirements.txt: "
    planned = project.doit("plan", "words").stdout
    assert f"cannot run: {place}" in planned
    assert reason in planned
    complaint = project.doit("run", "words").complaint()
    assert f"stage words:count: {place}" in complaint
    assert reason in complaint


def test_a_link_as_requirements_is_left_to_the_snapshot(project: Project) -> None:
    project.write("components/text/count/locks/none.txt", "# nothing\n")
    (project.root / "components/text/count/requirements.txt").unlink()
    (project.root / "components/text/count/requirements.txt").symlink_to("locks/none.txt")
    assert "cannot run" not in project.doit("plan", "words").stdout
    assert set(project.run("words").values()) == {"run"}


def test_a_secret_reaches_the_stage_that_names_it_and_no_record(project: Project) -> None:
    project.component("odd/login", BODY)
    project.write("components/odd/login/component.yaml", "env: [SHOP_PASSWORD]\n")
    project.pipeline("odd", "odd/login")
    env = {"SHOP_PASSWORD": SECRET}
    finished = project.doit("run", "odd", env=env)
    assert finished.code == 0, finished.stderr
    assert SECRET not in finished.stdout + finished.stderr
    # Its value is in no key: with another one, and with none at all, the stage is a hit.
    assert project.doit("run", "odd", env={"SHOP_PASSWORD": "x"}).code == 0
    assert project.doit("plan", "odd", "--json").statuses() == {"login": "hit"}
    shown = project.doit("show", "odd:login", "--json")
    assert shown.code == 0
    assert SECRET not in shown.stdout
    assert '"SHOP_PASSWORD"' in shown.stdout


def test_a_secret_in_a_file_is_masked_where_the_stage_prints_it(project: Project) -> None:
    project.component(
        "odd/login", "print(os.environ['SHOP_PASSWORD']); sys.exit(os.environ['SHOP_PASSWORD'])"
    )
    (project.root / "components/odd/login/Dockerfile").unlink()
    project.write("components/odd/login/component.yaml", "env: [SHOP_PASSWORD]\n")
    project.write(".env", f"SHOP_PASSWORD='{SECRET}'\n")
    project.pipeline("odd", "odd/login")
    finished = project.doit("run", "odd")
    assert finished.code == 1
    assert "***" in finished.stderr
    assert SECRET not in finished.stdout + finished.stderr
    home = [
        path for path in project.root.parent.rglob("*") if path.is_file() and path.name != ".env"
    ]
    assert len(home) > 10
    assert [path for path in home if SECRET.encode() in path.read_bytes()] == []


def test_a_lock_that_is_older_than_its_requirements_is_said_with_the_command(
    project: Project,
) -> None:
    project.component("odd/lines", "(output / 'a.txt').write_text('a')")
    project.pipeline("odd", "odd/lines")
    project.write("components/odd/lines/requirements.in", "# nothing yet\n")
    assert project.doit("lock", "odd/lines").code == 0
    assert "since the lock" not in project.doit("run", "odd").stderr
    project.write("components/odd/lines/requirements.in", "rapidfuzz\n")
    warning = (
        "warning: components/odd/lines/requirements.in changed since the lock: doit lock odd/lines"
    )
    assert warning in project.doit("plan", "odd").stderr
    assert warning in project.doit("run", "odd").stderr


def test_a_stage_that_fails_for_want_of_a_variable_gets_a_hint(project: Project) -> None:
    project.component("odd/login", BODY)
    project.pipeline("odd", "odd/login")
    complaint = project.doit("run", "odd", env={"SHOP_PASSWORD": SECRET}).complaint()
    assert "KeyError: 'SHOP_PASSWORD'" in complaint
    assert (
        "hint: a stage gets only the variables that its component names: env: [SHOP_PASSWORD]"
        in complaint
    )
    assert SECRET not in complaint


def test_a_component_runs_with_the_python_that_it_asks_for(project: Project) -> None:
    other = next(filter(None, map(other_python, ("3.12", "3.13", "3.14"))), "")
    if not other:
        unavailable("no Python but the running one on this machine (3.12, 3.13 or 3.14)")
    version = Path(other).resolve().name.removeprefix("python")
    env = {"PATH": f"{Path(other).resolve().parent}{os.pathsep}{project.environ['PATH']}"}
    project.component(
        "odd/newer",
        "import iniconfig\n(output / 'a.txt').write_text('%d.%d' % sys.version_info[:2])",
    )
    (project.root / "components/odd/newer/Dockerfile").unlink()
    project.write("components/odd/newer/component.yaml", f'python: "{version}"\n')
    project.write("components/odd/newer/requirements.in", "iniconfig\n")
    project.write(
        "components/odd/newer/tests/test_newer.py",
        f"import sys\n\ndef test_it():\n    assert sys.version_info[:2] == ({version.replace('.', ', ')})\n",
    )
    project.pipeline("odd", "odd/newer")
    locked = project.doit("lock", "odd/newer", env=env)
    assert locked.code == 0, locked.stderr
    assert project.run("odd", env=env) == {"newer": "run"}
    output = Path(project.doit("path", "odd:newer").stdout.strip())
    assert (output / "a.txt").read_text() == version
    record = project.doit("show", "odd:newer", "--json").json()
    assert record["environment"].startswith(f"venv-{version}-")
    pinned = "requirements/component-tests.txt"
    project.write(pinned, (REPOSITORY / pinned).read_text())
    assert project.doit("test:odd/newer", env=env).code == 0


def other_python(version: str) -> str:
    """A Python of this version that is not the running one; "" for none."""
    running = "{}.{}".format(*sys.version_info)
    try:
        return "" if version == running else find_python(version)
    except EnvironmentFailed:
        return ""
