"""What a locked requirements file says: requirements, and the notes `doit lock` leaves in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIZE_NOTE = "# installed size: "
MADE_BY_NOTE = "# made by: doit lock "

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# pip's rule: a comment starts at the line's beginning or after a blank.
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class LockedRequirements:
    """The content of a requirements file that decides what gets installed, and what is known of it.

    `lines` are its logical lines without comments: files that differ in comments alone have equal
    lines. `owner` is the component it was locked for, `size` what it takes once installed, e.g. "26
    MB"; both are "" where the file does not say.
    """

    lines: tuple[str, ...]
    owner: str = ""
    size: str = ""

    @property
    def packages(self) -> frozenset[str]:
        """The names of the packages it pins, normalised; some may be for other platforms."""
        found = (_NAME.match(line) for line in self.lines)
        return frozenset(re.sub(r"[-_.]+", "-", name[0]).lower() for name in found if name)

    @property
    def includes(self) -> tuple[str, ...]:
        """The lines that bring in other files (`-r`, `-c`, `-e`); a complete lock has none."""
        flags = ("-r", "-c", "-e", "--requirement", "--constraint", "--editable")
        return tuple(line for line in self.lines if line.startswith(flags))


def parse_requirements(text: str) -> LockedRequirements:
    """Read a requirements file's text; any text is accepted, uv judges its requirements."""
    lines: list[str] = []
    joined = ""
    for physical in text.splitlines():
        line = _COMMENT.sub("", physical).strip()
        joined += line.removesuffix("\\").strip() + " "
        if not line.endswith("\\"):
            lines.append(joined.strip())
            joined = ""
    lines.append(joined.strip())
    return LockedRequirements(
        lines=tuple(line for line in lines if line),
        owner=_note(text, MADE_BY_NOTE),
        size=_note(text, SIZE_NOTE),
    )


def _note(text: str, start: str) -> str:
    found = (line for line in text.splitlines() if line.startswith(start))
    return next(found, "").removeprefix(start).strip()
