"""Clean the table records.csv: types, missing values, duplicates, k-core. The order stays."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import compress, islice
from pathlib import Path

from k_core import k_core
from rules import Fault, Rules, column_index, column_indexes, column_types
from stageio import StageError, numbered_rows, progress, read_header, run, table, write_rows

_HINTS = {
    "missing": "--on-missing drop (in a pipeline on_missing: drop) leaves such rows out",
    "invalid": "--on-invalid drop (in a pipeline on_invalid: drop) leaves such rows out",
    "duplicate": "--duplicates drop (in a pipeline duplicates: drop) keeps the first of equal rows",
}


def main(
    *,
    input: Path,
    output: Path,
    types: str,
    on_invalid: str,
    required: str,
    on_missing: str,
    duplicates: str,
    user_column: str,
    item_column: str,
    min_user: int,
    min_item: int,
) -> None:
    """Write the rows of `input`/records.csv that are in order to `output`/records.csv.

    Of several equal rows the first stays. With a `min_user` or a `min_item` above 1, the user and
    the item of a row are required, and rows are taken out until every user and item has enough.

    Raises StageError for an unknown column or type, for a row that breaks a rule whose answer is
    "fail" (with its line), and where no row is left.
    """
    source, target = table(input, "records.csv"), output / "records.csv"
    header = read_header(source)
    pair_columns = (user_column, item_column) if max(min_user, min_item) > 1 else ()
    pair = [column_index(header, name) for name in pair_columns]
    rules = Rules(
        header=header,
        types=column_types(header, types),
        required=[*column_indexes(header, required), *pair],
        unique=duplicates != "keep",
    )
    answers = {"missing": on_missing, "invalid": on_invalid, "duplicate": duplicates}
    dropped: Counter[str] = Counter()
    rows = progress(clean(source, rules, answers, dropped), label="rows")
    left = write_rows(target, header, rows)
    if pair:
        before, left = left, keep_core(target, pair, min_user, min_item)
        dropped["outside the k-core"] = before - left
    report(source, left, dropped)


def clean(
    path: Path, rules: Rules, answers: dict[str, str], dropped: Counter[str]
) -> Iterator[list[str]]:
    """Yield the rows of the table at `path` that follow `rules`, and count the others by reason.

    Raises StageError with file and line for a row that breaks a rule whose answer is "fail".
    """
    for line, cells in islice(numbered_rows(path), 1, None):
        try:
            rules.apply(cells)
        except Fault as fault:
            if answers[fault.reason] == "fail":
                raise StageError(f"{path}: line {line}: {fault}", _HINTS[fault.reason]) from None
            dropped[fault.reason] += 1
        else:
            yield cells


def keep_core(path: Path, pair: list[int], min_user: int, min_item: int) -> int:
    """Reduce the table at `path` to its k-core and return the number of rows left.

    `pair` has the indexes of the user's and of the item's column.
    """
    user, item = pair
    rows = islice(numbered_rows(path), 1, None)
    kept = k_core(((cells[user], cells[item]) for _, cells in rows), min_user, min_item)
    if not all(kept):
        body = (cells for _, cells in islice(numbered_rows(path), 1, None))
        write_rows(path, read_header(path), compress(body, kept))
    return sum(kept)


def report(source: Path, left: int, dropped: Counter[str]) -> None:
    """Say on stderr how many rows are left and why others are not.

    Raises StageError where no row is left.
    """
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    if not left:
        raise StageError(f"{source}: no row is left", f"dropped: {reasons or 'none'}")
    print(f"rows kept: {left}, dropped: {reasons or 'none'}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
