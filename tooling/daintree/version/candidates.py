"""Which components may have another version, given the paths that differ between two states.

It errs on the side of naming too many: whoever asks compares the versions of those named, and of no
others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from daintree.errors import SpecError
from daintree.git.entry import covers
from daintree.git.plumbing import path_text
from daintree.git.working_tree import WorkingTree
from daintree.version.discovery import DOCKERFILE, TOP
from daintree.version.libraries import Uses, transitive_libraries
from daintree.version.own_image import DIRECTORY, NAME, places
from daintree.version.source import SPEC, specification


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
