"""Reads the training part of the split into one sequence a user."""

from __future__ import annotations

from pathlib import Path

from stageio import StageError, numbered_rows


def read_sequences(path: Path) -> list[list[str]]:
    """The items each user bought, in the order of the rows; users in order of first appearance.

    Raises StageError when there is no row, or no column user or item.
    """
    rows = numbered_rows(path)
    _, header = next(rows)
    for name in ("user", "item"):
        if name not in header:
            raise StageError(
                f"{path}: line 1: no column {name!r}", f"there are {', '.join(header)}"
            )
    user, item = header.index("user"), header.index("item")
    sequences: dict[str, list[str]] = {}
    for _, cells in rows:
        sequences.setdefault(cells[user], []).append(cells[item])
    if not sequences:
        raise StageError(f"{path}: no purchases to train on", "check the stages before this one")
    return list(sequences.values())
