"""Tables between stages: CSV files with a header line, UTF-8, lines that end in a line feed.

Any text goes through unchanged: commas, quotes, line breaks of every kind and NUL. Everything
streams, so that memory does not grow with the file.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from .errors import StageError

# The csv module refuses cells above 128 KiB by default: a review or a nested value may be longer.
_LONGEST_CELL = sys.maxsize


def table(directory: Path, name: str) -> Path:
    """The path of the file `name` in `directory`.

    Raises StageError, which lists what is there, when that file is missing.
    """
    path = directory / name
    if path.is_file():
        return path
    if not directory.is_dir():
        raise StageError(
            f"{directory}: not a directory", f"the input is a directory that holds {name}"
        )
    there = sorted(entry.name + "/" * entry.is_dir() for entry in directory.iterdir())
    listing = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
    raise StageError(f"{directory}: no file {name}", f"the directory holds {listing or 'nothing'}")


def read_header(path: Path) -> list[str]:
    """The column names of the table at `path`.

    Raises StageError when the header is missing, repeats a name or is not valid CSV in UTF-8.
    """
    _, header = next(numbered_rows(path))
    return header


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of the table at `path` in order, each as {column: cell}.

    Raises StageError with file and line where the file is not a valid table.
    """
    rows = numbered_rows(path)
    _, header = next(rows)
    for _, cells in rows:
        yield dict(zip(header, cells, strict=True))


def numbered_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) for the header and then for each row of the table at `path`.

    The line is the one the row starts on, counted from 1: a cell may hold line breaks. A blank
    line is no row. Each row is as long as the header, the names in the header differ.

    Raises StageError with file and line where the file is not a valid table.
    """
    with path.open(encoding="utf-8-sig", newline="") as text:
        width = 0
        for line, cells in _parsed(path, text):
            if not cells:
                continue
            if not width:
                _check_header(path, cells)
                width = len(cells)
            elif len(cells) != width:
                raise _wrong_length(f"{path}: line {line}", len(cells), width)
            yield line, cells
    if not width:
        raise StageError(f"{path}: no header line", "a table starts with the names of its columns")


def numbered_cells(path: Path, *columns: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, the cells of these columns) for each row of the table at `path`; other columns are ignored.

    Raises StageError when a column is missing, and as `numbered_rows` does.
    """
    rows = numbered_rows(path)
    _, header = next(rows)
    for name in columns:
        if name not in header:
            raise StageError(
                f"{path}: line 1: no column {name!r}", f"there are {', '.join(header)}"
            )
    positions = [header.index(name) for name in columns]
    for line, cells in rows:
        yield line, [cells[position] for position in positions]


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write a table to `path` and return the number of rows, not counting the header.

    Cells are written as `str` writes them, None as an empty cell. The same rows give the same
    bytes on every platform. The file appears under its name only when it is complete: where
    `rows` raises, nothing is left behind.

    Raises StageError with file and row, counted from 1, for a row that is not as long as the
    header and for text that UTF-8 cannot encode; and for a header that is empty or repeats a name.
    """
    _check_header(path, header)
    with _completed(path) as text:
        lines = _LineFeeds(text)
        # Only with this line end does every version of the csv module quote a lone carriage return.
        writer = csv.writer(lines, lineterminator="\r\n")
        writer.writerow(header)
        written = 0
        for written, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise _wrong_length(f"{path}: row {written}", len(row), len(header))
            try:
                writer.writerow(row)
            except UnicodeEncodeError as error:
                raise StageError(f"{path}: row {written}: {_unencodable(error)}") from None
    return written


class _LineFeeds:
    """Receives whole rows from a csv writer and ends each in a line feed alone."""

    def __init__(self, text: TextIO) -> None:
        self._write = text.write

    def write(self, row: str) -> int:
        return self._write(row[:-2] + "\n")


@contextmanager
def _completed(path: Path) -> Iterator[TextIO]:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as text:
            yield text
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _parsed(path: Path, text: TextIO) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(text, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise StageError(
            f"{path}: line {line}: {error}", "cells that hold quotes or line breaks are quoted"
        ) from None
    except UnicodeDecodeError as error:
        raise StageError(
            f"{path}: line {line} or after: not UTF-8 ({error.reason})", "convert it, e.g. by iconv"
        ) from None


def _check_header(path: Path, header: Sequence[str]) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise StageError(f"{path}: line 1: the header repeats the column {repeated[0]!r}")
    if not header:
        raise StageError(f"{path}: a table needs at least one column")


def _wrong_length(place: str, cells: int, columns: int) -> StageError:
    return StageError(
        f"{place}: {cells} cells, but the header has {columns} columns",
        "each row has one cell for each column",
    )


def _unencodable(error: UnicodeEncodeError) -> str:
    return f"{error.object[error.start]!r} cannot be written as UTF-8 ({error.reason})"
