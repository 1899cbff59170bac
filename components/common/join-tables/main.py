"""Join the tables records.csv of two stages by keys."""

import sys
from pathlib import Path

import pandas as pd
from stageio import (
    StageError,
    check_columns,
    names,
    read_chunks,
    read_table,
    run,
    table,
    write_table,
)

# Made for the join: NUL keeps it apart from the columns of a table.
ROW = "\0row"


def main(*, input: Path, output: Path, left: str, right: str, keys: str, kind: str) -> None:
    """Write the rows of `left` with the columns of `right` to `output`/records.csv.

    Raises StageError for a key that a table lacks, columns of one name that are no keys, and where
    no row is left.
    """
    pairs = [entry.partition("=") for entry in names("--keys", keys)]
    renamed = {(other or key).strip(): key.strip() for key, _, other in pairs}
    if len(pairs) > min(len(renamed), len({*renamed.values()})):
        raise StageError(f"--keys: {keys!r} has a column twice", "each is in one key")
    leading, other = table(input / left, "records.csv"), table(input / right, "records.csv")
    header = check_columns(leading, renamed.values(), "--keys")
    check_columns(other, renamed, "--keys")
    partners = read_table(other).rename(columns=renamed)
    shared = [name for name in header if [*partners].count(name) > (name in renamed.values())]
    if shared or not renamed:
        problem = f"a column of both tables that is no key: {shared[0]!r}" if renamed else "no key"
        raise StageError(f"--keys: {problem}", "name the keys; rename columns in common/load-table")

    partners[ROW] = partners.index
    alone, met = 0, pd.Series(False, index=partners.index)

    def joined(rows: pd.DataFrame) -> pd.DataFrame:
        nonlocal alone
        both = rows.merge(partners, on=[*renamed.values()], how="left")
        lonely = both[ROW].isna()
        alone += int(lonely.sum())
        met[both[ROW].dropna().astype(int)] = True
        return (both[~lonely] if kind == "inner" else both).drop(columns=ROW).fillna("")

    written = write_table(output / "records.csv", map(joined, read_chunks(leading)))
    counts = f"rows without a partner: {alone} of {left}, {(~met).sum()} of {right}"
    if not written:
        raise StageError("no row is left", counts)
    print(f"rows: {written}; {counts}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
