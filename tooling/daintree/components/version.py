"""Components, libraries and their versions.

A version is the digest over everything that decides what a component's image does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from daintree.components.entries import (
    DOCKERFILE,
    ENTRYPOINT,
    IGNORE,
    PROJECT_FILE,
    SPEC,
    TESTS,
    TOOLING,
    TOOLING_DIRECTORY,
    TOP,
    Entry,
    directory_of,
    places,
)
from daintree.components.git import blob_id, ignored_by
from daintree.components.source import (
    NAMED_FILES,
    READ_WHOLE,
    Source,
    Tree,
    discover_components,
    discover_images,
    discover_libraries,
    excluding_patterns,
    is_component,
    is_name,
    read_source,
    specification,
)
from daintree.components.tree import WorkingTree
from daintree.digest import Plain, digest_record
from daintree.errors import DaintreeError, SpecError, UsageError, VersionError, nearest
from daintree.spec.component import ComponentSpec
from daintree.spec.document import remembered

_MOST_EXCLUSIONS = 30

Uses = Callable[[str], Sequence[str]]
_Images = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def transitive_libraries(name: str, uses: Uses) -> tuple[str, ...]:
    """Return every library that `name` uses, sorted; `uses` returns what each names itself.

    Raises SpecError for a cycle, and whatever `uses` raises.
    """
    libraries: set[str] = set()
    _visit((name,), uses, libraries)
    return tuple(sorted(libraries))


def _visit(path: tuple[str, ...], uses: Uses, libraries: set[str]) -> None:
    for library in uses(path[-1]):
        if library in path:
            circle = " uses ".join([*path[path.index(library) :], library])
            raise SpecError(
                f"{TOP}/{path[-1]}/{SPEC}: a circle of libraries: {circle}",
                hint="move what both need into a library of its own",
            )
        if library not in libraries:
            _visit((*path, library), uses, libraries)
            libraries.add(library)


class VersionedFile(msgspec.Struct, frozen=True):
    """One file of a version: its path in the snapshot, and its mode and blob id as git writes them.

    `origin` is its path below the project's root. `conversion` has the attributes by which a checkout writes other
    bytes than the blob's. `content` is that of the default Dockerfile, which lies nowhere.
    """

    path: str
    mode: str
    blob: str
    origin: str
    conversion: str = ""
    content: bytes = b""

    def is_content(self, content: bytes) -> bool:
        """True where the file's blob holds these bytes."""
        return blob_id(content, self.blob) == self.blob


class ComponentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One component in one state of the project.

    `files` are sorted by path; a library's lie under its last name. One that was read from an `image`, by its digest or
    the engine's id, has no files. `libraries` are the names of those used, directly or not, sorted. `objects` is the git directory with the blobs. `bases` pairs each
    base image with the reference it is built with (with its digest where it is pinned). `digest` depends on the
    repository's object format: a SHA-1 and a SHA-256 repository give the same files different ids.
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
    objects: str = ""


class Sources:
    """The components and libraries of one tree, each read once; versions are for `platform`, with the pins `bases` of base images."""

    def __init__(self, tree: Tree, *, platform: str, bases: Mapping[str, str]) -> None:
        self.tree, self.platform, self.bases = tree, platform, bases
        self._read: dict[str, Source | None] = {}

    def has_component(self, name: str) -> bool:
        """Return True when there is a component of this name."""
        candidates = {f"{TOP}/{name}", directory_of(name)} if is_name(name) else ()
        marks = (f"{place}/{mark}" for place in candidates for mark in (DOCKERFILE, ENTRYPOINT))
        return any(self.tree.files(mark) for mark in marks)

    def component(self, name: str) -> Source:
        """Return the directory of a component.

        Raises UsageError when there is no such component, VersionError for one that has the name of the tooling's own
        image, and what read_source does.
        """
        if name == TOOLING and self.tree.files(f"{TOP}/{name}"):
            raise VersionError(
                f"{TOP}/{name} has the name of the tooling's own image, {TOOLING_DIRECTORY}",
                hint="rename the directory",
            )
        source = self._source(name) if self.has_component(name) else None
        if source is None:
            raise _no_component(self.tree, name)
        return source

    def library(self, name: str, user: str) -> Source:
        """Return the directory of a library that `user` names. Raises SpecError when there is no such library."""
        source = self._source(name) if is_name(name) else None
        where = f"{TOP}/{user}/{SPEC}"
        if source is None:
            raise _no_library(self.tree.root, name, where)
        if source.dockerfile:
            raise SpecError(
                f"{where}: uses {name!r}, which is a component, not a library",
                hint=f"move what both need into a library: a directory without {ENTRYPOINT} and {DOCKERFILE}",
            )
        return source

    def libraries(self, component: str) -> tuple[str, ...]:
        """Return the libraries a component uses, directly or not, sorted. Raises as `library` does."""
        users: dict[str, str] = {}

        def uses(name: str) -> Sequence[str]:
            source = self.library(name, users[name]) if name in users else self.component(name)
            for library in source.spec.uses:
                users.setdefault(library, name)
            return source.spec.uses

        return transitive_libraries(component, uses)

    def paths(self, version: ComponentVersion) -> set[str]:
        """Return every path of a component and its libraries, versioned or not."""
        sources = map(self._source, (version.name, *version.libraries))
        return {entry.path for source in sources if source for entry in source.present}

    def version(self, name: str) -> ComponentVersion:
        """Return the version of a component.

        Raises UsageError for an unknown component; VersionError, SpecError and GitError, with the file, for one that cannot
        be given a version.
        """
        component, tree = self.component(name), self.tree
        libraries = self.libraries(name)
        used = [self.library(library, name) for library in libraries]
        counted = (entry.path for source in (component, *used) for entry in source.counted)
        files = _files(component, used, tree.conversions(counted))
        pins, warnings = _base_images(tree, component, self.platform, self.bases)
        record: Plain = {
            "files": [
                [f.mode, f.path, _counted(tree, name, f), *filter(None, [f.conversion])]
                for f in files
            ],
            "build_args": component.spec.build_args,
            "bases": [[reference, pinned] for reference, pinned in pins],
            "platform": self.platform,
        }
        return ComponentVersion(
            name=name,
            digest=digest_record("version", 2, record),
            files=tuple(files),
            spec=component.spec,
            libraries=libraries,
            bases=tuple(pins),
            platform=self.platform,
            warnings=tuple(warnings),
            objects=os.fspath(tree.objects) if isinstance(tree, WorkingTree) else "",
        )

    def _source(self, name: str) -> Source | None:
        if name not in self._read:
            source = read_source(self.tree, name)
            if source and isinstance(self.tree, WorkingTree):
                present = {source.within(entry) for entry in source.present}
                _check_no_ignored(self.tree.root, name, {*NAMED_FILES} - present)
            self._read[name] = source
        return self._read[name]


def _check_no_ignored(root: Path, name: str, files: Iterable[str]) -> None:
    """Raise VersionError for a file of a component that is there, and that git ignores."""
    directory = directory_of(name)
    for file in sorted(files):
        is_there = is_name(name) and os.path.lexists(root / directory / file)
        rule = ignored_by(root, f"{directory}/{file}") if is_there else ""
        if rule:
            raise VersionError(
                f"{directory}/{file} is ignored by git: {rule}",
                hint=f"change that rule, or git add --force {directory}",
            )


def _no_component(tree: Tree, name: str) -> UsageError | VersionError:
    root, directory = tree.root, directory_of(name)
    _check_no_ignored(root, name, (DOCKERFILE, ENTRYPOINT))
    if not is_name(name) or not tree.files(directory):
        return UsageError(
            f"there is no component {name!r}", hint=nearest(name, discover_images(root))
        )
    return VersionError(
        f"{directory} holds neither {ENTRYPOINT} nor {DOCKERFILE}, so it is no component",
        hint=nearest(name, discover_components(root)),
    )


def _no_library(root: Path, name: str, where: str) -> SpecError:
    directory = f"{TOP}/{name}"
    if is_name(name) and os.path.isdir(root / directory):
        rule = ignored_by(root, directory)
        if rule:
            return SpecError(
                f"{where}: uses {name!r}, but {directory} is ignored by git: {rule}",
                hint=f"change that rule, or git add --force {directory}",
            )
        return SpecError(
            f"{where}: uses {name!r}, but {directory} has no files that git would commit",
            hint="put the library's files there",
        )
    known = discover_libraries(root)
    return SpecError(
        f"{where}: uses {name!r}, but there is no such library", hint=nearest(name, known)
    )


def _counted(tree: Tree, name: str, file: VersionedFile) -> str:
    """The part of a file that counts: its blob, but for the tooling's image only what is installed of the project's file.

    A setting in it is in no image: the Dockerfile removes the file. Raises VersionError for a file that is no TOML.
    """
    if name != TOOLING or file.origin != PROJECT_FILE:
        return file.blob
    import tomllib

    try:
        project = tomllib.loads(tree.content(Entry(file.origin, file.mode, file.blob)).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise VersionError(f"{file.origin}: {error}") from None
    tables = {name: project.get(name, {}) for name in ("build-system", "project")}
    tables["setuptools"] = project.get("tool", {}).get("setuptools", {})
    return digest_record("packaging", 1, tables)


def _files(
    component: Source, libraries: Iterable[Source], conversions: Mapping[str, str]
) -> list[VersionedFile]:
    """Return the files of a component and its libraries, sorted by their paths in the snapshot."""

    def file(entry: Entry, path: str, content: bytes = b"") -> VersionedFile:
        conversion = conversions.get(entry.path, "")
        return VersionedFile(path, entry.mode, entry.blob, entry.path, conversion, content)

    files = [
        file(
            entry,
            component.within(entry),
            component.default if entry is component.dockerfile else b"",
        )
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
        files += [file(entry, f"{place}/{library.within(entry)}") for entry in library.counted]
    return sorted(files, key=lambda file: file.path)


def _base_images(
    tree: Tree, component: Source, platform: str, bases: Mapping[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    assert component.dockerfile is not None
    where = component.directory if component.default else component.dockerfile.path
    content = component.default or tree.content(component.dockerfile)
    built_on, copied_from, doubts = _images(content, component.spec.build_args, platform)
    pins = {reference: _pinned(reference, bases) for reference in (*built_on, *copied_from)}
    named = {f"the base image {reference}": reference for reference in built_on}
    named |= {f"the image {image} that files are copied from": image for image in copied_from}
    warnings = [
        f"{where}: {words} has no pin, so it may change unnoticed (set its digest in [tool.daintree.bases])"
        for words, reference in named.items()
        if "@" not in pins[reference]
    ]
    warnings += [f"{where}: {doubt}" for doubt in doubts]
    if python := component.spec.python:
        from daintree.components.dockerfile import python_of_image

        warnings += [
            f"{where}: the base image {reference} has another Python than the {python} of {SPEC}"
            for reference in built_on
            if python_of_image(reference) not in ("", python)
        ]
    return sorted(pins.items()), warnings


def _images(content: bytes, build_args: Mapping[str, str], platform: str) -> _Images:
    """Images that a Dockerfile is built on and copies from, and warnings; what has been read before is remembered."""

    def read() -> _Images:
        # Imported here: what is remembered is not read.
        from daintree.components.dockerfile import base_images, with_platform

        return base_images(content, with_platform(build_args, platform))

    given = msgspec.json.encode([sorted(build_args.items()), platform])
    return remembered(b"dockerfile\0%s\0%s" % (given, content), _Images, read)


def _pinned(reference: str, bases: Mapping[str, str]) -> str:
    pin = bases.get(reference)
    return f"{reference}@sha256:{pin.removeprefix('sha256:')}" if pin else reference


def gathered(warnings: Iterable[str]) -> list[str]:
    """Return the warnings of several versions, each once: with the first place it is about, and how many more there are."""
    places_of: dict[str, list[str]] = {}
    for warning in warnings:
        place, _, text = warning.partition(": ")
        places_of.setdefault(text, []).append(place)
    return [
        f"{first}{f' and {len(others)} more' if others else ''}: {text}"
        for text, (first, *others) in places_of.items()
    ]


def read_versions(
    root: Path, names: Sequence[str], *, platform: str, bases: Mapping[str, str]
) -> dict[str, ComponentVersion]:
    """Return the version of each of these components in the working tree of the project at `root`.

    A version is the same before and after its files are committed, in every clone and on every machine. `bases` has
    base images' digests by reference. Raises UsageError for what is no component; VersionError, SpecError and GitError,
    with the file, for one that cannot be given a version.
    """
    if TOOLING in names:
        raise UsageError(f"{TOOLING} is the tooling's own image, which no stage can be")
    results = read_each_version(WorkingTree(root), names, platform=platform, bases=bases)
    versions: dict[str, ComponentVersion] = {}
    for name, version in results.items():
        if isinstance(version, DaintreeError):
            raise version
        versions[name] = version
    return versions


def read_each_version(
    tree: WorkingTree, names: Sequence[str], *, platform: str, bases: Mapping[str, str]
) -> dict[str, ComponentVersion | DaintreeError]:
    """Return the version of each component; the error in its place where one cannot be given a version.

    What is wrong with one component harms no other. Raises GitError as git does.
    """
    known = _libraries_on_disk(tree.root, names)
    wanted = sorted({name for name in (*names, *known) if is_name(name)})
    tree.load(
        [PROJECT_FILE, *(f"{TOP}/{n}" for n in wanted), *(p for n in wanted for p in places(n))]
    )
    _leave_out(tree, wanted)
    sources = Sources(tree, platform=platform, bases=bases)
    versions: dict[str, ComponentVersion | DaintreeError] = {}
    for name in names:
        try:
            if is_name(name):
                _check_not_inside(tree.root, name)
            versions[name] = sources.version(name)
        except (UsageError, VersionError, SpecError) as error:
            versions[name] = error
    return versions


def _leave_out(tree: WorkingTree, names: Sequence[str]) -> None:
    """Spare git to hash what no version counts."""
    contents: dict[str, bytes] = {}
    # git compares every file with every pattern.
    for directory in map(directory_of, names if len(names) <= _MOST_EXCLUSIONS else ()):
        if not re.search(r"[*?\[\\]", directory):
            contents[directory] = b""
            with suppress(OSError, ValueError):
                contents[directory] = (tree.root / directory / IGNORE).read_bytes()
    tree.exclude(
        f"{directory}/{pattern}"
        for directory, content in contents.items()
        for pattern in (TESTS, *excluding_patterns(content, counted=READ_WHOLE))
    )
    for directory, content in contents.items():
        entries = tree.files(f"{directory}/{IGNORE}")
        counted = tree.content(entries[0]) if entries else b""
        if counted.split() != content.split():
            # git ignores or converts the file: what lies on disk is not what leaves files out.
            tree.exclude(())
            return


def _check_not_inside(root: Path, name: str) -> None:
    parts = name.split("/")
    for count in range(1, len(parts)):
        outer = "/".join(parts[:count])
        if is_component(root / TOP / outer):
            raise VersionError(
                f"{TOP}/{name} lies inside the component {outer}",
                hint="a component cannot hold another: move it out",
            )


def _libraries_on_disk(root: Path, names: Iterable[str]) -> set[str]:
    """Return the libraries these seem to use, so that git can be asked for everything at once.

    What is wrong or missing here is told later, when the version is made.
    """
    libraries: set[str] = set()
    waiting = list(filter(is_name, names))
    while waiting:
        path = f"{TOP}/{waiting.pop()}/{SPEC}"
        try:
            used = specification((root / path).read_bytes(), path).uses
        except (OSError, ValueError, SpecError):
            continue
        new = set(filter(is_name, used)) - libraries
        libraries |= new
        waiting += new
    return libraries
