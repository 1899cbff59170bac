"""Reads the training part of the split into one sequence a user."""

from __future__ import annotations

from pathlib import Path

from stageio import StageError, read_ids


def read_sequences(path: Path) -> list[list[str]]:
    """The items each user bought, in the order of the rows; users in order of first appearance.

    Raises StageError when there is no row, or no column user or item.
    """
    purchases = read_ids(path, ["user", "item"])
    if purchases.empty:
        raise StageError(f"{path}: no purchases to train on", "check the stages before this one")
    return purchases.groupby("user", sort=False)["item"].agg(list).tolist()
