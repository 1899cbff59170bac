"""`doit gc --images`: version tags of the registry that no branch, no `:latest` and no run in the store needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from daintree.commands.command import print_json
from daintree.components import discover_images, read_each_version
from daintree.components.git import checked_out, commits_of
from daintree.components.tree import WorkingTree
from daintree.errors import DaintreeError, UsageError
from daintree.images.reference import Repository, component_repository, version_tag
from daintree.images.registry import open_registry
from daintree.images.tags import UnneededImage, unneeded_images
from daintree.settings import Settings, read_settings
from daintree.store.store import open_store
from daintree.terminal import columns, count

BRANCHES = ("refs/heads", "refs/remotes")


def collect_images(settings: Settings, *, remove: bool, json: bool) -> None:
    """Say which images nobody needs, or delete their tags. Raises UsageError, RegistryError, StoreError, GitError."""
    registry = open_registry(settings.registry, plain_http=settings.registry_plain_http)
    if registry is None:
        raise UsageError(
            "--images: no registry is set",
            hint="set DAINTREE_REGISTRY, or registry in pyproject.toml, to host[:port][/prefix]",
        )
    needed: dict[str, set[str]] = {}
    for component, version in _versions(settings):
        needed.setdefault(component, set()).add(version_tag(version))
    repositories = _repositories(settings, needed)
    images = unneeded_images(registry, repositories, needed)
    if remove:
        for image in images:
            registry.delete(repositories[image.component], image.digest)
    if json:
        table = {"removed": remove, "images": msgspec.to_builtins(images)}
        print_json({"registry": settings.registry, **table})
    else:
        print("\n".join(_page(images, settings.registry, remove)))


def _versions(settings: Settings) -> Iterator[tuple[str, str]]:
    """(component, version) of the working tree, of each branch, and of each run in the store.

    Raises UsageError for a component whose version cannot be told: its images would not be known.
    """
    yield from _versions_at(settings.root, settings, "")
    for commit in commits_of(settings.root, BRANCHES):
        with checked_out(settings.root, commit) as root:
            yield from _versions_at(root, read_settings(root), f" of {commit[:8]}")
    for entry in open_store(settings).history():
        yield entry.component, entry.version


def _versions_at(root: Path, settings: Settings, place: str) -> Iterator[tuple[str, str]]:
    results = read_each_version(
        WorkingTree(root), discover_images(root), platform=settings.platform, bases=settings.bases
    )
    for name, version in results.items():
        if isinstance(version, DaintreeError):
            raise UsageError(
                f"--images: the version of {name}{place} is not known, so nothing is removed: {version.message}",
                hint=version.hint,
            )
        yield name, version.digest


def _repositories(settings: Settings, components: dict[str, set[str]]) -> dict[str, Repository]:
    return {name: component_repository(settings.registry, name) for name in sorted(components)}


def _page(images: list[UnneededImage], registry: str, removed: bool) -> list[str]:
    rows = [[image.component, ", ".join(image.tags), image.digest] for image in images]
    what = f"{count(len(images), 'image')} that nobody needs"
    if removed:
        return [
            *columns(rows),
            f"{registry}: removed {what}; the registry's own collection frees the space",
        ]
    lines = [*columns(rows), f"{registry}: {what}"]
    return [*lines, "nothing was removed; to do it: doit gc --images --yes"] if images else lines
