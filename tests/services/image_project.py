"""A project whose components have images, small ones, in a part of the registry of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.engine import remove_images

if TYPE_CHECKING:
    from docker import APIClient

    from tests.e2e.projects import Finished, Project
    from tests.services.registry import Registry

COMPONENTS = ("text/clean", "text/count", "text/join", "text/load")
# These use lib/textio.
USERS = ("text/clean", "text/load")
DOCKERFILE = 'FROM scratch\nCOPY . /application/\nENTRYPOINT ["/application/main.py"]\n'
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@dataclass(frozen=True)
class ImageProject:
    """A committed project, the registry its settings name, and the prefix its images have there."""

    project: Project
    registry: Registry
    prefix: str

    def build(self, *arguments: str, **more: Any) -> dict[str, Any]:
        """`doit build … --json`, which must succeed; what became of each component, by name."""
        report = self.project.doit("build", *arguments, "--json", **more).json()
        return {component["name"]: component for component in report["components"]}

    def actions(self, *arguments: str, **more: Any) -> dict[str, str]:
        """`doit build … --json`, which must succeed; the action for each component."""
        return {name: built["action"] for name, built in self.build(*arguments, **more).items()}

    def refused(self, *arguments: str, **more: Any) -> str:
        """`doit build …`, which must fail without a traceback; its stderr."""
        done: Finished = self.project.doit("build", *arguments, **more)
        assert done.code == 1, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def tags(self, component: str) -> list[str]:
        """The tags of a component in the registry."""
        return self.registry.tags(f"{self.prefix}/{component}")

    def digest(self, component: str, tag: str) -> str:
        """The digest that a tag of a component names in the registry, "" for none."""
        return self.registry.digest(f"{self.prefix}/{component}", tag)

    def head(self) -> str:
        """The commit checked out."""
        return self.project.git("rev-parse", "HEAD").strip()

    def edit(self, component: str, line: str = "# changed") -> None:
        """Add a line to a component's main.py."""
        path = self.project.root / "components" / component / "main.py"
        with open(path, "a", encoding="utf-8") as script:
            script.write(f"{line}\n")


def all_components(action: str) -> dict[str, str]:
    """The same action for every component of the project."""
    return dict.fromkeys(COMPONENTS, action)


@pytest.fixture
def image_project(
    project: Project, registry: Registry, engine: APIClient
) -> Iterator[ImageProject]:
    """The project of the other tests with components `FROM scratch`, no version of which exists anywhere yet."""
    nonce = os.urandom(6).hex()
    for name in COMPONENTS:
        project.write(f"components/{name}/Dockerfile", DOCKERFILE)
        project.write(f"components/{name}/nonce", nonce)
    project.commit()
    variables = {"DAINTREE_REGISTRY": f"{registry.address}/{nonce}"}
    yield ImageProject(project.at(project.root, **variables), registry, nonce)
    remove_images(engine, reference=f"{registry.address}/{nonce}/*/*")
