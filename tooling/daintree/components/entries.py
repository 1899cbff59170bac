"""Files of a project as git lists them, with their modes and blobs; what differs between two trees; names that mean something."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from daintree.components.git import Repository, records
from daintree.process import Finished

REGULAR, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"
TOP = "components"
ATTRIBUTES = ".gitattributes"
DOCKERFILE, SPEC, IGNORE, TESTS = "Dockerfile", "component.yaml", ".dockerignore", "tests"
ENTRYPOINT, REQUIREMENTS, PACKAGE = "main.py", "requirements.txt", "__init__.py"
PROJECT_FILE = "pyproject.toml"
# Files that tell, by where they lie, which components there are and what git makes of their files.
MARKS = (DOCKERFILE, ENTRYPOINT, PACKAGE, ATTRIBUTES)
# The tooling's own image has a version, a lock and tags as a component has; its files lie in other places of the project.
TOOLING = "daintree/tooling"
TOOLING_DIRECTORY = "deploy/tooling"
TOOLING_PARTS = ("tooling", PROJECT_FILE, "LICENSE")


class Entry(NamedTuple):
    """One file: its path below the project's root, its mode and blob id as git writes them."""

    path: str
    mode: str
    blob: str


Differences = dict[str, tuple[Entry | None, Entry | None]]


STATUS = (
    *("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames"),
    *("--ignore-submodules=dirty", "--"),
)


def changed_paths(repository: Repository, status: Finished) -> list[str] | None:
    """Return what differs on disk from the index by STATUS, as paths below the project's root.

    None where more than their own content decides what git would add: conflicts, repositories inside, attributes, names in
    other letters, complaints.
    """
    if status.code or status.stderr or repository.folds_case:
        return None
    paths = []
    for record in map(os.fsdecode, records(status.stdout)):
        is_new = record.startswith("? ")
        path = record[2:] if is_new else record.split(" ", 8)[-1]
        is_plain = is_new or (record.startswith("1 ") and record[5:10] == "N... ")
        is_below = path.startswith(os.fsdecode(repository.prefix))
        if not is_plain or not is_below or path.endswith(("/", ".gitattributes")):
            return None
        if is_new or record[3] != ".":
            paths.append(path[len(os.fsdecode(repository.prefix)) :])
    return paths


def directory_of(name: str) -> str:
    """Return the directory with the Dockerfile and lock of a component, a library or the tooling's own image."""
    return TOOLING_DIRECTORY if name == TOOLING else f"{TOP}/{name}"


def places(name: str) -> tuple[str, ...]:
    """Return the directories and files that a version is made of, libraries left out."""
    return (directory_of(name), *(TOOLING_PARTS if name == TOOLING else ()))


def all_places(root: Path) -> list[str]:
    """Return the directories and files that all versions of a project are made of."""
    own = places(TOOLING) if (root / TOOLING_DIRECTORY).is_dir() else ()
    return [PROJECT_FILE, TOP, *own]


def is_covered(directories: Collection[str], path: str) -> bool:
    """Return True when one of the directories is `path` or holds it."""
    while path:
        if path in directories:
            return True
        path = path.rpartition("/")[0]
    return False


def read_differences(output: bytes) -> Differences:
    """Return what `git diff-index --raw -z` prints."""
    fields = iter(records(output))
    entries: Differences = {}
    for facts in fields:
        path = os.fsdecode(next(fields))
        old_mode, mode, old_blob, blob, _ = facts.decode("ascii").removeprefix(":").split(" ")
        old = Entry(path, old_mode, old_blob) if int(old_mode) else None
        entries[path] = (old, Entry(path, mode, blob) if int(mode) else None)
    return entries


T = TypeVar("T")


def at_or_below(items: Sequence[T], directory: bytes, path_of: Callable[[T], bytes]) -> list[T]:
    """The items whose path is `directory` or lies in it; `items` are sorted by path."""
    start = bisect_left(items, directory + b"/", key=path_of)
    end = bisect_left(items, directory + b"0", lo=start, key=path_of)
    exact = bisect_left(items, directory, hi=start, key=path_of)
    own = items[exact : exact + 1] if exact < start and path_of(items[exact]) == directory else ()
    return [*own, *items[start:end]]
