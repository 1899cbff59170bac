"""Records from lines of JSON: each line one object, each object a record of text cells.

- A number keeps the text it has in the source: 1.10 stays 1.10, and no digit is lost.
- true and false stay as they are, null is an empty cell, a list or an object is compact JSON.
- NaN and Infinity are not JSON and make a line malformed, as does half of a surrogate pair, which
  UTF-8 cannot hold.
- Of a key that an object repeats, the last value counts, as in most JSON parsers.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from gzip import BadGzipFile, GzipFile
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from source import SourceFile
from stageio import StageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 20
# Far above any record, yet a file without line breaks cannot fill the memory.
_LONGEST_LINE = 64 << 20
_EXAMPLES = 5


@dataclass
class JsonLines:
    """The records of some files, in order; may be iterated several times.

    A malformed line raises StageError with file and line number. With `skip_malformed` it is left
    out; `skipped` counts those of the latest iteration and `examples` says what was wrong with the
    first few. A gzip file that is damaged or cut off counts as one malformed line, after the last
    line that is whole. Blank lines are no records.
    """

    files: Sequence[SourceFile]
    skip_malformed: bool
    skipped: int = 0
    examples: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[dict[str, str]]:
        self.skipped = 0
        self.examples.clear()
        for file in self.files:
            yield from self._records(file)

    def _records(self, file: SourceFile) -> Iterator[dict[str, str]]:
        number = 0
        try:
            for number, line in _numbered_lines(file):
                try:
                    record = parse(line)
                except (ValueError, RecursionError) as error:
                    self._reject(f"{file.name}: line {number}: {_reason(error)}", line)
                else:
                    yield record
        except (EOFError, BadGzipFile, zlib.error) as error:
            self._reject(f"{file.name}: after line {number}: damaged gzip file: {error}")

    def _reject(self, problem: str, line: bytes = b"") -> None:
        if not self.skip_malformed:
            hint = "--on-error skip (in a pipeline on_error: skip) leaves malformed lines out"
            if line.lstrip().startswith(b"["):
                hint = "write a JSON array as one object a line, e.g. with jq -c '.[]'"
            raise StageError(problem, hint)
        self.skipped += 1
        if self.skipped <= _EXAMPLES:
            self.examples.append(problem)


def parse(line: bytes) -> dict[str, str]:
    """The record in one line: {field: cell}, in the order of the line.

    Raises ValueError or RecursionError for what is not one JSON object in UTF-8.
    """
    text = line.rstrip(b"\r\n").decode("utf-8")
    record = _decode(text)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, got {text[:20]}")
    cells = {
        name: value if isinstance(value, str) else "" if value is None else _compact(value)
        for name, value in record.items()
    }
    if "\\ud" in text or "\\uD" in text:
        "".join((*cells, *cells.values())).encode("utf-8")
    return cells


class _Number(str):
    """The text of a number, told apart from a string by its type."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_refuse).decode
_encode = json.JSONEncoder(ensure_ascii=False).encode


def _compact(value: object) -> str:
    if isinstance(value, _Number):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(_compact, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_encode(k)}:{_compact(v)}' for k, v in value.items())}}}"
    return _encode(value)


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason} at byte {error.start + 1}"
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair, which is no character"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _numbered_lines(file: SourceFile) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers counted from 1."""
    with file.path.open("rb") as raw:
        read = partial(_unpacked(raw).readline, _LONGEST_LINE)
        for number, line in enumerate(iter(read, b""), start=1):
            if len(line) == _LONGEST_LINE:
                raise StageError(
                    f"{file.name}: line {number}: longer than {_LONGEST_LINE >> 20} MiB",
                    "the source holds one JSON object a line",
                )
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if line and not line.isspace():
                yield number, line


def _unpacked(raw: io.BufferedReader) -> BinaryIO:
    if raw.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] != _GZIP_MAGIC:
        return raw
    return io.BufferedReader(_Gunzip(raw), _BUFFER_BYTES)


class _Gunzip(io.RawIOBase):
    """What a gzip file holds, up to the very place where it turns out to be damaged.

    A GzipFile by itself drops what it has unpacked of the block in which it meets the damage.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._unpacked = GzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        block = memoryview(buffer)
        piece = self._unpacked.read1(len(block))
        block[: len(piece)] = piece
        return len(piece)
