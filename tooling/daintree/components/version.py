"""A component's version: the digest over everything that decides what its image does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from daintree.components.discovery import (
    DIRECTORY,
    DOCKERFILE,
    NAME,
    TOP,
    directory_of,
    discover_components,
    discover_images,
    discover_libraries,
    is_name,
    places,
)
from daintree.components.dockerfile import base_images
from daintree.components.dockerignore import Dockerignore
from daintree.components.entry import SUBMODULE, SYMLINK, Entry, Tree
from daintree.digest import Plain, digest_record
from daintree.errors import SpecError, UsageError, VersionError
from daintree.spec.component import ComponentSpec
from daintree.spec.validation import read_component
from daintree.terminal import nearest

_MOST_LINKS = 40


def leaves(link: str, targets: Mapping[str, str]) -> bool:
    """Whether following a link leaves the directory that all paths are relative to.

    `targets` has the target of every link, by path. A link to nowhere or round in a circle stays
    inside.
    """
    place: list[str] = []
    ahead = link.split("/")[::-1]
    followed = 0
    while ahead:
        step = ahead.pop()
        if step in ("", "."):
            continue
        if step == "..":
            if not place:
                return True
            place.pop()
            continue
        place.append(step)
        target = targets.get("/".join(place))
        if target is not None:
            followed += 1
            if target.startswith("/"):
                return True
            if followed > _MOST_LINKS:
                return False
            place.pop()
            ahead += target.split("/")[::-1]
    return False


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


Uses = Callable[[str], Sequence[str]]


def transitive_libraries(name: str, uses: Uses) -> tuple[str, ...]:
    """Every library that `name` uses, sorted; `uses` tells what each names itself.

    Raises SpecError for a cycle, and whatever `uses` raises.
    """
    found: set[str] = set()
    _visit((name,), uses, found)
    return tuple(sorted(found))


def _visit(path: tuple[str, ...], uses: Uses, found: set[str]) -> None:
    for library in uses(path[-1]):
        if library in path:
            circle = " uses ".join([*path[path.index(library) :], library])
            raise SpecError(
                f"{TOP}/{path[-1]}/component.yaml: a circle of libraries: {circle}",
                hint="move what both need into a library of its own",
            )
        if library not in found:
            _visit((*path, library), uses, found)
            found.add(library)


class VersionedFile(msgspec.Struct, frozen=True):
    """One file of a version: its path in the snapshot, and its mode and blob id as git writes them.

    `origin` is its path below the project's root, where it is copied from.
    """

    path: str
    mode: str
    blob: str
    origin: str


class ComponentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What one component is, in one state of the project.

    `files` are sorted by path; a library's lie under its last name. One that was read from an `image`,
    by its digest or the engine's id, has no files. `libraries` are the names of
    those used, directly or not, sorted. `bases` pairs each base image with the reference it is
    built with (with its digest where it is pinned). `digest` depends on the repository's object
    format: a SHA-1 and a SHA-256 repository give the same files different ids.
    """

    name: str
    digest: str
    files: tuple[VersionedFile, ...]
    spec: ComponentSpec
    libraries: tuple[str, ...]
    bases: tuple[tuple[str, str], ...]
    platform: str
    warnings: tuple[str, ...]
    image: str = ""


class Sources:
    """The components and libraries of one tree, each read once."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._read: dict[str, Source | None] = {}

    def has_component(self, name: str) -> bool:
        """Whether there is a component of this name."""
        places = {f"{TOP}/{name}", directory_of(name)} if is_name(name) else ()
        return any(self.tree.files(f"{place}/{DOCKERFILE}") for place in places)

    def component(self, name: str) -> Source:
        """The directory of a component.

        Raises UsageError when there is no such component, VersionError for one that has the name of the tooling's own image,
        and what read_source does.
        """
        if name == NAME and self.tree.files(f"{TOP}/{name}"):
            raise VersionError(
                f"{TOP}/{name} has the name of the tooling's own image, {DIRECTORY}",
                hint="rename the directory",
            )
        if not self.has_component(name):
            raise self._no_component(name)
        source = self._source(name)
        assert source is not None
        return source

    def library(self, name: str, user: str) -> Source:
        """The directory of a library that `user` names; SpecError when there is no such library."""
        source = self._source(name) if is_name(name) else None
        where = f"{TOP}/{user}/{SPEC}"
        if source is None:
            known = discover_libraries(self.tree.root)
            raise SpecError(
                f"{where}: uses {name!r}, but there is no such library", hint=nearest(name, known)
            )
        if source.dockerfile:
            raise SpecError(
                f"{where}: uses {name!r}, which is a component, not a library",
                hint="move what both need into a library: a directory without a Dockerfile",
            )
        return source

    def libraries(self, component: str) -> tuple[str, ...]:
        """The libraries a component uses, directly or not, sorted. Raises as `library` does."""
        users: dict[str, str] = {}

        def uses(name: str) -> Sequence[str]:
            source = self.library(name, users[name]) if name in users else self.component(name)
            for library in source.spec.uses:
                users.setdefault(library, name)
            return source.spec.uses

        return transitive_libraries(component, uses)

    def present(self, name: str) -> tuple[Entry, ...]:
        """Every file of a component or library, versioned or not; none when there is no such."""
        source = self._source(name)
        return source.present if source else ()

    def _source(self, name: str) -> Source | None:
        if name not in self._read:
            self._read[name] = read_source(self.tree, name)
        return self._read[name]

    def _no_component(self, name: str) -> UsageError | VersionError:
        directory = directory_of(name)
        if not is_name(name) or not self.tree.files(directory):
            known = discover_images(self.tree.root)
            return UsageError(f"there is no component {name!r}", hint=nearest(name, known))
        if os.path.lexists(self.tree.root / directory / DOCKERFILE):
            return VersionError(
                f"{directory}/{DOCKERFILE} is ignored by git",
                hint=f"git add --force {directory}/{DOCKERFILE}",
            )
        return VersionError(
            f"{directory} holds no {DOCKERFILE}, so it is no component",
            hint=nearest(name, discover_components(self.tree.root)),
        )


def component_version(
    sources: Sources, name: str, *, platform: str, bases: Mapping[str, str]
) -> ComponentVersion:
    """The version of a component in the sources' tree; `bases` are base images' pins by reference.

    Raises UsageError for an unknown component; VersionError, SpecError and GitError, with the file,
    for one that cannot be given a version.
    """
    component = sources.component(name)
    libraries = sources.libraries(name)
    files = _files(component, [sources.library(library, name) for library in libraries])
    pins, warnings = _base_images(sources.tree, component, bases)
    record: Plain = {
        "files": [[file.mode, file.path, file.blob] for file in files],
        "build_args": component.spec.build_args,
        "bases": [[reference, pinned] for reference, pinned in pins],
        "platform": platform,
    }
    return ComponentVersion(
        name=name,
        digest=digest_record("version", 1, record),
        files=tuple(files),
        spec=component.spec,
        libraries=libraries,
        bases=tuple(pins),
        platform=platform,
        warnings=tuple(warnings),
    )


def _files(component: Source, libraries: Iterable[Source]) -> list[VersionedFile]:
    files = [
        VersionedFile(component.within(entry), entry.mode, entry.blob, entry.path)
        for entry in component.counted
    ]
    owners = {file.path.partition("/")[0]: component.directory for file in files}
    for library in libraries:
        place = library.name.rpartition("/")[2]
        if place in owners:
            raise VersionError(
                f"{library.directory} and {owners[place]} would both be {place}"
                f" in {component.directory}",
                hint="a library lies under its last name beside main.py: rename one of the two",
            )
        owners[place] = library.directory
        files += [
            VersionedFile(f"{place}/{library.within(entry)}", entry.mode, entry.blob, entry.path)
            for entry in library.counted
        ]
    return sorted(files, key=lambda file: file.path)


def gathered(warnings: Iterable[str]) -> list[str]:
    """The warnings of several versions, each said once: with the first place it is about, and how many more there are."""
    told: dict[str, list[str]] = {}
    for warning in warnings:
        place, _, text = warning.partition(": ")
        told.setdefault(text, []).append(place)
    return [
        f"{places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: {text}"
        for text, places in told.items()
    ]


def _base_images(
    tree: Tree, component: Source, bases: Mapping[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    assert component.dockerfile is not None
    where = component.dockerfile.path
    images = base_images(tree.content(component.dockerfile), component.spec.build_args)
    pins = [(reference, _pinned(reference, bases)) for reference in images.built_on]
    warnings = [
        f"{where}: the base image {reference} has no pin, so it may change unnoticed"
        f" (set its digest in [tool.daintree.bases])"
        for reference, pinned in pins
        if "@" not in pinned
    ]
    warnings += [
        f"{where}: the image {reference} that files are copied from has no digest,"
        " so it may change unnoticed"
        for reference in images.copied_from
        if "@" not in reference
    ]
    return pins, warnings


def _pinned(reference: str, bases: Mapping[str, str]) -> str:
    pin = bases.get(reference)
    return f"{reference}@sha256:{pin.removeprefix('sha256:')}" if pin else reference
