"""Words for sizes, durations and counts; columns; colour where a terminal shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1", "cyan": "36"}


def size(count: int) -> str:
    """A number of bytes, e.g. "812 B", "1.2 MB" (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    amount = count / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def duration(seconds: float) -> str:
    """A duration, e.g. "0.41 s", "12.3 s", "3 min 05 s", "2 h 07 min"."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, noun: str) -> str:
    """A number with its noun, e.g. "1 hit", "3 hits"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def colour(text: str, name: str, stream: TextIO) -> str:
    """The text in a colour where `stream` is a terminal and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\033[{_COLOURS[name]}m{text}\033[0m"


def columns(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Rows as lines with aligned columns; the last column is as wide as it is."""
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def say(text: str) -> None:
    """One line on stderr, written at once so that lines of several threads do not mix."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


MOST_NAMES = 12


def nearest(name: str, known: Sequence[str], *, otherwise: str = "") -> str:
    """A hint such as "did you mean 'train'?"; else `otherwise`, or else the names there are; "" when there are none."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if otherwise or not known:
        return otherwise
    more = ", …" if len(known) > MOST_NAMES else ""
    return "there are: " + ", ".join(sorted(known)[:MOST_NAMES]) + more
