"""The components that a change affects: whose version differs from a commit to the working tree.

Versions are compared, not paths; git's differences only tell which components are worth a comparison.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.components.entries import (
    ATTRIBUTES,
    DOCKERFILE,
    ENTRYPOINT,
    MARKS,
    PACKAGE,
    PROJECT_FILE,
    SPEC,
    TESTS,
    TOOLING,
    TOOLING_DIRECTORY,
    TOP,
    Differences,
    Entry,
    all_places,
    at_or_below,
    directory_of,
    is_covered,
    places,
)
from daintree.components.history import Base, choose_base, resolve_commit, unknown_revision
from daintree.components.source import Tree, specification
from daintree.components.tree import WorkingTree
from daintree.components.version import (
    ComponentVersion,
    Sources,
    VersionedFile,
    transitive_libraries,
)
from daintree.errors import SettingsError, SpecError, VersionError
from daintree.settings import Settings, read_settings

_MOST_LIBRARY_FILES = 5

Files = Mapping[str, VersionedFile]


def differences(
    before: ComponentVersion,
    after: ComponentVersion,
    *,
    present_before: Collection[str],
    present_after: Collection[str],
    conflicts: Collection[str] = (),
) -> list[str]:
    """Return why two versions of one component differ, a phrase for each cause; empty when they are equal.

    The collections have every path, versioned or not, that was and is there: they tell a file that
    was added or deleted from one that `.dockerignore` left out or lets in.
    """
    present = (present_before, present_after)
    changed = _file_changes(_own_files(before), _own_files(after), present)
    in_conflict = {f.path for f in after.files if f.origin in conflicts}
    phrases = [
        f"{path} {change}{' (with conflict markers)' if path in in_conflict else ''}"
        for path, change in changed.items()
    ]
    phrases += _library_changes(before, after, present)
    if before.spec.build_args != after.spec.build_args and SPEC not in changed:
        phrases.append("build arguments changed")
    phrases += _base_changes(dict(before.bases), dict(after.bases))
    if before.platform != after.platform:
        phrases.append(f"platform {before.platform} → {after.platform}")
    return phrases


def _own_files(version: ComponentVersion) -> Files:
    """The files that come from no library, by their path in the component's directory where they lie there."""
    directory = f"{directory_of(version.name)}/"
    libraries = tuple(f"{TOP}/{library}/" for library in version.libraries)
    own = (file for file in version.files if not file.origin.startswith(libraries))
    return {file.origin.removeprefix(directory): file for file in own}


def _files_in(version: ComponentVersion, name: str) -> Files:
    """The files that come from a library's directory, by their path in it."""
    directory = f"{TOP}/{name}/"
    own = (file for file in version.files if file.origin.startswith(directory))
    return {file.origin.removeprefix(directory): file for file in own}


def _file_changes(
    before: Files, after: Files, present: tuple[Collection[str], Collection[str]]
) -> dict[str, str]:
    """Change of each file that is not the same in both, sorted by path."""
    changes: dict[str, str] = {}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if new is None:
            stayed = before[path].origin in present[1]
            changes[path] = "is now left out by .dockerignore" if stayed else "deleted"
        elif old is None:
            came = new.origin in present[0]
            changes[path] = "is no longer left out by .dockerignore" if came else "added"
        elif old.blob != new.blob:
            changes[path] = "changed"
        elif old.conversion != new.conversion:
            changes[path] = "is checked out otherwise (.gitattributes)"
        elif old.mode != new.mode:
            changes[path] = "mode changed"
    return changes


def _library_changes(
    before: ComponentVersion,
    after: ComponentVersion,
    present: tuple[Collection[str], Collection[str]],
) -> list[str]:
    phrases = []
    for library in sorted({*before.libraries, *after.libraries}):
        if library not in before.libraries:
            phrases.append(f"now uses {library}")
        elif library not in after.libraries:
            phrases.append(f"no longer uses {library}")
        else:
            changes = _file_changes(_files_in(before, library), _files_in(after, library), present)
            if changes:
                phrases.append(f"uses {library}, which changed: {_listed(changes)}")
    return phrases


def _listed(changes: Mapping[str, str]) -> str:
    phrases = [f"{path} {what}".removesuffix(" changed") for path, what in changes.items()]
    more = len(phrases) - _MOST_LIBRARY_FILES
    tail = f" and {more} more" if more > 0 else ""
    return ", ".join(phrases[:_MOST_LIBRARY_FILES]) + tail


def _base_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A base image that came or went shows in the Dockerfile; only its pin can change unseen."""
    return [
        f"the pin of the base image {reference} changed"
        for reference in sorted(before.keys() & after.keys())
        if before[reference] != after[reference]
    ]


def component_names(tree: WorkingTree, differing: Iterable[str]) -> set[str]:
    """Return the outermost directories that hold a Dockerfile or a main.py in the working tree or the other state.

    A main.py inside a package, or among tests, makes no component.
    """
    differing = {*differing}

    def holders(name: str) -> set[str]:
        end = f"/{name}"
        held = {*tree.named(name), *(path for path in differing if path.endswith(end))}
        return {path[: -len(end)] for path in held if path.startswith(f"{TOP}/")}

    packages = holders(PACKAGE)
    programs = {
        directory
        for directory in holders(ENTRYPOINT)
        if not is_covered(packages, directory.rpartition("/")[0])
        and directory.rpartition("/")[2] != TESTS
    }
    names = {place[len(TOP) + 1 :] for place in programs | holders(DOCKERFILE) if place != TOP}
    held = {*tree.named(DOCKERFILE), *differing}
    own = {TOOLING} if f"{TOOLING_DIRECTORY}/{DOCKERFILE}" in held else set()
    return {name for name in names if not is_covered(names, name.rpartition("/")[0])} | own


def candidates(tree: WorkingTree, names: Collection[str], differing: Iterable[str]) -> set[str]:
    """Return those of the components that a differing path lies in, or in a library that they use now.

    A component that used such a library before, and does not now, has a differing path itself.
    """
    changed: set[str] = set()
    outside: set[str] = set()
    for path in differing:
        if TOOLING in names and is_covered(places(TOOLING), path):
            changed.add(TOOLING)
        inside = path.removeprefix(f"{TOP}/")
        parents = [inside[:at] for at, mark in enumerate(inside) if mark == "/"]
        owner = next((parent for parent in parents if parent in names), "")
        if owner:
            changed.add(owner)
        elif inside != path:
            outside.update((*parents, inside))
    if outside:
        changed |= {name for name in names if _uses_any(tree, name, outside)}
    return changed


def _uses_any(tree: WorkingTree, name: str, libraries: Collection[str]) -> bool:
    try:
        used = transitive_libraries(name, lambda user: _uses(tree, user))
        return any(library in libraries for library in used)
    except SpecError:
        # Its version tells what is wrong with it.
        return True


def _uses(tree: WorkingTree, name: str) -> Sequence[str]:
    """Return what a component or library uses; the YAML is read only where it can say so."""
    for entry in tree.files(f"{TOP}/{name}/{SPEC}"):
        content = tree.content(entry)
        if b"uses" in content or b"\\" in content:
            return specification(content, entry.path).uses
    return ()


class AffectedComponent(msgspec.Struct, frozen=True):
    """A component whose version differs: its version now ("" when it was deleted), and why."""

    name: str
    version: str
    reasons: tuple[str, ...]


class Affected(msgspec.Struct, frozen=True):
    """The affected components, sorted by name; the commit compared with ("" before any), and how it was chosen."""

    base: str
    components: tuple[AffectedComponent, ...]
    chosen: str = ""


class CommitTree:
    """The files of a commit (a Tree), told by their differences from the working tree."""

    def __init__(self, tree: WorkingTree, commit: str) -> None:
        self._tree, self._commit = tree, commit
        self._ordered: tuple[int, list[str]] = (0, [])

    @property
    def root(self) -> Path:
        return self._tree.root

    @property
    def differences(self) -> Differences:
        """The commit's and the working tree's entry of each path that is not the same in both. Raises GitError."""
        return self._tree.differences(self._commit)

    @property
    def attributes_differ(self) -> bool:
        """True when an attribute file is not the same in both: it may convert any file."""
        return any(path.rpartition("/")[2] == ATTRIBUTES for path in self.differences)

    def files(self, directory: str) -> list[Entry]:
        entries = self._tree.files(directory)
        differences = self.differences
        if self._ordered[0] != self._tree.readings:
            self._ordered = (self._tree.readings, sorted(differences))
        changed = at_or_below(self._ordered[1], os.fsencode(directory), os.fsencode)
        if not changed and not any(entry.blob == "" for entry in entries):
            return entries
        files_by_path = {entry.path: entry for entry in entries if entry.blob}
        for path in changed:
            files_by_path.pop(path, None)
            before = differences[path][0]
            if before is not None:
                files_by_path[path] = before
        return [files_by_path[path] for path in sorted(files_by_path)]

    def content(self, entry: Entry) -> bytes:
        return self._tree.content(entry)

    def conversions(self, paths: Iterable[str]) -> Mapping[str, str]:
        return self._tree.conversions(paths, self._commit if self.attributes_differ else "")


def affected(
    tree: WorkingTree,
    base: str | None,
    *,
    platform: str,
    bases: Mapping[str, str],
    only: Collection[str] | None = None,
) -> Affected:
    """Return the components whose version differs from `base` to the working tree, and why, in words.

    Without `base`, `choose_base` says what to compare with; before any commit every component is affected. `only` names
    the components to look at; without it, all. Raises UsageError for a base that git does not know, GitError when there is
    no repository, and for an affected component that has no version VersionError or SpecError.
    """
    parts = (place for name in only or () for place in places(name))
    tree.start(all_places(tree.root) if only is None else [PROJECT_FILE, *parts], MARKS)
    after = Sources(tree, platform=platform, bases=bases)
    chosen = _base(tree, base)
    past = CommitTree(tree, chosen.commit)
    paths = past.differences
    names = component_names(tree, paths)
    wanted = names if only is None else names & {*only}
    if not chosen.commit:
        present = sorted(filter(after.has_component, wanted))
        new = (_affected(after.version(name), ["no commit yet"]) for name in present)
        return Affected("", tuple(new), chosen.chosen)
    before = _state_before(past, after)
    if (before.platform, before.bases) == (platform, bases) and not past.attributes_differ:
        wanted &= candidates(tree, names, paths)
    compared = (_compare(name, before, after) for name in sorted(wanted))
    return Affected(chosen.commit, tuple(filter(None, compared)), chosen.chosen)


def _base(tree: WorkingTree, base: str | None) -> Base:
    repository = tree.repository
    if base is None:
        return choose_base(repository, lambda: not tree.differences(repository.head))
    if base in ("", repository.head):
        return Base(base, base, base or "no commit yet")
    commit = resolve_commit(tree.root, base)
    if not commit:
        raise unknown_revision(tree.root, base)
    return Base(commit, base, base)


def _state_before(tree: CommitTree, after: Sources) -> Sources:
    """Return the commit's state, with its own settings where its project file has others."""
    if PROJECT_FILE not in tree.differences:
        return Sources(tree, platform=after.platform, bases=after.bases)
    old, new = _file_settings(tree), _file_settings(after.tree)
    # A setting that the environment overrides is the same in both states.
    platform = old.platform if after.platform == new.platform else after.platform
    bases = old.bases if after.bases == new.bases else after.bases
    return Sources(tree, platform=platform, bases=bases)


def _file_settings(tree: Tree) -> Settings:
    """Return the settings of a tree's own project file; the defaults where it has none that are valid."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for entry in tree.files(PROJECT_FILE):
            directory.joinpath(PROJECT_FILE).write_bytes(tree.content(entry))
        try:
            return read_settings(directory, {})
        except SettingsError:
            directory.joinpath(PROJECT_FILE).unlink()
            return read_settings(directory, {})


def _compare(name: str, before: Sources, after: Sources) -> AffectedComponent | None:
    """Compare one component; None where its version is the same."""
    if not after.has_component(name):
        return AffectedComponent(name, "", ("deleted",)) if before.has_component(name) else None
    new = after.version(name)
    if not before.has_component(name):
        return _affected(new, ["new component"])
    try:
        old = before.version(name)
    except (VersionError, SpecError) as error:
        return _affected(new, [f"it had no version before: {error.message}"])
    if old.digest == new.digest:
        return None
    conflicts = after.tree.conflicts if isinstance(after.tree, WorkingTree) else ()
    reasons = differences(
        old,
        new,
        present_before=before.paths(old),
        present_after=after.paths(new),
        conflicts=conflicts,
    )
    return _affected(new, reasons)


def _affected(version: ComponentVersion, reasons: Iterable[str]) -> AffectedComponent:
    return AffectedComponent(version.name, version.digest, tuple(reasons))
