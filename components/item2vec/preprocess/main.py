"""Purchases to one sequence a user, split leave-one-out: the last is the test purchase."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from purchases import Columns, Purchase, read_histories
from stageio import run, table, write_rows

PARTS = ("train", "valid", "test")

Parts = dict[str, Sequence[Purchase]]


def main(
    *,
    input: Path,
    output: Path,
    user_column: str,
    item_column: str,
    time_column: str,
    validation: bool,
) -> None:
    """Split the purchases of records.csv and write one table for each part, items and counts.

    Raises StageError when records.csv is missing, empty or malformed.
    """
    columns = Columns(user=user_column, item=item_column, time=time_column)
    histories = read_histories(table(input, "records.csv"), columns)
    split = {user: leave_one_out(history, validation) for user, history in histories.items()}
    for part in PARTS:
        write_part(output / f"{part}.csv", part, split)
    write_items(output / "items.csv", split)
    write_counts(output / "split.csv", split)
    report(histories)


def leave_one_out(history: Sequence[Purchase], validation: bool) -> Parts:
    """The parts of a user's purchases, oldest first: the last one is test.

    The one before it is valid with `validation`, else it is trained on. A user with fewer than
    three purchases is in the training part only, either way: a query for each of the others needs
    a purchase to start from.
    """
    if len(history) < 3:
        return {"train": history, "valid": (), "test": ()}
    trained = len(history) - (2 if validation else 1)
    return {"train": history[:trained], "valid": history[trained:-1], "test": history[-1:]}


def write_part(path: Path, part: str, split: Mapping[str, Parts]) -> None:
    """Write a row a purchase, sorted by user, each user's oldest first."""
    rows = ((user, item, time) for user, parts in split.items() for item, time in parts[part])
    write_rows(path, ("user", "item", "time"), rows)


def write_items(path: Path, split: Mapping[str, Parts]) -> None:
    """Write every item of the records, sorted, with its number of purchases in training."""
    trained = Counter(purchase.item for parts in split.values() for purchase in parts["train"])
    items = {
        purchase.item for parts in split.values() for part in PARTS for purchase in parts[part]
    }
    rows = ((item, trained[item]) for item in sorted(items))
    write_rows(path, ("item", "train_purchases"), rows)


def write_counts(path: Path, split: Mapping[str, Parts]) -> None:
    """Write for each part how many users, purchases and different items it holds."""
    rows = []
    for part in PARTS:
        sequences = [parts[part] for parts in split.values() if parts[part]]
        items = {purchase.item for sequence in sequences for purchase in sequence}
        rows.append((part, len(sequences), sum(map(len, sequences)), len(items)))
    write_rows(path, ("part", "users", "purchases", "items"), rows)


def report(histories: Mapping[str, Sequence[Purchase]]) -> None:
    """Say on stderr how many purchases there are and which of them are special."""
    lengths = [len(history) for history in histories.values()]
    repeats = sum(len(h) - len({purchase.item for purchase in h}) for h in histories.values())
    short = sum(length < 3 for length in lengths)
    print(
        f"{sum(lengths):,} purchases by {len(lengths):,} users; {short:,} users with fewer than 3 "
        f"are in the training part only; {repeats:,} purchases repeat an item (kept)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
