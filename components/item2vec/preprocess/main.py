"""Purchases to one sequence a user, split leave-one-out: the last is the test purchase."""

import sys
from pathlib import Path

import pandas as pd
from stageio import StageError, find_columns, place, read_chunks, run, table, write_table

# What fits a 64-bit integer: readers of the output can rely on it.
WHOLE_NUMBER = "-?[0-9]{1,18}"


def main(
    *, input: Path, output: Path,
    user_column: str, item_column: str, time_column: str, validation: bool,
) -> None:  # fmt: skip
    """Split the purchases of records.csv and write one table for each part, items and counts."""
    source = table(input, "records.csv")
    flags = {
        "--user-column": (user_column, "user", "reviewerID"),
        "--item-column": (item_column, "item", "asin"),
        "--time-column": (time_column, "time", "unixReviewTime"),
    }
    columns = find_columns(source, flags)
    purchases = pd.concat(checked(source, rows) for rows in read_chunks(source, columns))
    if purchases.empty:
        raise StageError(f"{source}: no records", "the source, or what clean keeps of it, is empty")
    purchases = purchases.set_axis(["user", "item", "time"], axis="columns")
    # Purchases of one time keep the order of the file.
    purchases = purchases.sort_values(["user", "time"], kind="stable", ignore_index=True)
    parts = leave_one_out(purchases, validation)
    for part, rows in parts.items():
        write_table(output / f"{part}.csv", rows)

    trained = parts["train"]["item"].value_counts()
    items = trained.reindex(sorted(purchases["item"].unique()), fill_value=0).reset_index()
    write_table(output / "items.csv", items.set_axis(["item", "train_purchases"], axis="columns"))
    counts = {part: [*rows[["user", "item"]].nunique(), len(rows)] for part, rows in parts.items()}
    split = pd.DataFrame.from_dict(counts, "index", columns=["users", "items", "purchases"])
    split = split.rename_axis("part").reset_index()
    write_table(output / "split.csv", split[["part", "users", "purchases", "items"]])

    lengths = purchases["user"].value_counts()
    repeats = purchases.duplicated(["user", "item"]).sum()
    print(
        f"{len(purchases):,} purchases by {len(lengths):,} users; {(lengths < 3).sum():,} users with "
        f"fewer than 3 are in the training part only; {repeats:,} purchases repeat an item (kept)",
        file=sys.stderr,
    )


def checked(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of user, item and time, the time as a number. Raises StageError for a row that has none."""
    *ids, time = rows
    for name in ids:
        if (empty := rows[name] == "").any():
            where = place(path, empty.idxmax())
            raise StageError(f"{where}: {name} is empty", "drop such records in clean")
        # An id that occurs often is held once.
        rows[name] = rows[name].map(sys.intern)
    if (wrong := ~rows[time].str.fullmatch(WHOLE_NUMBER)).any():
        where, cell = place(path, wrong.idxmax()), rows[time][wrong.idxmax()]
        raise StageError(
            f"{where}: {time} is not a whole number: {cell[:40]!r}",
            "a time is an integer of at most 18 digits, such as seconds since 1970",
        )
    return rows.astype({time: "int64"})


def leave_one_out(purchases: pd.DataFrame, validation: bool) -> dict[str, pd.DataFrame]:
    """The parts of purchases that are sorted by user and time: each user's last is test.

    The one before it is valid with `validation`, else it is trained on. Users with fewer than three
    purchases are in training only: a query for each of the others needs one to start from.
    """
    users = purchases.groupby("user", sort=False)["user"]
    later, enough = users.cumcount(ascending=False), users.transform("size") >= 3
    test, valid = enough & (later == 0), enough & (later == 1) & validation
    return {"train": purchases[~test & ~valid], "valid": purchases[valid], "test": purchases[test]}


if __name__ == "__main__":
    run(main)
