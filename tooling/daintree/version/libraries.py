"""The libraries a component uses, directly and through other libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daintree.errors import SpecError
from daintree.version.discovery import TOP

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
