"""A specification file as parsed: its plain value, and where in the file each part of it stands."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]


class Document(msgspec.Struct, frozen=True):
    """A parsed file: its plain value and the line (from 1) where the value at each path begins."""

    where: str
    value: Any
    lines: dict[Path, int]

    def place(self, path: Path) -> str:
        """`file:line` of the nearest value known at or above `path`; `file (at key)` where no line is known."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known)
        if line:
            return f"{self.where}:{line}"
        return f"{self.where} (at {dotted(path)})" if path else self.where


def dotted(path: Path) -> str:
    """A path as people write it, e.g. `stages.0.params`."""
    return ".".join(str(part) for part in path)
