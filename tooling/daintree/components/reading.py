"""The versions of components as they lie in the working tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from daintree.components.discovery import DOCKERFILE, NAME, TOP, is_name, places
from daintree.components.version import (
    SPEC,
    ComponentVersion,
    Sources,
    component_version,
    specification,
)
from daintree.components.working_tree import WorkingTree
from daintree.errors import DaintreeError, SpecError, UsageError, VersionError


def read_versions(
    root: Path, names: Sequence[str], *, platform: str, bases: Mapping[str, str]
) -> dict[str, ComponentVersion]:
    """The version of each of these components in the working tree of the project at `root`.

    A version is the same before and after its files are committed, in every clone and on every
    machine. It is made of the files a build would see: tracked, or untracked and not ignored by
    git. `bases` has base images' digests by reference. Raises UsageError for what is no component;
    VersionError, SpecError and GitError, with the file, for one that cannot be given a version.
    """
    if NAME in names:
        raise UsageError(f"{NAME} is the tooling's own image, which no stage can be")
    found = read_each_version(root, names, platform=platform, bases=bases)
    versions: dict[str, ComponentVersion] = {}
    for name, version in found.items():
        if isinstance(version, DaintreeError):
            raise version
        versions[name] = version
    return versions


def read_each_version(
    root: Path,
    names: Sequence[str],
    *,
    platform: str,
    bases: Mapping[str, str],
    meanwhile: Callable[[], object] | None = None,
) -> dict[str, ComponentVersion | DaintreeError]:
    """As `read_versions`, with the error in place of the version where one cannot be given a version.

    What is wrong with one component harms no other. `meanwhile` is called while git works. Raises GitError as git does.
    """
    tree = WorkingTree(root, meanwhile)
    known = _libraries_on_disk(root, names)
    wanted = [name for name in {*names, *known} if is_name(name)]
    tree.load([*(f"{TOP}/{name}" for name in wanted), *(p for n in wanted for p in places(n))])
    sources = Sources(tree)
    found: dict[str, ComponentVersion | DaintreeError] = {}
    for name in names:
        try:
            if is_name(name):
                _check_not_inside(root, name)
            found[name] = component_version(sources, name, platform=platform, bases=bases)
        except (UsageError, VersionError, SpecError) as error:
            found[name] = error
    return found


def _check_not_inside(root: Path, name: str) -> None:
    parts = name.split("/")
    for count in range(1, len(parts)):
        outer = "/".join(parts[:count])
        if os.path.isfile(root / TOP / outer / DOCKERFILE):
            raise VersionError(
                f"{TOP}/{name} lies inside the component {outer}",
                hint="a component cannot hold another: move it out",
            )


def _libraries_on_disk(root: Path, names: Iterable[str]) -> set[str]:
    """The libraries these seem to use, so that git can be asked for everything at once.

    What is wrong or missing here is told later, when the version is made.
    """
    found: set[str] = set()
    waiting = list(filter(is_name, names))
    while waiting:
        path = f"{TOP}/{waiting.pop()}/{SPEC}"
        try:
            content = b"" if (root / path).is_symlink() else (root / path).read_bytes()
        except (OSError, ValueError):
            continue
        used = set(filter(is_name, _used(content, path))) - found
        found |= used
        waiting += used
    return found


def _used(content: bytes, path: str) -> Sequence[str]:
    try:
        return specification(content, path).uses
    except SpecError:
        return ()
