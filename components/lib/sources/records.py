"""Records of a source in frames of text, and those of lines of JSON: each line one object.

A number keeps the text it has in the source, null is an empty cell, a list or an object is compact
JSON. NaN, Infinity and half of a surrogate pair make a line malformed.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import pandas as pd
from stageio import StageError

from .files import DAMAGED, unpacked

ROWS_AT_ONCE, BYTES_AT_ONCE, LONGEST_LINE, EXAMPLES = 50_000, 4 << 20, 64 << 20, 5
MARK = "\ufeff"
MARK_BYTES = MARK.encode()

# (the number of a line, its length, its record or what is wrong with it)
Parsed = Iterator[tuple[int, int, dict[str, str] | Exception]]


@dataclass
class Records:
    """The records of some files in frames of text, a column for each field; can be read again.

    A malformed line raises StageError with file and line; with `skip_malformed` it is counted, and
    StageError raised when more than the share `max_skipped` are. A damaged archive counts as one,
    after the last line that is whole. `parse` reads one file.
    """

    files: Mapping[str, Path]
    parse: Callable[[str, Path], Parsed]
    skip_malformed: bool
    max_skipped: float
    count: int = 0
    skipped: int = 0
    examples: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[pd.DataFrame]:
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
                    if size > BYTES_AT_ONCE or len(batch) == ROWS_AT_ONCE:
                        yield self._frame(batch)
                        batch, size = [], 0
            except DAMAGED as error:
                self._reject(f"{name}: after line {number}: damaged archive: {error}")
            yield self._frame(batch)
        self._check()

    def _frame(self, batch: list[dict[str, str]]) -> pd.DataFrame:
        self.count += len(batch)
        frame = pd.DataFrame(batch, dtype="str").fillna("")
        if any(MARK in name for name in frame):
            # Files that were joined have left their byte order marks.
            batch = [{name.replace(MARK, ""): cell for name, cell in r.items()} for r in batch]
            frame = pd.DataFrame(batch, dtype="str").fillna("")
        return frame

    def _reject(self, problem: str) -> None:
        if not self.skip_malformed:
            hint = "--on-error skip (in a pipeline on_error: skip) leaves malformed lines out"
            raise StageError(problem, hint)
        self.skipped += 1
        self.examples += [problem] if self.skipped <= EXAMPLES else []

    def _check(self) -> None:
        counts = f"files: {len(self.files)}, malformed lines: {self.skipped}"
        if not self.count:
            raise StageError(f"not a single record ({counts})", "the source has one record a line")
        if self.skipped > self.max_skipped * (self.skipped + self.count):
            print(*(f"skipped: {problem}" for problem in self.examples), sep="\n", file=sys.stderr)
            problem = f"{self.skipped:,} of {self.skipped + self.count:,} lines are malformed"
            raise StageError(problem, f"--max-skipped {self.max_skipped:g} is the share allowed")


def columns_of(
    records: Records, chosen: list[str], dropped: list[str], met: dict[str, None]
) -> Iterator[pd.DataFrame]:
    """Yield the columns of the records, and enter all fields into `met`.

    From the first record on that brings a new column, nothing more is yielded.
    """
    columns: list[str] = []
    for frame in records:
        met.update(dict.fromkeys(frame))
        wanted = chosen or [name for name in met if name not in dropped]
        columns = columns or wanted
        if columns and columns == wanted:
            yield frame.reindex(columns=columns, fill_value="")
    if not columns:
        raise StageError("the records have no fields", "leave at least one field out of --drop")


def json_records(name: str, path: Path) -> Parsed:
    """The record in each line of a file that is not blank."""
    with unpacked(path) as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
            if len(line) == LONGEST_LINE:
                problem = f"{name}: line {number}: longer than {LONGEST_LINE >> 20} MiB"
                raise StageError(problem, "the source holds one JSON object a line")
            line = line.removeprefix(MARK_BYTES)
            if line and not line.isspace():
                try:
                    record = parse(line)
                    if number == 1 and len(record) == 1 and next(iter(record.values()))[:2] == "[{":
                        check_kind(name, line)
                    yield number, len(line), record
                except (ValueError, RecursionError) as error:
                    if number == 1:
                        check_kind(name, line)
                    problem = str(error).replace(": line 1 column", " at column")
                    yield number, len(line), ValueError(f"not JSON: {problem}")


KINDS = {
    rb"\xff\xfe|\xfe\xff": ("UTF-16", "convert it to UTF-8, e.g. by iconv"),
    rb"\x1f\x8b|BZh|\xfd7zXZ|PK\x03\x04": ("packed data in packed data", "unpack it once"),
    rb"PAR1": ("Parquet, not JSON", "load it by common/load-table"),
    rb"\s*\[": ("a JSON array over several lines", "write one object a line: jq -c '.[]'"),
    rb"\s*\{\s*'": ("single-quoted Python records", "write each by json.dumps(literal_eval(line))"),
    rb'\s*\{\s*"[^"]*"\s*:\s*\[': ("a JSON object around a list", "take the list: jq -c '.[][]'"),
    rb"\s*\{\s*$": ("a JSON object over several lines", "write one object a line: jq -c ."),
    rb"[^{]*\t": ("tab-separated, not JSON", "load it by common/load-table, delimiter: tab"),
    rb"[^{]*::": ("separated by ::, not JSON", "load it by common/load-table, delimiter: '::'"),
    rb"[^{]*[,;]": ("comma-separated, not JSON", "load it by common/load-table"),
}


def check_kind(name: str, line: bytes) -> None:
    """Raise StageError for the first line of a file whose kind is another one, known by its start."""
    for start, (kind, hint) in KINDS.items():
        if re.match(start, line):
            raise StageError(f"{name}: {kind}", hint)


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
