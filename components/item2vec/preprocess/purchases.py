"""Reads purchases from a table into one history a user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from stageio import StageError, numbered_rows

# What fits a 64-bit integer: readers of the output can rely on it.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


class Columns(NamedTuple):
    """The names of the three columns that make a purchase."""

    user: str
    item: str
    time: str


class Purchase(NamedTuple):
    """An item and when it was bought, in the unit of the records."""

    item: str
    time: int


def read_histories(path: Path, columns: Columns) -> dict[str, list[Purchase]]:
    """Each user's purchases, oldest first, under the users in sorted order.

    Purchases of the same time keep the order of the file; repeated purchases of an item are kept.
    Other columns are ignored.

    Raises StageError when there is no record, when a column is missing, and, with file and line,
    when a user or an item is empty or a time is not a whole number.
    """
    histories: dict[str, list[Purchase]] = {}
    for user, purchase in _purchases(path, columns):
        histories.setdefault(user, []).append(purchase)
    if not histories:
        raise StageError(f"{path}: no records", "the source, or what clean keeps of it, is empty")
    for history in histories.values():
        history.sort(key=attrgetter("time"))
    return dict(sorted(histories.items()))


def _purchases(path: Path, columns: Columns) -> Iterator[tuple[str, Purchase]]:
    rows = numbered_rows(path)
    _, header = next(rows)
    positions = [_position(path, header, name, role) for role, name in columns._asdict().items()]
    # An item bought often is held once.
    items: dict[str, str] = {}
    for line, cells in rows:
        user, item, time = (cells[position] for position in positions)
        place = f"{path}: line {line}"
        for cell, name in ((user, columns.user), (item, columns.item)):
            if not cell:
                raise StageError(f"{place}: {name} is empty", "drop such records in clean")
        yield user, Purchase(items.setdefault(item, item), _time(place, columns.time, time))


def _position(path: Path, header: list[str], name: str, role: str) -> int:
    if name in header:
        return header.index(name)
    raise StageError(
        f"{path}: line 1: no column {name!r}",
        f"--{role}-column names the column of the {role}; there are {', '.join(header)}",
    )


def _time(place: str, column: str, text: str) -> int:
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    shown = text if len(text) <= 40 else text[:40] + "…"
    raise StageError(
        f"{place}: {column} is not a whole number: {shown!r}",
        "a time is an integer of at most 18 digits, such as seconds since 1970",
    )
