"""The directory of a component or library, and which of its files make part of a version."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from daintree.errors import VersionError
from daintree.git.entry import SUBMODULE, SYMLINK, Entry, Tree
from daintree.spec.component import ComponentSpec
from daintree.spec.reader import read_component
from daintree.version.discovery import DOCKERFILE
from daintree.version.dockerignore import Dockerignore
from daintree.version.links import leaves
from daintree.version.own_image import directory_of, places

SPEC = "component.yaml"
IGNORE = ".dockerignore"
TESTS = "tests"

READ_WHOLE = (DOCKERFILE, SPEC, IGNORE)

specification = lru_cache(maxsize=None)(read_component)


class Source(msgspec.Struct, frozen=True):
    """A component's or library's directory in one tree.

    `present` are all its files, `counted` those a version is made of; both have paths relative to
    the project's root. `dockerfile` is None for a library.
    """

    name: str
    directory: str
    present: tuple[Entry, ...]
    counted: tuple[Entry, ...]
    spec: ComponentSpec
    dockerfile: Entry | None

    def within(self, entry: Entry) -> str:
        """An entry's path relative to this directory; that of what lies elsewhere is the same in an image as here."""
        return _within(self.directory, entry)


def read_source(tree: Tree, name: str) -> Source | None:
    """What lies in the directory of a component or library; None when there are no files.

    Its files count but for `tests/` and what `.dockerignore` leaves out; a Dockerfile always
    counts. Raises VersionError for what no build can copy faithfully: a submodule, a repository of
    its own, a link that leaves the directory, a component inside it; SpecError for a broken
    component.yaml.
    """
    directory = directory_of(name)
    present = [*tree.files(directory)]
    if not present:
        return None
    present += [entry for place in places(name)[1:] for entry in tree.files(place)]
    _check_directory(directory, present[0])
    special = {known: _regular(present, f"{directory}/{known}") for known in READ_WHOLE}
    ignore_file, spec_file = special[IGNORE], special[SPEC]
    ignore = Dockerignore(tree.content(ignore_file), ignore_file.path) if ignore_file else None
    counted = tuple(e for e in present if _counts(_within(directory, e), e.mode, ignore))
    _check_entries(directory, counted)
    _check_links(tree, directory, counted)
    spec = specification(tree.content(spec_file), spec_file.path) if spec_file else ComponentSpec()
    return Source(name, directory, tuple(present), counted, spec, special[DOCKERFILE])


def _within(directory: str, entry: Entry) -> str:
    return entry.path.removeprefix(f"{directory}/")


def _check_directory(directory: str, first: Entry) -> None:
    if first.path == directory:
        raise VersionError(
            f"{directory} is a link or a git repository of its own, not a plain directory",
            hint="put its files into the project",
        )


def _regular(entries: Sequence[Entry], path: str) -> Entry | None:
    for entry in entries:
        if entry.path == path and entry.mode in (SYMLINK, SUBMODULE):
            raise VersionError(
                f"{path} must be a file, not a link", hint="put the file itself there"
            )
        if entry.path == path:
            return entry
    return None


def _counts(path: str, mode: str, ignore: Dockerignore | None) -> bool:
    if path == DOCKERFILE:
        return True
    if path.startswith(f"{TESTS}/") or (path == TESTS and mode == SYMLINK):
        return False
    return ignore is None or not ignore.ignores(path)


def _check_entries(directory: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.mode == SUBMODULE:
            raise VersionError(
                f"{entry.path} is a git repository of its own; no version can include it",
                hint=f"put its files into {directory}, or leave it out in {directory}/{IGNORE}",
            )
        inner, _, name = entry.path.rpartition("/")
        if name == DOCKERFILE and inner != directory:
            raise VersionError(
                f"{inner} is a component inside {directory}",
                hint=f"move it out, or leave it out in {directory}/{IGNORE}",
            )


def _check_links(tree: Tree, directory: str, entries: Sequence[Entry]) -> None:
    targets = {
        _within(directory, entry): tree.content(entry).decode("utf-8", "surrogateescape")
        for entry in entries
        if entry.mode == SYMLINK
    }
    for link, target in targets.items():
        if leaves(link, targets):
            raise VersionError(
                f"{directory}/{link} is a link that leaves its directory, to {target}",
                hint="put the file itself there, or move what is shared into a library",
            )
