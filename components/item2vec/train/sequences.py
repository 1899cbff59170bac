"""Reads the training part of the split into one sequence a user."""

from __future__ import annotations

from pathlib import Path

from stageio import StageError, numbered_cells


def read_sequences(path: Path) -> list[list[str]]:
    """The items each user bought, in the order of the rows; users in order of first appearance.

    Raises StageError when there is no row, or no column user or item.
    """
    sequences: dict[str, list[str]] = {}
    for _, (user, item) in numbered_cells(path, "user", "item"):
        sequences.setdefault(user, []).append(item)
    if not sequences:
        raise StageError(f"{path}: no purchases to train on", "check the stages before this one")
    return list(sequences.values())
