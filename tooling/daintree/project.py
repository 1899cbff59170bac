"""Where a project is: the nearest directory at or above the current one with a dodo.py."""

from __future__ import annotations

from pathlib import Path

from daintree.errors import UsageError


def find_project(start: Path) -> Path:
    """The root of the project that `start` lies in. Raises UsageError when there is none."""
    for directory in (start, *start.parents):
        if (directory / "dodo.py").is_file():
            return directory
    raise UsageError(
        f"there is no dodo.py in {start} or above it",
        hint="change into a project first",
    )


def is_daintree(root: Path) -> bool:
    """Whether the project has pipelines or components, or is an ordinary doit project."""
    return (root / "pipelines").is_dir() or (root / "components").is_dir()
