"""The tooling's own image: it has a version, a lock and tags as a component has, though its files do not lie in `components/`."""

from __future__ import annotations

import os
from pathlib import Path

from daintree.version.discovery import DOCKERFILE, TOP, discover_components

NAME = "daintree/tooling"
DIRECTORY = "deploy/tooling"
# What is in the image besides, under the same paths as in the project.
PARTS = ("tooling", "pyproject.toml", "LICENSE")


def directory_of(name: str) -> str:
    """Where a component, a library or the tooling's own image has its Dockerfile and lock, below the project's root."""
    return DIRECTORY if name == NAME else f"{TOP}/{name}"


def places(name: str) -> tuple[str, ...]:
    """The directories and files that a version is made of, libraries left out, below the project's root."""
    return (directory_of(name), *(PARTS if name == NAME else ()))


def discover_images(root: Path) -> list[str]:
    """What `doit build` builds images of, sorted: the components, and the tooling where the project has its sources."""
    has_own = os.path.isfile(root / DIRECTORY / DOCKERFILE)
    return sorted({*discover_components(root), *([NAME] if has_own else [])})
