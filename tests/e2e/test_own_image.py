"""The tooling's own image: built and pushed as a component's, and at work where nothing but /tmp can be written."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from daintree.components import TOOLING as NAME
from tests.services.image_project import COMPONENTS, NO_ENGINE

if TYPE_CHECKING:
    from tests.services.image_project import ImageProject


@pytest.fixture
def with_tooling(image_project: ImageProject) -> ImageProject:
    """A project that has the tooling's sources, such as they are, committed."""
    image_project.project.write("tooling/__init__.py", image_project.prefix)
    image_project.project.write("LICENSE", "")
    image_project.project.write("deploy/tooling/Dockerfile", "FROM scratch\nCOPY . /application/\n")
    image_project.project.commit()
    return image_project


def test_it_is_built_pushed_and_tagged_with_the_rest(with_tooling: ImageProject) -> None:
    first = with_tooling.build("--push")
    assert sorted(first) == sorted((*COMPONENTS, NAME))
    assert (first[NAME]["action"], first[NAME]["pushed"]) == ("built", True)
    tag = first[NAME]["version"].removeprefix("sha256:")[:20]
    assert with_tooling.tags(NAME) == sorted([tag, with_tooling.head(), "latest"])
    again = with_tooling.build("--push", env=NO_ENGINE)
    assert {built["action"] for built in again.values()} == {"present"}
    assert again[NAME]["digest"] == with_tooling.digest(NAME, tag)


def test_it_alone_and_only_what_is_committed(with_tooling: ImageProject) -> None:
    assert with_tooling.actions("--push", NAME) == {NAME: "built"}
    with_tooling.project.write("tooling/new.py", "")
    assert "daintree/tooling is not committed: tooling/new.py added" in with_tooling.refused(
        "--push", NAME
    )
    components = with_tooling.project.doit("affected", "--json").json()["components"]
    assert [(item["name"], item["reasons"]) for item in components] == [
        (NAME, ["tooling/new.py added"])
    ]


def test_a_list_has_it(with_tooling: ImageProject) -> None:
    with_tooling.project.write("deploy/tooling/component.yaml", "description: the tooling\n")
    listed = with_tooling.project.doit("list", "--json").json()
    assert listed["components and libraries"][NAME] == "the tooling"


def inside(image: str, *arguments: str, user: str = "1000") -> subprocess.CompletedProcess[str]:
    """A command of doit in a container as a pod has it: another user, nothing to write to but /tmp, no network."""
    return subprocess.run(
        [
            *("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", user),
            *(image, *arguments),
        ],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("user", ["1000", "4321:4321"])
def test_it_works_for_any_user_on_a_file_system_that_is_read_only(
    tooling_image: str, user: str
) -> None:
    listed = inside(tooling_image, "list", "--json", user=user)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["pipelines"] == {}
    helped = inside(tooling_image, "help", "plan", user=user)
    assert helped.returncode == 0, helped.stderr
    refused = inside(tooling_image, "plan", "words", user=user)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: there is no pipeline 'words'")


def test_what_a_cluster_needs_is_installed(tooling_image: str) -> None:
    libraries = "import kubernetes, obstore, daintree.commands.run"
    done = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "python", tooling_image, "-c", libraries],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
