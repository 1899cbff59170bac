"""A project with a component that uses a library, and the versions read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from daintree.components import ComponentVersion, read_versions

if TYPE_CHECKING:
    from tests.conftest import Monorepo

USES = {"component.yaml": "uses: [lib/stageio]\n"}


def version(
    monorepo: Monorepo,
    name: str = "a",
    *,
    platform: str = "linux/amd64",
    bases: Mapping[str, str] | None = None,
) -> ComponentVersion:
    """The version of a component of the project."""
    return read_versions(monorepo.root, [name], platform=platform, bases=bases or {})[name]


def paths(component: ComponentVersion) -> list[str]:
    """Where the version's files lie in the component."""
    return [file.path for file in component.files]


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    """A component, and another that uses a library."""
    monorepo.component("a")
    monorepo.component("user", USES)
    monorepo.library("lib/stageio", {"__init__.py": "", "paths.py": "x = 1\n"})
    return monorepo
