"""The tooling's own image has a version as a component has, of files that lie elsewhere."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import TOOLING as NAME
from daintree.components import (
    ComponentVersion,
    WorkingTree,
    directory_of,
    discover_components,
    discover_images,
    read_each_version,
    read_versions,
)
from daintree.components.affected import affected
from daintree.components.snapshot import make_snapshot
from daintree.errors import DaintreeError, UsageError, VersionError
from daintree.runners.environments import parse_requirements

if TYPE_CHECKING:
    from tests.conftest import Monorepo

REPOSITORY = Path(__file__).parents[2]
PLATFORM = "linux/amd64"
PACKAGING = """[project]
name = "shop"
[project.entry-points."doit.COMMAND"]
run = "shop:Run"
[tool.setuptools]
package-dir = {"" = "tooling"}
"""


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    """A project with a component and the tooling's sources, committed."""
    monorepo.component("a")
    monorepo.write("deploy/tooling/Dockerfile", "FROM python:3.11-slim\nCOPY . /application/\n")
    monorepo.write("deploy/tooling/requirements.in", "doit\n")
    monorepo.write("deploy/tooling/.dockerignore", "requirements.in\n")
    monorepo.write("deploy/other/README.md", "x\n")
    monorepo.write("tooling/py.typed", "")
    monorepo.write("tooling/templates/Dockerfile.template", "FROM x\n")
    monorepo.write("tooling/tests/x.py", "")
    monorepo.write("pyproject.toml", PACKAGING)
    monorepo.write("LICENSE", "as it is\n")
    monorepo.write("README.md", "about it\n")
    monorepo.commit()
    return monorepo


def read(monorepo: Monorepo) -> ComponentVersion | DaintreeError:
    return read_each_version(WorkingTree(monorepo.root), [NAME], platform=PLATFORM, bases={})[NAME]


def version(monorepo: Monorepo) -> ComponentVersion:
    tooling = read(monorepo)
    assert isinstance(tooling, ComponentVersion), tooling
    return tooling


def reasons(monorepo: Monorepo) -> dict[str, list[str]]:
    changes = affected(WorkingTree(monorepo.root), "HEAD", platform=PLATFORM, bases={})
    return {item.name: list(item.reasons) for item in changes.components}


def test_what_it_is_made_of(project: Monorepo, tmp_path: Path) -> None:
    tooling = version(project)
    assert {file.path: file.origin for file in tooling.files} == {
        ".dockerignore": "deploy/tooling/.dockerignore",
        "Dockerfile": "deploy/tooling/Dockerfile",
        "LICENSE": "LICENSE",
        "pyproject.toml": "pyproject.toml",
        "tooling/py.typed": "tooling/py.typed",
        "tooling/templates/Dockerfile.template": "tooling/templates/Dockerfile.template",
        "tooling/tests/x.py": "tooling/tests/x.py",
    }
    assert tooling.bases == (("python:3.11-slim", "python:3.11-slim"),)
    snapshot = make_snapshot(tooling, tmp_path / "snapshots")
    assert (snapshot / "LICENSE").read_text() == "as it is\n"


def test_only_what_is_in_it_changes_it(project: Monorepo) -> None:
    before = version(project).digest
    project.write("README.md", "about it, in other words\n")
    project.write("deploy/tooling/requirements.in", "doit>1\n")
    project.write("components/a/main.py", "print(2)\n")
    assert version(project).digest == before
    project.write("tooling/templates/new", "")
    assert version(project).digest != before


@pytest.mark.parametrize(
    "settings",
    ['[tool.daintree]\nstore = "s3://shop"\n', "[tool.ruff]\nline-length = 80\n", "# a comment\n"],
)
def test_settings_are_in_no_image(project: Monorepo, settings: str) -> None:
    before = version(project).digest
    project.write("pyproject.toml", PACKAGING + settings)
    assert version(project).digest == before
    assert reasons(project) == {}


@pytest.mark.parametrize(
    ("text", "other"),
    [("shop:Run", "shop:Walk"), ('name = "shop"', 'name = "store"'), ('"tooling"', '"src"')],
)
def test_what_is_installed_counts(project: Monorepo, text: str, other: str) -> None:
    before = version(project).digest
    project.write("pyproject.toml", PACKAGING.replace(text, other))
    assert version(project).digest != before
    assert reasons(project) == {NAME: ["pyproject.toml changed"]}


def test_a_project_file_that_is_none(project: Monorepo) -> None:
    project.write("pyproject.toml", "[project")
    failed = read(project)
    assert isinstance(failed, VersionError)
    assert failed.message.startswith("pyproject.toml: ")


def test_it_is_affected_as_components_are(project: Monorepo) -> None:
    assert reasons(project) == {}
    project.write("tooling/py.typed", "x\n")
    project.write("deploy/tooling/Dockerfile", "FROM python:3.12-slim\nCOPY . /application/\n")
    assert reasons(project) == {NAME: ["Dockerfile changed", "tooling/py.typed changed"]}
    project.git("rm", "-rfq", "deploy/tooling")
    assert reasons(project) == {NAME: ["deleted"]}
    project.commit()
    assert discover_images(project.root) == ["a"]
    project.write("tooling/py.typed", "y\n")
    assert reasons(project) == {}
    project.write("deploy/tooling/Dockerfile", "FROM scratch\n")
    assert reasons(project) == {NAME: ["new component"]}


def test_it_is_an_image_but_no_component(project: Monorepo) -> None:
    assert discover_images(project.root) == ["a", NAME]
    assert discover_components(project.root) == ["a"]
    with pytest.raises(UsageError, match="the tooling's own image, which no stage can be"):
        read_versions(project.root, [NAME], platform=PLATFORM, bases={})
    project.component("b", {"component.yaml": f"uses: [{NAME}]\n"})
    failed = read_each_version(WorkingTree(project.root), ["b"], platform=PLATFORM, bases={})["b"]
    assert isinstance(failed, DaintreeError)
    assert "which is a component, not a library" in failed.message


def test_a_component_of_its_name_is_refused(project: Monorepo) -> None:
    project.component(NAME)
    message = "components/daintree/tooling has the name of the tooling's own image, deploy/tooling"
    failed = read(project)
    assert isinstance(failed, VersionError)
    assert (failed.message, failed.hint) == (message, "rename the directory")
    assert discover_images(project.root) == ["a", NAME]
    with pytest.raises(VersionError, match=message):
        reasons(project)
    # It would have that name in the registry of another project, too.
    project.git("rm", "-rfq", "deploy/tooling")
    assert isinstance(read(project), VersionError)


def test_a_project_without_its_sources(monorepo: Monorepo) -> None:
    monorepo.component("a")
    monorepo.write("tooling/theirs.py", "")
    assert discover_images(monorepo.root) == ["a"]
    failed = read(monorepo)
    assert isinstance(failed, UsageError)
    assert failed.message == "there is no component 'daintree/tooling'"
    assert failed.hint == "there are: a"


def test_the_lock_has_what_the_project_requires() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    required = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["argo"],
        *project["build-system"]["requires"],
    ]
    given = (REPOSITORY / directory_of(NAME) / "requirements.in").read_text()
    assert sorted(parse_requirements(given).lines) == sorted(required)
