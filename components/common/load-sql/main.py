"""Load the rows of an SQL query into the table records.csv, every value as fixed text."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from database import connected
from query import is_ordered, read_query
from stageio import StageError, run, write_table
from values import text_of

ROWS_AT_ONCE = 20_000


def main(*, input: Path, output: Path, url_variable: str, null: str, max_unordered: int) -> None:
    """Write the rows of the query in `input`, a file or a directory with one, to `output`/records.csv.

    Raises StageError where the database or the query fails, there is no row, there are too many
    without ORDER BY, or a text equals the one for NULL.
    """
    if not (url := os.environ.get(url_variable, "")):
        hint = f"set it to the database's URL; a component names what it may see in env: [{url_variable}]"
        raise StageError(f"--url-variable: {url_variable} is not set", hint)
    path, query = read_query(input)
    with connected(url, path.name) as execute:
        frames = frames_of(execute(query), null, path.name)
        if not is_ordered(query):
            frames = iter([in_order(frames, max_unordered, path.name)])
        written = write_table(output / "records.csv", frames)
    if not written:
        raise StageError(f"{path.name}: the query gives no row", "run it by hand")
    print(f"records: {written}", file=sys.stderr)


def frames_of(result: Any, null: str, name: str) -> Iterator[pd.DataFrame]:
    """Yield the rows of a result, as it comes from the database, in frames of text."""
    columns = [*result.keys()]
    if repeated := [column for column in columns if columns.count(column) > 1]:
        raise StageError(f"{name}: the column {repeated[0]!r} comes twice", "AS gives it a name")
    before, rows = 0, None
    for rows in result.partitions(ROWS_AT_ONCE):
        texts = pd.DataFrame(map(tuple, rows), columns=columns, dtype=object).map(text_of)
        for column in columns if null else []:
            if (same := texts[column] == null).any():
                problem = f"row {before + same.idxmax() + 1}, column {column}: the text is {null!r}"
                raise StageError(f"{name}: {problem}", "--null gives NULL another text")
        yield texts.fillna(null).astype("str")
        before += len(texts)
    if rows is None:
        yield pd.DataFrame(columns=columns, dtype="str")


def in_order(frames: Iterator[pd.DataFrame], limit: int, name: str) -> pd.DataFrame:
    """All rows, sorted by all columns as text. Raises StageError for more than `limit` rows."""
    parts, count = [], 0
    for frame in frames:
        parts.append(frame)
        count += len(frame)
        if count > limit:
            problem = f"{name}: more than {limit:,} rows, and no ORDER BY"
            raise StageError(problem, "ORDER BY what tells rows apart, or raise --max-unordered")
    rows = pd.concat(parts)
    return rows.sort_values([*rows], ignore_index=True)


if __name__ == "__main__":
    run(main, accepts_url=True)
