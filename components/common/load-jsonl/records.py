"""Records from lines of JSON: each line one object, each object a record of text.

A number keeps the text it has in the source, null is an empty cell, a list or an object is compact
JSON. NaN, Infinity and half of a surrogate pair make a line malformed.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import NoReturn

import pandas as pd
from stageio import StageError

BYTES_AT_ONCE, LONGEST_LINE, EXAMPLES = 4 << 20, 64 << 20, 5


@dataclass
class JsonLines:
    """The records of some files in frames of text, a column for each field; can be read again.

    A malformed line raises StageError with file and line; with `skip_malformed` it is counted. A
    damaged gzip file counts as one, after the last line that is whole. Blank lines are no records.
    """

    files: Mapping[str, Path]
    skip_malformed: bool
    count: int = 0
    skipped: int = 0
    examples: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.count, self.skipped, self.examples = 0, 0, []
        for name, path in self.files.items():
            batch, number, size = [], 0, 0
            try:
                for number, line in numbered_lines(name, path):
                    try:
                        batch.append(parse(line))
                    except (ValueError, RecursionError) as error:
                        problem = str(error).replace(": line 1 column", " at column")
                        self._reject(f"{name}: line {number}: not JSON: {problem}", line)
                    size += len(line)
                    if size > BYTES_AT_ONCE:
                        yield self._frame(batch)
                        batch, size = [], 0
            except (EOFError, BadGzipFile, zlib.error) as error:
                self._reject(f"{name}: after line {number}: damaged gzip file: {error}", b"")
            yield self._frame(batch)

    def _frame(self, batch: list[dict[str, str]]) -> pd.DataFrame:
        self.count += len(batch)
        return pd.DataFrame(batch, dtype="str").fillna("")

    def _reject(self, problem: str, line: bytes) -> None:
        if not self.skip_malformed:
            hint = "--on-error skip (in a pipeline on_error: skip) leaves malformed lines out"
            if line.lstrip().startswith(b"["):
                hint = "write a JSON array as one object a line, e.g. with jq -c '.[]'"
            raise StageError(problem, hint)
        self.skipped += 1
        self.examples += [problem] if self.skipped <= EXAMPLES else []


def numbered_lines(name: str, path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, plain or gzip, that are not blank, counted from 1."""
    with path.open("rb") as raw:
        file = GzipFile(fileobj=raw) if raw.peek(2).startswith(b"\x1f\x8b") else raw
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
            if len(line) == LONGEST_LINE:
                problem = f"{name}: line {number}: longer than {LONGEST_LINE >> 20} MiB"
                raise StageError(problem, "the source holds one JSON object a line")
            # Where files were joined, each has left its byte order mark.
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line and not line.isspace():
                yield number, line


def parse(line: bytes) -> dict[str, str]:
    """The record in one line: {field: cell}. Raises ValueError or RecursionError where it is none."""
    text = line.rstrip(b"\r\n").decode("utf-8")
    record = decode(text)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, got {text[:20]}")
    cells = {name: v if isinstance(v, str) else compact(v, null="") for name, v in record.items()}
    if "\\ud" in text or "\\uD" in text:
        "".join((*cells, *cells.values())).encode("utf-8")
    return cells


class Number(str):
    """The text of a number, told apart from a string by its type."""


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


decode = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=refuse).decode
encode = json.JSONEncoder(ensure_ascii=False).encode


def compact(value: object, null: str = "null") -> str:
    """A value as JSON without spaces, its numbers as they were written."""
    if isinstance(value, list):
        return f"[{','.join(map(compact, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{encode(k)}:{compact(v)}' for k, v in value.items())}}}"
    return null if value is None else str(value) if isinstance(value, Number) else encode(value)
