"""The leave-one-out split as cases: a history, and the item that was bought after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from stageio import StageError, place, read_table, table

Indices = NDArray[np.int64]
Sequences = dict[str, list[int]]


@dataclass(frozen=True)
class Cases:
    """For each case the history, oldest purchase first, and the target, as indices of items."""

    histories: list[Indices]
    targets: Indices

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def lengths(self) -> Indices:
        """The number of purchases in each history."""
        return np.array([len(history) for history in self.histories], dtype=np.int64)


@dataclass(frozen=True)
class Split:
    """The items of the data set with their indices, and the cases to evaluate.

    `train_purchases` holds how often each item was bought in the training part. The history of a
    validation case is the user's training part; that of a test case has the validation purchase
    as well.
    """

    items: dict[str, int]
    users: int
    train_purchases: Indices
    valid: Cases
    test: Cases


def read_split(directory: Path) -> Split:
    """The split that train.csv, valid.csv, test.csv and items.csv in `directory` hold.

    Raises StageError when a file is missing or malformed, names an item that items.csv does not,
    or holds a user out who has no training purchase or more than one purchase held out.
    """
    items = {
        item: row
        for row, item in enumerate(read_table(table(directory, "items.csv"), ["item"])["item"])
    }
    train = _read_sequences(table(directory, "train.csv"), items)
    valid = _read_held_out(table(directory, "valid.csv"), items, train)
    test = _read_held_out(table(directory, "test.csv"), items, train)
    bought = np.fromiter(chain.from_iterable(train.values()), dtype=np.int64)
    before_test = {user: train[user] + valid.get(user, []) for user in test}
    return Split(
        items=items,
        users=len(train),
        train_purchases=np.bincount(bought, minlength=len(items)),
        valid=_cases(train, valid),
        test=_cases(before_test, test),
    )


def _cases(histories: Sequences, targets: Sequences) -> Cases:
    return Cases(
        [np.array(histories[user], dtype=np.int64) for user in targets],
        np.array([target for (target,) in targets.values()], dtype=np.int64),
    )


def _read_sequences(path: Path, items: Mapping[str, int]) -> Sequences:
    purchases = read_table(path, ["user", "item"])
    unknown = ~purchases["item"].isin(items)
    if unknown.any():
        row = unknown.idxmax()
        raise StageError(
            f"{place(path, row)}: item {purchases['item'][row][:40]!r} is not in items.csv",
            "take all files of the split from one run of preprocess",
        )
    rows = purchases["item"].map(items).astype(int)
    return dict(rows.groupby(purchases["user"], sort=False).agg(list))


def _read_held_out(path: Path, items: Mapping[str, int], train: Sequences) -> Sequences:
    held_out = _read_sequences(path, items)
    for user, purchases in held_out.items():
        if user not in train:
            problem = "has no purchase in train.csv"
        elif len(purchases) > 1:
            problem = f"has {len(purchases)} purchases, expected one"
        else:
            continue
        raise StageError(
            f"{path}: user {user[:40]!r} {problem}",
            "take all files of the split from one run of preprocess",
        )
    return held_out
