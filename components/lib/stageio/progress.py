"""A sign of life on stderr for a loop that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_REDRAW_SECONDS = 0.2
_BAR = 20

Note = Callable[[Item], str]


def progress(
    iterable: Iterable[Item],
    total: int | None = None,
    label: str = "",
    note: Note[Item] | None = None,
) -> Iterator[Item]:
    """Yield the items of `iterable` unchanged and show on stderr how far it is.

    A terminal gets one line that is redrawn. Elsewhere, such as in a stage's log, there is one
    plain line for each tenth of `total`, or nothing where the total is unknown. Where it is known,
    a line has a bar. `note` says what is worth showing of the latest item.
    """
    if sys.stderr.isatty():
        return _redrawn(iterable, total, label, note)
    return _logged(iterable, total, label, note) if total else iter(iterable)


def _redrawn(
    iterable: Iterable[Item], total: int | None, label: str, note: Note[Item] | None
) -> Iterator[Item]:
    drawn = time.monotonic()
    done, said = 0, ""
    try:
        for done, item in enumerate(iterable, start=1):
            yield item
            said = f", {note(item)}" if note else ""
            if time.monotonic() - drawn >= _REDRAW_SECONDS:
                drawn = time.monotonic()
                line = _line(done, total, label) + said
                print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    finally:
        print(f"\r\033[K{_line(done, total, label)}{said}", file=sys.stderr, flush=True)


def _logged(
    iterable: Iterable[Item], total: int, label: str, note: Note[Item] | None
) -> Iterator[Item]:
    tenths = 0
    for done, item in enumerate(iterable, start=1):
        yield item
        if done * 10 // total > tenths:
            tenths = done * 10 // total
            said = f", {note(item)}" if note else ""
            print(_line(done, total, label) + said, file=sys.stderr, flush=True)


def _line(done: int, total: int | None, label: str) -> str:
    count = f"{done:,}"
    if total:
        filled = min(done * _BAR // total, _BAR)
        bar = "#" * filled + "-" * (_BAR - filled)
        count = f"[{bar}] {done:,} of {total:,} ({done * 100 // total} %)"
    return f"{label}: {count}" if label else count
