"""What a row must be like: types of its cells, required cells, no equal row before it."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stageio import StageError

_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_SHOWN_CHARACTERS = 40


class Fault(Exception):
    """How a row breaks a rule; `reason` is "missing", "invalid" or "duplicate"."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


@dataclass
class Rules:
    """The rules for the rows of one table with the columns `header`.

    `types` maps a column's index to its type's name, `required` lists the indexes of the columns
    that may not be empty, `unique` is whether a row may equal one before it. A cell of nothing but
    white space is empty, and an empty cell is of every type.
    """

    header: Sequence[str]
    types: dict[int, str]
    required: Sequence[int]
    unique: bool
    # A digest of each row, not the row: 16 bytes instead of a whole review.
    _seen: set[bytes] = field(default_factory=set)

    def apply(self, cells: list[str]) -> None:
        """Write the typed cells of a row in their type's one form. Raises Fault."""
        for index in self.required:
            if not cells[index] or cells[index].isspace():
                raise Fault("missing", f"{self.header[index]} is empty")
        for index, kind in self.types.items():
            cells[index] = self._typed(index, kind, cells[index].strip())
        if self.unique:
            self._check_new(cells)

    def _typed(self, index: int, kind: str, text: str) -> str:
        try:
            return TYPES[kind](text) if text else ""
        except (ValueError, KeyError):
            shown = text[:_SHOWN_CHARACTERS] + "…" * (len(text) > _SHOWN_CHARACTERS)
            raise Fault("invalid", f"{self.header[index]}: {shown!r} is no {kind}") from None

    def _check_new(self, cells: list[str]) -> None:
        # The lengths keep apart rows whose cells only look alike when joined.
        row = "".join([f"{len(cell)}:{cell}" for cell in cells])
        digest = hashlib.blake2b(row.encode(), digest_size=16).digest()
        if digest in self._seen:
            raise Fault("duplicate", "equal to an earlier row in every column")
        self._seen.add(digest)


def column_index(header: Sequence[str], name: str) -> int:
    """The index of the column `name`.

    Raises StageError, which suggests the nearest name, when `header` lacks it.
    """
    if name in header:
        return header.index(name)
    near = difflib.get_close_matches(name, header, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the columns are {', '.join(header)}"
    raise StageError(f"records.csv: no column {name!r}", hint)


def column_indexes(header: Sequence[str], listing: str) -> list[int]:
    """The indexes of the columns in a list separated by commas; [] for "".

    Raises StageError for a column that `header` lacks.
    """
    names = [name.strip() for name in listing.split(",")] if listing.strip() else []
    return [column_index(header, name) for name in names]


def column_types(header: Sequence[str], listing: str) -> dict[int, str]:
    """{index of column: name of type} of a list such as "overall:float,unixReviewTime:int".

    Raises StageError for a column that `header` lacks or that is repeated, and an unknown type.
    """
    types: dict[int, str] = {}
    for entry in listing.split(",") if listing.strip() else []:
        name, _, kind = entry.rpartition(":")
        if kind.strip() not in TYPES:
            raise StageError(
                f"--types: {entry.strip()!r} is not COLUMN:TYPE",
                f"the types are {', '.join(TYPES)}",
            )
        index = column_index(header, name.strip())
        if index in types:
            raise StageError(f"--types: the column {name.strip()!r} is repeated")
        types[index] = kind.strip()
    return types


def _int(text: str) -> str:
    whole = _WHOLE.fullmatch(text)
    if not whole:
        raise ValueError(text)
    return str(int(whole[1]))


def _float(text: str) -> str:
    if not _DECIMAL.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(text)
    return repr(float(text))


def _bool(text: str) -> str:
    return _BOOLEANS[text.lower()]


TYPES: dict[str, Callable[[str], str]] = {"int": _int, "float": _float, "bool": _bool, "str": str}
