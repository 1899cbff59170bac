"""Records of a source in frames of text, and those of lines of JSON: each line one object.

A number keeps the text it has in the source, null is an empty cell, a list or an object is compact
JSON. NaN, Infinity and half of a surrogate pair make a line malformed.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import pandas as pd
from stageio import StageError, write_table

from .files import DAMAGED, unpacked
from .kinds import BINARY, TEXT, check_kind

ROWS_AT_ONCE, BYTES_AT_ONCE, LONGEST_LINE, EXAMPLES = 50_000, 4 << 20, 64 << 20, 5
MARK = "\ufeff"

# (the number of a line, its length, its record or what is wrong with it)
Parsed = Iterator[tuple[int, int, dict[str, str] | Exception]]


@dataclass
class Records:
    """The records of some files as a table: the columns `chosen`, or all fields but those `dropped`.

    A malformed line raises StageError with file and line; with `skip_malformed` it is counted, and
    StageError raised when more than the share `max_skipped` are. A damaged archive counts as one,
    after the last line that is whole. `parse` reads one file.
    """

    files: Mapping[str, Path]
    parse: Callable[[str, Path], Parsed]
    skip_malformed: bool
    max_skipped: float
    chosen: Sequence[str] = ()
    dropped: Sequence[str] = ()
    count: int = 0
    skipped: int = 0
    examples: list[str] = field(default_factory=list)
    fields: dict[str, None] = field(default_factory=dict)

    def write(
        self, path: Path, finished: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    ) -> list[str]:
        """Write the table, each part of it `finished`, to `path`; returns what there is to be told.

        The header comes first, so that a field that comes up late takes a second pass.
        """
        while write_table(path, map(finished, self._columns())) != self.count:
            pass
        counts = f"records: {self.count}, malformed lines skipped: {self.skipped}"
        return [*self.examples, counts]

    def _columns(self) -> Iterator[pd.DataFrame]:
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
        self.count, self.skipped, self.examples = 0, 0, []
        for name, path in self.files.items():
            batch, number, size = [], 0, 0
            try:
                for number, length, record in self.parse(name, path):
                    if isinstance(record, Exception):
                        self._reject(f"{name}: line {number}: {record}")
                    else:
                        batch.append(record)
                        size += length
                        self.count += 1
                    if size > BYTES_AT_ONCE or len(batch) == ROWS_AT_ONCE:
                        yield frame_of(batch)
                        batch, size = [], 0
            except DAMAGED as error:
                if getattr(error, "errno", None):
                    raise
                self._reject(f"{name}: after line {number}: damaged archive: {error}")
            yield frame_of(batch)
        self._check()

    def _reject(self, problem: str) -> None:
        if not self.skip_malformed:
            hint = "--on-error skip (in a pipeline on_error: skip) leaves malformed lines out"
            raise StageError(problem, hint)
        self.skipped += 1
        self.examples += [f"skipped: {problem}"] if self.skipped <= EXAMPLES else []

    def _check(self) -> None:
        counts = f"files: {len(self.files)}, malformed lines: {self.skipped}"
        if not self.count:
            raise StageError(f"not a single record ({counts})", "the source has one record a line")
        if self.skipped > self.max_skipped * (self.skipped + self.count):
            print(*self.examples, sep="\n", file=sys.stderr)
            problem = f"{self.skipped:,} of {self.skipped + self.count:,} lines are malformed"
            raise StageError(problem, f"--max-skipped {self.max_skipped:g} is the share allowed")


def frame_of(records: list[dict[str, str]]) -> pd.DataFrame:
    """A frame of records; byte order marks, which files that were joined leave, are in no name."""
    rows = pd.DataFrame(records, dtype="str").fillna("")
    if not any(MARK in name for name in rows):
        return rows
    return frame_of([{k.replace(MARK, ""): cell for k, cell in r.items()} for r in records])


def json_records(name: str, path: Path) -> Parsed:
    """The record in each line of a file that is not blank."""
    with unpacked(path) as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
            if len(line) == LONGEST_LINE:
                problem = f"{name}: line {number}: longer than {LONGEST_LINE >> 20} MiB"
                raise StageError(problem, "the source holds one JSON object a line")
            line = line.removeprefix(MARK.encode())
            if line and not line.isspace():
                try:
                    record = parse(line)
                    if number == 1 and [cell[:2] for cell in record.values()] == ["[{"]:
                        check_kind(name, line, TEXT)
                    yield number, len(line), record
                except (ValueError, RecursionError) as error:
                    if number == 1:
                        check_kind(name, line, BINARY | TEXT)
                    problem = str(error).replace(": line 1 column", " at column")
                    yield number, len(line), ValueError(f"not JSON: {problem}")


def parse(line: bytes) -> dict[str, str]:
    """The record in one line: {field: cell}. Raises ValueError or RecursionError where it is none."""
    text = line.rstrip(b"\r\n").decode("utf-8")
    # Only in a list or an object does it matter which text was a number.
    nested = "[" in text or text.find("{", 1) > 0
    record = decode_nested(text) if nested else decode(text)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, got {text[:20]}")
    cells = {name: v if isinstance(v, str) else compact(v, null="") for name, v in record.items()}
    if "\\u" in text and re.search(r"\\u[dD]", text):
        "".join((*cells, *cells.values())).encode("utf-8")
    return cells


class Number(str):
    """The text of a number, told apart from a string by its type."""


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=refuse).decode
decode_nested = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=refuse).decode
encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def compact(value: object, null: str = "null") -> str:
    """A value as JSON without spaces, its numbers as they were written."""
    if isinstance(value, list):
        return f"[{','.join(map(compact, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{encode(k)}:{compact(v)}' for k, v in value.items())}}}"
    return null if value is None else str(value) if isinstance(value, Number) else encode(value)
