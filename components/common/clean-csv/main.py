"""Clean the table records.csv: types, missing values, duplicates, k-core. The order stays."""

import math
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.util import hash_array
from stageio import StageError, names, place, read_chunks, read_ids, run, table, write_table
from stageio.tables import check_columns, find_columns

TYPES = ("int", "float", "bool", "str")
WHOLE = re.compile(r"([+-]?[0-9]{1,4000})(?:\.0*)?")
DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# Rows of which both hashes are equal have the same cells: the marks differ where a cell ends.
HASHES = {"rows, first hash": "\x1e", "rows, other hash": "\x1f"}
TRUE, FALSE = {"true", "t", "yes", "1", "1.0"}, {"false", "f", "no", "0", "0.0"}


def main(
    *, input: Path, output: Path, missing: str, types: str, required: str, duplicates: str,
    on_invalid: str, on_missing: str, user_column: str, item_column: str, min_user: int, min_item: int,
) -> None:  # fmt: skip
    """Write the rows of `input`/records.csv that are in order to `output`/records.csv.

    For the k-core, the user and the item of a row are required. Raises StageError for an unknown
    column or type, a row that breaks a rule whose answer is "fail", and where no row is left.
    """
    source, target = table(input, "records.csv"), output / "records.csv"
    kinds = column_types(source, types)
    users, items = (user_column, "user", "reviewerID"), (item_column, "item", "asin")
    flags = {"--user-column": users, "--item-column": items}
    pair = find_columns(source, flags) if max(min_user, min_item) > 1 else []
    filled = names("--required", required) + pair
    header = check_columns(source, filled, "--required")
    if len(header) == 1 and (delimiter := re.search(r"::|[;\t|]", header[0])):
        problem = f"{source}: one column, {header[0]!r}, separated by {delimiter[0]!r}"
        raise StageError(problem, "load the file by a connector, and tell it the delimiter")
    answers = {"on_invalid": on_invalid, "on_missing": on_missing, "duplicates": duplicates}
    absent, dropped = names("--missing", missing), Counter[str]()
    left = write_table(target, clean(source, absent, kinds, filled, answers, dropped))
    if pair:
        before, left = left, keep_core(target, pair, min_user, min_item)
        dropped["outside the k-core"] = before - left
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    if not left:
        raise StageError(f"{source}: no row is left", f"dropped: {reasons or 'none'}")
    print(f"rows kept: {left}, dropped: {reasons or 'none'}", file=sys.stderr)


def column_types(path: Path, listing: str) -> dict[str, str]:
    """{column: type} of a list such as "overall:float,unixReviewTime:int". Raises StageError."""
    entries = [entry.rpartition(":") for entry in names("--types", listing)]
    types = {name.strip(): kind.strip() for name, _, kind in entries}
    if len(types) < len(entries) or not {*types.values()} <= {*TYPES}:
        hint = f"each column once; the types are {', '.join(TYPES)}"
        raise StageError(f"--types: {listing!r} is not COLUMN:TYPE, …", hint)
    check_columns(path, types, "--types")
    return types


def clean(path: Path, missing: list, kinds: dict, filled: list, answers: dict, dropped: Counter):
    """Yield the rows of the table at `path` that are in order, and count the others by reason."""

    def without(rows, wrong, rule, reason, problem):
        if wrong.any() and answers[rule] == "fail":
            hint = f"{rule}: drop leaves such rows out (--{rule.replace('_', '-')} drop)"
            raise StageError(f"{place(path, wrong.idxmax())}: {problem}", hint)
        dropped[reason] += int(wrong.sum())
        return rows[~wrong]

    known = KnownRows()
    for rows in read_chunks(path):
        rows = rows.mask(rows.isin(missing), "") if missing else rows
        for name in filled:
            empty = rows[name].str.strip() == ""
            rows = without(rows, empty, "on_missing", "missing", f"{name} is empty")
        for name, kind in kinds.items():
            cells = rows[name].str.strip()
            typed = cells.map({cell: in_type(cell, kind) for cell in cells.unique()})
            problem = f"{name}: {next(iter(cells[typed.isna()]), '')[:40]!r} is no {kind}"
            rows, wrong = rows.assign(**{name: typed}), typed.isna()
            rows = without(rows, wrong, "on_invalid", "invalid", problem)
        if answers["duplicates"] != "keep":
            again = known.repeated(rows)
            rows = without(rows, again, "duplicates", "duplicate", "equal to an earlier row")
        yield rows


class KnownRows:
    """Hash table of rows, two hashes of each: 128 bits instead of a whole review; 0 is a free slot.

    Of ten million rows, two that differ are taken for equal with a probability of 1.5e-25.
    """

    def __init__(self) -> None:
        self.table, self.count = np.zeros((2, 16), "uint64"), 0

    def repeated(self, rows: pd.DataFrame) -> pd.Series:
        """Which rows equal an earlier one; the others are known from now on."""
        cells = [rows[name].to_numpy() for name in rows]
        hashes = np.empty((2, len(rows)), "uint64")
        for number, (key, mark) in enumerate(HASHES.items()):
            joined = np.array([*map(mark.join, zip(*cells, strict=True))], "O")
            hashes[number] = hash_array(joined, hash_key=key, categorize=False).clip(1)
        again = pd.DataFrame(hashes.T, rows.index).duplicated()
        new = hashes[:, ~again]
        while self.count + new.shape[1] > 0.6 * self.table.shape[1]:
            earlier = self.table[:, self.table[0] > 0]
            self.table = np.zeros((2, 2 * self.table.shape[1]), "uint64")
            for part in np.array_split(earlier, self.count // 50_000 + 1, axis=1):
                self._place(part)
        again[~again] = self._place(new)
        self.count += int((~again).sum())
        return again

    def _place(self, hashes: np.ndarray) -> np.ndarray:
        """Enter rows that differ from each other; returns which were there before."""
        (first, other), size = self.table, self.table.shape[1]
        again, rows, step = np.zeros(hashes.shape[1], "bool"), np.arange(hashes.shape[1]), 0
        slots = (hashes[1] % np.uint64(size)).astype("int64")
        while rows.size:
            again[rows] = (first[slots] == hashes[0]) & (other[slots] == hashes[1])
            free = first[slots] == 0
            first[slots[free]], other[slots[free]] = hashes[:, free]
            # Another row may have taken the slot, in this round too: on to the next one.
            left, step = (first[slots] != hashes[0]) | (other[slots] != hashes[1]), step + 1
            rows, hashes, slots = rows[left], hashes[:, left], (slots[left] + step) % size
        return again


def in_type(cell: str, kind: str) -> str | None:
    """The cell in its type's one form, None where it is not of the type; an empty cell always is."""
    if kind == "int" and (whole := WHOLE.fullmatch(cell)):
        return str(int(whole[1]))
    if kind == "float" and DECIMAL.fullmatch(cell) and math.isfinite(float(cell)):
        return repr(float(cell))
    if kind == "bool" and cell.lower() in TRUE | FALSE:
        return "true" if cell.lower() in TRUE else "false"
    return cell if kind == "str" or not cell else None


def keep_core(path: Path, pair: list[str], min_user: int, min_item: int) -> int:
    """Reduce the table at `path` to the k-core of its user and item; returns the rows left."""
    pairs = read_ids(path, pair).apply(lambda ids: pd.factorize(ids)[0])
    core = k_core(pairs.set_axis(["user", "item"], axis="columns"), min_user, min_item)
    kept = pairs.index.isin(core)
    return write_table(path, (rows[kept[rows.index]] for rows in read_chunks(path)))


def k_core(pairs: pd.DataFrame, min_user: int, min_item: int) -> pd.Index:
    """The most rows, of which there is one set, where each user and each item has that many rows."""
    while True:
        users = pairs.groupby("user")["user"].transform("size")
        items = pairs.groupby("item")["item"].transform("size")
        enough = (users >= min_user) & (items >= min_item)
        if enough.all():
            return pairs.index
        pairs = pairs[enough]


if __name__ == "__main__":
    run(main)
