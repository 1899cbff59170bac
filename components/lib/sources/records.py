"""Records of a source in frames of text, and those of lines of JSON: each line one object.

A number keeps the text it has in the source, null is an empty cell, a list or an object is compact
JSON. NaN, Infinity and half of a surrogate pair make a line malformed.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from stageio import StageError, write_table

from .files import DAMAGED, unpacked
from .kinds import BINARY, TEXT, check_kind

ROWS_AT_ONCE, BYTES_AT_ONCE, LONGEST_LINE, EXAMPLES = 50_000, 4 << 20, 64 << 20, 5
MARK = "\ufeff"
ENCODING = "convert it by iconv, or load it by common/load-table with its --encoding, e.g. latin-1"
Finish = Callable[[pd.DataFrame], pd.DataFrame]
# (the number of a line, its length, its record or what is wrong with it)
Parsed = Iterator[tuple[int, int, dict[str, Any] | Exception]]


@dataclass
class Records:
    """The records of some files as a table: the columns `chosen`, or all fields but those `dropped`.

    `parse` reads one open file. A malformed line raises StageError with file and line; with `skip`
    it is counted, and StageError raised when more than the share `max_skipped` are. A damaged
    archive counts as one, after the last line that is whole.
    """

    files: Mapping[str, Path]
    parse: Callable[[str, Any], Parsed]
    skip: bool
    max_skipped: float
    chosen: Sequence[str] = ()
    dropped: Sequence[str] = ()
    count: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list)
    fields: dict[str, None] = field(default_factory=dict)

    def write(self, path: Path, finished: Finish = lambda rows: rows) -> None:
        """Write the table, each part of it `finished`, to `path`; the notes say what was skipped.

        The header comes first, so that a field that comes up late takes a second pass.
        """
        while write_table(path, map(finished, self._tables())) != self.count:
            pass
        self.notes += [f"records: {self.count}, malformed lines skipped: {self.skipped}"]

    def _tables(self) -> Iterator[pd.DataFrame]:
        """Yield the columns of the records, nothing more from the first on that brings a new one."""
        columns: list[str] = []
        for rows in self._frames():
            self.fields.update(dict.fromkeys(rows))
            wanted = self.chosen or [name for name in self.fields if name not in self.dropped]
            columns = columns or [*wanted]
            if columns and columns == [*wanted]:
                yield rows.reindex(columns=columns, fill_value="")
        if not columns:
            raise StageError("the records have no fields", "leave at least one field out of --drop")

    def _frames(self) -> Iterator[pd.DataFrame]:
        self.count, self.skipped, self.notes = 0, 0, []
        for name, path in self.files.items():
            batch, number, size = [], 0, 0
            try:
                with unpacked(path) as file:
                    for number, length, record in self.parse(name, file):
                        if isinstance(record, Exception):
                            self._reject(f"{name}: line {number}: {record}")
                            continue
                        batch.append(record)
                        size += length
                        if size > BYTES_AT_ONCE or len(batch) == ROWS_AT_ONCE:
                            yield self._frame(batch)
                            batch, size = [], 0
            except DAMAGED as error:
                if getattr(error, "errno", None):
                    raise
                self._reject(f"{name}: after line {number}: damaged archive: {error}")
            yield self._frame(batch)
        lines = self.count + self.skipped
        if not self.count:
            counts = f"files: {len(self.files)}, malformed lines: {self.skipped}"
            raise StageError(f"not a single record ({counts})", "the source has one record a line")
        if self.skipped > self.max_skipped * lines:
            print(*self.notes, sep="\n", file=sys.stderr)
            problem = f"{self.skipped:,} of {lines:,} lines are malformed"
            raise StageError(problem, f"--max-skipped {self.max_skipped:g} is the share allowed")

    def _reject(self, problem: str) -> None:
        if not self.skip:
            hint = "--on-error skip (in a pipeline on_error: skip) leaves malformed lines out"
            raise StageError(problem, ENCODING if "codec can't decode" in problem else hint)
        self.skipped += 1
        self.notes += [f"skipped: {problem}"] if self.skipped <= EXAMPLES else []

    def _frame(self, records: list[dict[str, Any]]) -> pd.DataFrame:
        self.count += len(records)
        rows = pd.DataFrame(records, dtype="object").fillna("")
        # Files that were joined leave byte order marks, which are in no name.
        for marked in [name for name in rows if MARK in name]:
            cells, name = rows.pop(marked), marked.replace(MARK, "")
            rows[name] = cells.where(cells != "", rows[name]) if name in rows else cells
        for name in rows:
            if pd.api.types.infer_dtype(rows[name], skipna=False) != "string":
                rows[name] = rows[name].map(text)
        return rows


def text(value: object) -> str:
    """A value as the text of a cell: a list, an object, true and false as JSON."""
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return compact(value) if isinstance(value, bool | list | tuple | dict) else str(value)


def json_records(name: str, file: Any, encoding: str = "utf-8") -> Parsed:
    """The record in each line of an open file that is not blank."""
    for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
        if len(line) == LONGEST_LINE:
            problem = f"{name}: line {number}: longer than {LONGEST_LINE >> 20} MiB"
            raise StageError(problem, "the source holds one JSON object a line")
        line = line.removeprefix(MARK.encode())
        try:
            if line and not line.isspace():
                record = parse(line, encoding)
                if number == 1 and [str(v)[:2] for v in record.values()] == ["[{"]:
                    check_kind(name, line, TEXT)
                yield number, len(line), record
        except (ValueError, RecursionError) as error:
            if number == 1:
                check_kind(name, line, BINARY | TEXT)
            problem = str(error).replace(": line 1 column", " at column")
            yield number, len(line), ValueError(f"not JSON: {problem}")


def parse(line: bytes, encoding: str) -> dict[str, Any]:
    """The record in one line. Raises ValueError or RecursionError where it is none."""
    content = line.rstrip(b"\r\n").decode(encoding)
    # Only in a list or an object does it matter which text was a number.
    nested = "[" in content or content.find("{", 1) > 0
    record = decode_nested(content) if nested else decode(content)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, got {content[:20]}")
    if "\\ud" in content or "\\uD" in content:
        compact(record).encode("utf-8")
    return record


class Number(str):
    """The text of a number, told apart from a string by its type."""

    __slots__ = ()


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=refuse).decode
decode_nested = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=refuse).decode
encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def compact(value: object) -> str:
    """A value as JSON without spaces, its numbers as they were written."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(compact, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{encode(k)}:{compact(v)}' for k, v in value.items())}}}"
    return value if isinstance(value, Number) else encode(value)
