"""The components that a change affects: whose version differs from a commit to the working tree.

Versions are compared, not paths; git's differences only tell which components are worth the
trouble.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.components.attributes import FILE
from daintree.components.commit_tree import CommitTree, default_base, resolve_commit
from daintree.components.discovery import DIRECTORY, DOCKERFILE, NAME, TOP, directory_of, places
from daintree.components.entry import Tree, covers
from daintree.components.git import git, path_text, records
from daintree.components.version import (
    READ_WHOLE,
    SPEC,
    ComponentVersion,
    Sources,
    Uses,
    VersionedFile,
    component_version,
    specification,
    transitive_libraries,
)
from daintree.components.working_tree import WorkingTree
from daintree.concurrency import Background
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
) -> list[str]:
    """Why two versions of one component differ, a phrase for each cause; empty when they are equal.

    The collections have every path, versioned or not, that was and is there: they tell a file that
    was added or deleted from one that `.dockerignore` left out or lets in.
    """
    present = (present_before, present_after)
    changed = _file_changes(_own_files(before), _own_files(after), present)
    phrases = [f"{path} {what}" for path, what in changed.items()]
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
    return {
        file.origin.removeprefix(directory): file
        for file in version.files
        if not file.origin.startswith(libraries)
    }


def _files_in(version: ComponentVersion, name: str) -> Files:
    """The files that come from a library's directory, by their path in it."""
    directory = f"{TOP}/{name}/"
    return {
        file.origin.removeprefix(directory): file
        for file in version.files
        if file.origin.startswith(directory)
    }


def _file_changes(
    before: Files, after: Files, present: tuple[Collection[str], Collection[str]]
) -> dict[str, str]:
    """What happened to each file that is not the same in both, sorted by path."""
    changes: dict[str, str] = {}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None and new is not None:
            came = new.origin in present[0]
            changes[path] = "is no longer left out by .dockerignore" if came else "added"
        elif new is None and old is not None:
            stayed = old.origin in present[1]
            changes[path] = "is now left out by .dockerignore" if stayed else "deleted"
        elif old and new and old.blob != new.blob:
            changes[path] = "changed"
        elif old and new and old.mode != new.mode:
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
    """The outermost directories that hold a Dockerfile in the working tree or the other state."""
    listing = tree.listing
    end = f"/{DOCKERFILE}".encode()
    paths = listing.tracked_named(DOCKERFILE.encode())
    paths += [path for path in listing.untracked if path.endswith(end)]
    held = {path_text(path) for path in paths} | set(differing)
    names = {
        path[len(TOP) + 1 : -len(end)]
        for path in held
        if path.startswith(f"{TOP}/") and path.endswith(f"/{DOCKERFILE}") and path.count("/") > 1
    }
    own = {NAME} if f"{DIRECTORY}/{DOCKERFILE}" in held else set()
    return {name for name in names if not covers(names, name.rpartition("/")[0])} | own


def candidates(tree: WorkingTree, names: Collection[str], differing: Iterable[str]) -> set[str]:
    """Those of the components that a differing path lies in, or in a library that they use now.

    A component that used such a library before, and does not now, has a differing path itself.
    """
    found: set[str] = set()
    outside: set[str] = set()
    for path in differing:
        if NAME in names and covers(places(NAME), path):
            found.add(NAME)
        inside = path.removeprefix(f"{TOP}/")
        owner = _owner(inside, names)
        if owner:
            found.add(owner)
        elif inside != path:
            outside.add(inside)
    return found | _users(tree, names, outside) if outside else found


def _owner(path: str, names: Collection[str]) -> str:
    directory = path.rpartition("/")[0]
    while directory and directory not in names:
        directory = directory.rpartition("/")[0]
    return directory


def _users(tree: WorkingTree, names: Iterable[str], paths: Iterable[str]) -> set[str]:
    touched: set[str] = set()
    for path in paths:
        while path:
            touched.add(path)
            path = path.rpartition("/")[0]

    def uses(name: str) -> Sequence[str]:
        return _uses(tree, name)

    return {name for name in names if _uses_any(name, uses, touched)}


def _uses_any(name: str, uses: Uses, libraries: Collection[str]) -> bool:
    try:
        return any(library in libraries for library in transitive_libraries(name, uses))
    except SpecError:
        # Its version tells what is wrong with it.
        return True


def _uses(tree: WorkingTree, name: str) -> Sequence[str]:
    """What a component or library uses; the YAML is read only where it can say so."""
    for entry in tree.files(f"{TOP}/{name}/{SPEC}"):
        content = tree.content(entry)
        if b"uses" in content or b"\\" in content:
            return specification(content, entry.path).uses
    return ()


PROJECT_FILE = "pyproject.toml"


class AffectedComponent(msgspec.Struct, frozen=True):
    """A component whose version differs: its version now ("" when it was deleted), and why."""

    name: str
    version: str
    reasons: tuple[str, ...]


class Affected(msgspec.Struct, frozen=True):
    """The affected components, sorted by name, and the commit compared with ("" before any)."""

    base: str
    components: tuple[AffectedComponent, ...]


class _State:
    """One of the two states compared."""

    def __init__(self, tree: Tree, platform: str, bases: Mapping[str, str]) -> None:
        self.tree = tree
        self.platform = platform
        self.bases = bases
        self._sources = Sources(tree)

    def has(self, name: str) -> bool:
        return self._sources.has_component(name)

    def version(self, name: str) -> ComponentVersion:
        return component_version(self._sources, name, platform=self.platform, bases=self.bases)

    def present(self, version: ComponentVersion) -> set[str]:
        """Every path of a component and its libraries, versioned or not."""
        names = (version.name, *version.libraries)
        return {entry.path for name in names for entry in self._sources.present(name)}


def affected(
    root: Path,
    base: str | None,
    *,
    platform: str,
    bases: Mapping[str, str],
    only: Collection[str] | None = None,
) -> Affected:
    """The components whose version differs from `base` to the working tree, and why, in words.

    Without `base`: since the merge base with the upstream branch, or where there is no upstream
    since HEAD; before any commit every component is affected. `only` names the components to look at;
    without it, all. Raises UsageError for a base that git does not know, GitError when there is no
    repository, and for an affected component that has no version VersionError or SpecError.
    """
    tree = WorkingTree(root)
    own = places(NAME) if os.path.isdir(root / DIRECTORY) else ()
    tree.load([TOP, PROJECT_FILE, *own])
    listing = Background(lambda: tree.listing)
    after = _State(tree, platform, bases)
    commit = _base(root, base)
    if not commit:
        listing.result()
        return _all_affected(after, _wanted(component_names(tree, ()), only))
    changed = _changed_since(root, commit)
    repository = listing.result().repository
    prefix = os.fsdecode(repository.prefix)
    inside = (path.removeprefix(prefix) for path in changed if path.startswith(prefix))
    paths = {*inside, *tree.deviations()}
    past = CommitTree(repository, commit)
    before = _state_before(past, after, paths)
    names = component_names(tree, paths)
    if not _anything_may_differ(before, after, [*changed, *paths]):
        names = candidates(tree, names, paths)
    wanted = sorted(_wanted(names, only))
    past.load((place for name in wanted for place in places(name)), contents=READ_WHOLE)
    compared = (_compare(name, before, after) for name in wanted)
    return Affected(commit, tuple(found for found in compared if found))


def _all_affected(after: _State, names: set[str]) -> Affected:
    """Before any commit."""
    present = sorted(filter(after.has, names))
    return Affected(
        "", tuple(_affected(after.version(name), ["no commit yet"]) for name in present)
    )


def _wanted(names: set[str], only: Collection[str] | None) -> set[str]:
    return names if only is None else names & {*only}


def _base(root: Path, base: str | None) -> str:
    if base is None:
        return default_base(root)
    commit = resolve_commit(root, base)
    if not commit:
        from daintree.components.history import unknown_revision

        raise unknown_revision(root, base)
    return commit


def _changed_since(root: Path, commit: str) -> list[str]:
    """The paths, from the repository's top, whose blob or mode in the index is not the commit's."""
    options = ("--cached", "--name-only", "-z", "--no-renames")
    return [os.fsdecode(path) for path in records(git(root, "diff-index", *options, commit))]


def _state_before(tree: CommitTree, after: _State, paths: Collection[str]) -> _State:
    """The commit's state, with its own settings where its project file has others."""
    if PROJECT_FILE not in paths:
        return _State(tree, after.platform, after.bases)
    old, new = _file_settings(tree), _file_settings(after.tree)
    # A setting that the environment overrides is the same in both states.
    platform = old.platform if after.platform == new.platform else after.platform
    return _State(tree, platform, old.bases if after.bases == new.bases else after.bases)


def _file_settings(tree: Tree) -> Settings:
    """The settings of a tree's own project file; the defaults where it has none that are valid."""
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


def _anything_may_differ(before: _State, after: _State, paths: Collection[str]) -> bool:
    """Whether it is not enough to look where paths differ."""
    if (before.platform, before.bases) != (after.platform, after.bases):
        return True
    return any(path.rpartition("/")[2] == FILE for path in paths)


def _compare(name: str, before: _State, after: _State) -> AffectedComponent | None:
    """What became of one component; None where its version is what it was."""
    if not after.has(name):
        return AffectedComponent(name, "", ("deleted",)) if before.has(name) else None
    new = after.version(name)
    if not before.has(name):
        return _affected(new, ["new component"])
    try:
        old = before.version(name)
    except (VersionError, SpecError) as error:
        return _affected(new, [f"it had no version before: {error.message}"])
    if old.digest == new.digest:
        return None
    reasons = differences(
        old, new, present_before=before.present(old), present_after=after.present(new)
    )
    return _affected(new, reasons)


def _affected(version: ComponentVersion, reasons: Iterable[str]) -> AffectedComponent:
    return AffectedComponent(version.name, version.digest, tuple(reasons))
