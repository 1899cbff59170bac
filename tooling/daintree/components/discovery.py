"""The tooling's own image: it has a version, a lock and tags as a component has, though its files do not lie in `components/`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TOP = "components"
DOCKERFILE = "Dockerfile"


def discover_components(root: Path) -> list[str]:
    """The names of the components below `root`, sorted: directories that hold a Dockerfile.

    Nothing below a component is looked at, nor any directory whose name begins with a dot.
    """
    return sorted(name for name, is_component in _found(root) if is_component)


def discover_libraries(root: Path) -> list[str]:
    """The names of the libraries, sorted: topmost directories with files but no component."""
    return sorted(name for name, is_component in _found(root) if not is_component)


def is_name(name: str) -> bool:
    """Whether this could name a component or library: a relative path without detours."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and "\0" not in name


def _found(root: Path) -> Iterator[tuple[str, bool]]:
    top = os.path.join(root, TOP)
    return _below(top, "") if os.path.isdir(top) else iter(())


def _below(directory: str, name: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it is a component) of what lies in a directory that is none itself."""
    holds_files, inside = False, []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            if entry.is_dir(follow_symlinks=False):
                inside.append((entry.path, f"{name}/{entry.name}".lstrip("/")))
            else:
                holds_files = True
    found = []
    for path, inner in inside:
        if os.path.isfile(os.path.join(path, DOCKERFILE)):
            found.append((inner, True))
        else:
            found += _below(path, inner)
    if name and holds_files and not any(is_component for _, is_component in found):
        return iter([(name, False)])
    return iter(found)


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
