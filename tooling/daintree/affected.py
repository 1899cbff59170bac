"""The components that a change affects: whose version differs from a commit to the working tree.

Versions are compared, not paths; git's differences only tell which components are worth the
trouble.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from daintree.errors import SettingsError, SpecError, VersionError
from daintree.git.attributes import FILE
from daintree.git.background import Background
from daintree.git.commit_tree import CommitTree, default_base, resolve_commit
from daintree.git.entry import Tree
from daintree.git.plumbing import git, records
from daintree.git.working_tree import WorkingTree
from daintree.settings import Settings, read_settings
from daintree.version.candidates import candidates, component_names
from daintree.version.component import ComponentVersion, Sources, component_version
from daintree.version.difference import differences
from daintree.version.discovery import TOP
from daintree.version.own_image import DIRECTORY, NAME, places
from daintree.version.source import READ_WHOLE

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
        from daintree.git.history import unknown_revision

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
