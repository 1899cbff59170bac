"""The components and libraries that lie on disk below `components/`."""

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
