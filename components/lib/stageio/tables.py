"""Tables between stages: CSV files with a header, UTF-8, lines that end in a line feed, by pandas.

Every cell is text and comes back as it went in: `0000031852`, `NA`, `1e5`, NUL, line breaks and
quotes. A file is read and written in chunks, so that memory does not grow with it.
"""

from __future__ import annotations

import csv
import difflib
import io
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

import pandas as pd

from .errors import StageError
from .progress import progress

ROWS_AT_ONCE = 50_000

# Text is held the same way with and without pyarrow: only Python's strings hold all of it.
pd.set_option("mode.string_storage", "python")


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


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table at `path`, all cells as text; only `columns`, in this order, where some are given.

    Raises StageError as `read_chunks` does.
    """
    return pd.concat(read_chunks(path, columns))


def read_ids(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of ids of the table at `path`; an id that occurs often is held in memory once.

    Raises StageError as `read_chunks` does.
    """
    return pd.concat(rows.map(sys.intern) for rows in read_chunks(path, columns))


def read_chunks(path: Path, columns: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
    """Yield the table at `path` in frames of ROWS_AT_ONCE rows, at least one, all cells as text.

    The index counts the rows of the whole table from 0. Raises StageError when a column is missing,
    and with the line where the file is not a valid table.
    """
    header = check_columns(path, columns, "the columns that are needed")
    with path.open(encoding="utf-8-sig", newline="") as text, _malformed(path):
        source = _CommaCounter(text)
        # pandas' own way with blank lines loses white space at the edges of its buffers.
        chunks = pd.read_csv(
            source,
            header=0,
            names=header,
            index_col=False,
            usecols=list(columns) or None,
            dtype="str",
            na_filter=False,
            skip_blank_lines=False,
            chunksize=ROWS_AT_ONCE,
            engine="c",
        )
        rows, last = 1, None
        for chunk in chunks:
            rows += len(chunk)
            if last is not None:
                yield last
            last = chunk[list(columns or header)]
        # pandas fills up a row that is too short.
        if source.commas != rows * (len(header) - 1):
            _check_rows(path)
        yield last


def read_header(path: Path) -> list[str]:
    """The column names of the table at `path`.

    Raises StageError when the header is missing, repeats a name or is not valid CSV in UTF-8.
    """
    _, header = next(_parsed(path), (1, []))
    if not header:
        raise StageError(f"{path}: no header line", "a table starts with the names of its columns")
    _check_header(path, header)
    return header


def check_columns(path: Path, columns: Iterable[str], flag: str) -> list[str]:
    """The header of the table at `path`, after a look for `columns`, which `flag` names.

    Raises StageError, which suggests the nearest name or lists the columns, for one that is missing.
    """
    header = read_header(path)
    for name in columns:
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(header)}"
            raise StageError(f"{path}: line 1: no column {name!r}", f"{flag}: {hint}")
    return header


def find_columns(path: Path, wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """For each flag the column it chose, or where that is "" the first that is there of those after it.

    Raises StageError as `check_columns` does.
    """
    header = read_header(path)
    columns = []
    for flag, (chosen, *usual) in wanted.items():
        columns.append(chosen or next((name for name in usual if name in header), usual[0]))
        check_columns(path, columns[-1:], flag)
    return columns


def place(path: Path, row: int) -> str:
    """The file and the line on which a row of a table starts, for messages; rows count from 0."""
    line, _ = next(islice(_parsed(path), row + 1, None))
    return f"{path}: line {line}"


def write_table(path: Path, rows: pd.DataFrame | Iterable[pd.DataFrame]) -> int:
    """Write a table, whole or in chunks of the same columns, to `path`; returns its number of rows.

    The same rows give the same bytes on every platform, however they are cut into chunks. The file
    appears under its name only when it is complete: where `rows` raises, nothing is left behind.

    Raises StageError for columns that repeat a name, and with the line for text that UTF-8 cannot
    encode.
    """
    written, lines = 0, 0
    header: list[str] = []
    with _completed(path) as file:
        chunks = [rows] if isinstance(rows, pd.DataFrame) else rows
        for chunk in progress(chunks, label=f"{path.name}, parts"):
            text = _csv(chunk)
            if not header:
                header = list(chunk.columns)
                _check_header(path, header)
                text = _csv(pd.DataFrame([header])) + text
            elif header != list(chunk.columns):
                problem = f"the columns are {', '.join(chunk.columns)}, not {', '.join(header)}"
                raise StageError(f"{path}: line {lines + 1}: {problem}")
            try:
                file.write(text)
            except UnicodeEncodeError as error:
                line = lines + 1 + text.count("\n", 0, error.start)
                problem = f"{error.object[error.start]!r} cannot be written as UTF-8"
                raise StageError(f"{path}: line {line}: {problem}") from None
            written += len(chunk)
            lines += text.count("\n")
        _check_header(path, header)
    return written


def _csv(rows: pd.DataFrame) -> str:
    if {str(dtype) for dtype in rows.dtypes} <= {"str", "object"}:
        # What pandas writes for text, in three quarters of the time.
        cells = [column.to_numpy("object", na_value="") for _, column in rows.items()]
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator="\n").writerows(zip(*cells, strict=True))
        text = buffer.getvalue()
    else:
        text = rows.to_csv(index=False, header=False, lineterminator="\n")
    if "\r" not in text:
        return text
    # Not every version of the csv module quotes a carriage return, which would end the line.
    returns = rows.astype("str").apply(lambda column: column.str.contains("\r", regex=False))
    quoted = returns.any(axis=1)
    runs = rows.groupby((quoted != quoted.shift()).cumsum())
    return "".join(
        run.to_csv(
            index=False,
            header=False,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if quoted[run.index[0]] else csv.QUOTE_MINIMAL,
        )
        for _, run in runs
    )


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


@contextmanager
def _malformed(path: Path) -> Iterator[None]:
    """Say of a table that pandas cannot read which line is wrong."""
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            yield
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        _check_rows(path)
        raise StageError(f"{path}: {error}") from None


class _CommaCounter:
    """A text file for pandas to read; counts the commas between cells on the way."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._quoted = 0
        self.commas = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._text)

    def read(self, size: int = -1) -> str:
        text = self._text.read(size)
        parts = text.split('"')
        self.commas += "".join(parts[self._quoted :: 2]).count(",")
        self._quoted = (self._quoted + len(parts) - 1) % 2
        return text


def _check_rows(path: Path) -> None:
    """Raise StageError with the line of the first row that is not as long as the header."""
    rows = _parsed(path)
    _, header = next(rows)
    for line, cells in rows:
        if len(cells or [""]) != len(header):
            raise StageError(
                f"{path}: line {line}: {len(cells)} cells, but the header has {len(header)} columns",
                "each row has one cell for each column",
            )


def _parsed(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which a row starts, counted from 1, and its cells: [] for a blank line."""
    # The csv module refuses cells above 128 KiB by default: a review or an id may be longer.
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as text:
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
                f"{path}: line {line} or after: not UTF-8 ({error.reason})",
                "convert it, e.g. by iconv",
            ) from None


def _check_header(path: Path, header: Sequence[str]) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise StageError(f"{path}: line 1: the header repeats the column {repeated[0]!r}")
    if not header:
        raise StageError(f"{path}: a table needs at least one column")
