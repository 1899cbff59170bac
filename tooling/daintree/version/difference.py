"""What differs between two versions of a component, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from daintree.version.component import ComponentVersion, VersionedFile
from daintree.version.discovery import TOP
from daintree.version.own_image import directory_of
from daintree.version.source import SPEC

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
