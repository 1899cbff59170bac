"""The records of one file: delimited text, lines of JSON or Parquet, told apart by their content."""

import codecs
import csv
import difflib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from sources import BINARY, MARK, Parsed, check_kind, json_records, unpacked
from stageio import StageError, names

UNIT_SEPARATOR, LONGEST_CELL = "\x1f", 64 << 20


@dataclass(frozen=True)
class Format:
    """How delimited text is written; without a `header` its first line is the header."""

    delimiter: str
    quotes: bool
    header: list[str]
    encoding: str
    columns: Sequence[str]

    @classmethod
    def of(cls, given: Mapping[str, Any], columns: Sequence[str]) -> Self:
        """The format that parameters describe. Raises StageError for no delimiter or encoding."""
        delimiter = {"tab": "\t", r"\t": "\t"}.get(given["delimiter"], given["delimiter"])
        if not delimiter or {*delimiter} & {*'\r\n"'}:
            raise StageError(f"--delimiter: {delimiter!r} is none", "such as ',', tab or '::'")
        try:
            encoding = codecs.lookup(given["encoding"]).name
            "".encode(encoding)
        except LookupError as error:
            raise StageError(f"--encoding: {error}", "such as utf-8, latin-1, cp1252") from None
        quotes = {"auto": delimiter in ",;"}.get(given["quotes"], given["quotes"] == "yes")
        return cls(delimiter, quotes, names("--names", given["names"]), encoding, columns)


def records_of(kind: Format, name: str, path: Path) -> Parsed:
    """The records of a file with the numbers of their lines.

    Raises StageError for a file whose kind cannot be read, named for what it is.
    """
    with unpacked(path) as file:
        start = file.read(4096)
    if start.startswith(b"PAR1"):
        yield from parquet_records(kind, name, path)
    elif start.lstrip(MARK.encode() + b" \t\r\n").startswith((b"{", b"[")):
        yield from json_records(name, path)
    else:
        if not kind.encoding.startswith(("utf-16", "utf-32")):
            check_kind(name, start, BINARY)
        yield from delimited_records(kind, name, path)


def delimited_records(kind: Format, name: str, path: Path) -> Parsed:
    """The rows of delimited text, each as long as the header."""
    csv.field_size_limit(LONGEST_CELL)
    with unpacked(path) as file:
        text = io.TextIOWrapper(file, encoding=kind.encoding, newline="")
        single = kind.delimiter if len(kind.delimiter) == 1 else UNIT_SEPARATOR
        # Where files were joined, each has left its byte order mark.
        lines = (
            line.removeprefix(MARK).replace(kind.delimiter, single)
            for line in iter(partial(text.readline, LONGEST_CELL), "")
        )
        quoting = csv.QUOTE_MINIMAL if kind.quotes else csv.QUOTE_NONE
        reader = csv.reader(lines, delimiter=single, quoting=quoting, strict=True)
        header, number = kind.header, 1
        check_columns(kind, name, header)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                # A quote that nothing closes takes all lines after it.
                yield from ((line, 0, error) for line in range(number, reader.line_num + 1))
                number = reader.line_num + 1
                continue
            except UnicodeError as error:
                problem = f"{name}: line {number} or after: {error}"
                raise StageError(problem, "--encoding names the encoding, e.g. latin-1") from None
            if cells is None:
                return
            if cells and kind.delimiter != single:
                cells = [cell.replace(single, kind.delimiter) for cell in cells]
            if cells and not header:
                header = cells
                check_header(kind, name, header)
                check_columns(kind, name, header)
            elif cells:
                if number == 1:
                    check_width(kind, name, header, cells)
                yield number, sum(map(len, cells)), row(kind, header, cells)
            number = reader.line_num + 1


def row(kind: Format, header: list[str], cells: list[str]) -> dict[str, str] | Exception:
    """The record of a row, or what is wrong with it."""
    if len(cells) != len(header):
        problem = f"{len(cells)} cells, but there are {len(header)} columns"
        return ValueError(f"{problem} (delimiter {kind.delimiter!r})")
    return dict(zip(header, cells, strict=True))


def check_header(kind: Format, name: str, header: list[str]) -> None:
    """Raise StageError where a header repeats a name, or is one column for a wrong delimiter."""
    if len({*header}) < len(header):
        raise StageError(
            f"{name}: line 1: the header repeats a column", "--names gives other names"
        )
    check_delimiter(name, header)


def check_width(kind: Format, name: str, header: list[str], cells: list[str]) -> None:
    """Raise StageError where the first row of a file without a header is not as --names says."""
    if len(cells) != len(header):
        check_delimiter(name, cells)
        problem = f"{name}: line 1: {len(cells)} cells, but --names gives {len(header)} names"
        raise StageError(problem, f"--names, or --delimiter, which is {kind.delimiter!r}")


def check_delimiter(name: str, cells: list[str]) -> None:
    """Raise StageError for a line that is one cell because the delimiter is another one."""
    for other in ("::", "\t", ";", "|", ","):
        if len(cells) == 1 and other in cells[0]:
            shown = "tab" if other == "\t" else other
            problem = f"{name}: one column, {cells[0][:80]!r}"
            raise StageError(problem, f"--delimiter {shown!r} (in a pipeline delimiter: {shown!r})")


def check_columns(kind: Format, name: str, header: list[str]) -> None:
    """Raise StageError for a column that is to be kept and that a file's header, if any, lacks."""
    for column in kind.columns if header else []:
        if column not in header:
            nearest = difflib.get_close_matches(column, header, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(header)}"
            hint += (
                "; --names is for files without a header" if not (kind.header or nearest) else ""
            )
            raise StageError(f"{name}: no column {column!r}", f"--columns: {hint}")


def parquet_records(kind: Format, name: str, path: Path) -> Parsed:
    """The rows of a Parquet file as text: nothing for null, lists and structures as JSON."""
    from pyarrow import ArrowException, parquet

    number = 0
    try:
        file = parquet.ParquetFile(unpacked(path))
        check_columns(kind, name, file.schema_arrow.names)
        for batch in file.iter_batches(10_000, columns=[*kind.columns] or None):
            for record in batch.to_pylist():
                number += 1
                yield number, 100, {name: text_of(value) for name, value in record.items()}
    except (ArrowException, OSError) as error:
        problem = f"{name}: damaged Parquet after record {number}: {str(error)[:100]}"
        raise StageError(problem, "get the file again") from None


def text_of(value: object) -> str:
    """A value of a Parquet file as the text of a cell."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
