"""A sign of life on stderr for a loop that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_REDRAW_SECONDS = 0.2


def progress(iterable: Iterable[Item], total: int | None = None, label: str = "") -> Iterator[Item]:
    """Yield the items of `iterable` unchanged and show on stderr how far it is.

    A terminal gets one line that is redrawn. Elsewhere, such as in a stage's log, there is one
    plain line for each tenth of `total`, or nothing where the total is unknown.
    """
    if sys.stderr.isatty():
        return _redrawn(iterable, total, label)
    return _logged(iterable, total, label) if total else iter(iterable)


def _redrawn(iterable: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    drawn = time.monotonic()
    done = 0
    try:
        for done, item in enumerate(iterable, start=1):
            yield item
            if time.monotonic() - drawn >= _REDRAW_SECONDS:
                drawn = time.monotonic()
                print(f"\r{_line(done, total, label)}", end="", file=sys.stderr, flush=True)
    finally:
        print(f"\r{_line(done, total, label)}", file=sys.stderr, flush=True)


def _logged(iterable: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    tenths = 0
    for done, item in enumerate(iterable, start=1):
        yield item
        if done * 10 // total > tenths:
            tenths = done * 10 // total
            print(_line(done, total, label), file=sys.stderr, flush=True)


def _line(done: int, total: int | None, label: str) -> str:
    count = f"{done:,} of {total:,} ({done * 100 // total} %)" if total else f"{done:,}"
    return f"{label}: {count}" if label else count
