"""The leave-one-out split as cases: a history, and the item that was bought after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stageio import StageError, place, read_ids, table

Indices = NDArray[np.int64]


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

    `held_out` counts the users with a test purchase, of whom the cases may be a sample.
    `train_purchases` holds how often each item was bought in the training part. The history of a
    validation case is the user's training part; that of a test case has the validation purchase
    as well.
    """

    items: dict[str, int]
    users: int
    held_out: int
    train_purchases: Indices
    valid: Cases
    test: Cases


def read_split(directory: Path, max_users: int, seed: int) -> Split:
    """The split that train.csv, valid.csv, test.csv and items.csv in `directory` hold.

    Of more than `max_users` users with a test purchase, as many are drawn by `seed`.

    Raises StageError when a file is missing or malformed, names an item that items.csv does not,
    or holds a user out who has no training purchase or more than one purchase held out.
    """
    names = read_ids(table(directory, "items.csv"), ["item"])["item"]
    items = {item: row for row, item in enumerate(names)}
    train = _read_purchases(table(directory, "train.csv"), items)
    valid = _read_held_out(table(directory, "valid.csv"), items, train)
    test = _read_held_out(table(directory, "test.csv"), items, train)
    drawn = test["user"]
    if len(drawn) > max_users:
        # The order stays.
        drawn = drawn.sample(max_users, random_state=seed).sort_index()
    trained = train[train["user"].isin(drawn)]
    before_test = pd.concat([trained, valid[valid["user"].isin(drawn)]])
    return Split(
        items=items,
        users=train["user"].nunique(),
        held_out=len(test),
        train_purchases=np.bincount(train["item"], minlength=len(items)),
        valid=_cases(trained, valid[valid["user"].isin(drawn)]),
        test=_cases(before_test, test.loc[drawn.index]),
    )


def _cases(histories: pd.DataFrame, targets: pd.DataFrame) -> Cases:
    case = pd.Index(targets["user"]).get_indexer(histories["user"])
    order = case.argsort(kind="stable")
    starts = case[order].searchsorted(np.arange(len(targets) + 1))
    bought = histories["item"].to_numpy()[order]
    # Before the first start stand users that are no case.
    return Cases(np.split(bought, starts)[1:-1], targets["item"].to_numpy())


def _read_purchases(path: Path, items: dict[str, int]) -> pd.DataFrame:
    purchases = read_ids(path, ["user", "item"])
    unknown = ~purchases["item"].isin(items)
    if unknown.any():
        row = unknown.idxmax()
        raise StageError(
            f"{place(path, row)}: item {purchases['item'][row][:40]!r} is not in items.csv",
            "take all files of the split from one run of preprocess",
        )
    return purchases.assign(item=purchases["item"].map(items).astype("int64"))


def _read_held_out(path: Path, items: dict[str, int], train: pd.DataFrame) -> pd.DataFrame:
    held_out = _read_purchases(path, items)
    users = held_out["user"]
    wrong = {
        "has no purchase in train.csv": ~users.isin(train["user"]),
        "has more than one purchase held out": users.duplicated(),
    }
    for problem, rows in wrong.items():
        if rows.any():
            row = rows.idxmax()
            raise StageError(
                f"{place(path, row)}: user {users[row][:40]!r} {problem}",
                "take all files of the split from one run of preprocess",
            )
    return held_out
