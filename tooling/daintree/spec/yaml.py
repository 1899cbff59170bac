"""YAML and JSON in a strict, bounded syntax.

The YAML read is the 1.2 core schema (`no` and `on` are text, `1e-3` is a number), without aliases and tags, and with
decimal numbers only (`0x1F` and `.inf` are text). In both formats a key given twice, a number beyond 64 bits and
text that no program could be given (a NUL character, half a surrogate pair) are errors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from daintree.errors import SpecError

# The line (from 1) where the value at each path begins.
Lines: TypeAlias = dict[tuple[str | int, ...], int]

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_INT = (1 << 63) - 1
MAX_DIGITS = 40

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def parse(content: bytes, where: str) -> tuple[Any, Lines]:
    """The value of the document in a file's bytes, and its lines: JSON (without lines) when `where` ends in `.json`, else YAML.

    Raises SpecError, with the line, for anything that is not exactly one well-formed document.
    """
    if len(content) > MAX_BYTES:
        raise SpecError(
            f"{where}: {len(content)} bytes are more than such a file may have ({MAX_BYTES})"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecError(f"{where}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None
    control = _UNPRINTABLE.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise SpecError(
            f"{where}:{line}: there is a control character ({control[0]!r}) in the file"
        )
    return _parse_json(text, where) if where.endswith(".json") else _parse_yaml(text, where)


def _parse_json(text: str, where: str) -> tuple[Any, Lines]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                raise ValueError(f"the key {key!r} stands twice in one object")
            table[key] = value
        return table

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=constant,
            parse_int=_number,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        raise SpecError(f"{where}:{error.lineno}: not JSON: {error.msg}") from None
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None
    except RecursionError:
        raise SpecError(f"{where}: nested deeper than {MAX_DEPTH} levels") from None
    _check_json(value, (), where)
    return value, {}


def _check_json(value: Any, path: tuple[str | int, ...], where: str) -> None:
    """Hold JSON to what the YAML builder holds its input to while it reads."""
    if len(path) >= MAX_DEPTH and isinstance(value, list | dict):
        raise SpecError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str) and _UNUSABLE.search(value):
        place = f" (at {'.'.join(map(str, path))})" if path else ""
        raise SpecError(f"{where}{place}: {_unusable(value)}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_json(item, (*path, index), where)
    if isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, path, where)
            _check_json(item, (*path, key), where)


def _parse_yaml(text: str, where: str) -> tuple[Any, Lines]:
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        builder = _Builder(where, loader.get_event)
        return builder.document(), builder.lines
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text, where) from None
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: not YAML: {str(error).splitlines()[0]}") from None


def _not_yaml(error: Any, text: str, where: str) -> SpecError:
    """A YAML syntax error with its line, and the line where what it is about began."""
    mark, began = error.problem_mark or error.context_mark, error.context_mark
    problem = f"not YAML: {error.problem or error.context}"
    if mark is None:
        return SpecError(f"{where}: {problem}")
    # The end of a file counts as a line of its own; people look for it in the last one.
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)
    if "nesting depth" in problem:
        # Newer parsers have a limit of their own, which they meet while they read ahead of the events.
        return SpecError(f"{where}:{line + 1}: nested deeper than {MAX_DEPTH} levels")
    since = f", begun in line {began.line + 1}" if began and began.line < line else ""
    return SpecError(
        f"{where}:{line + 1}: {problem}{since}",
        hint="indent with spaces, not with tabs" if "\t" in lines[line] else "",
    )


class _Builder:
    """Turns YAML's events into plain values, refusing what a bomb is made of.

    It reads events, not nodes, because libyaml composes nodes by recursion without a limit.
    """

    def __init__(self, where: str, next_event: Callable[[], Any]) -> None:
        self.where = where
        self.lines: Lines = {}
        self._next = next_event

    def document(self) -> Any:
        """The value of the one document in the stream; None for an empty stream."""
        self._next()
        event = self._next()
        if type(event).__name__ == "StreamEndEvent":
            return None
        value = self._value(self._next(), ())
        self._next()
        event = self._next()
        if type(event).__name__ != "StreamEndEvent":
            raise self._error(event, "there is a second document in the file")
        return value

    def _error(self, event: Any, problem: str, hint: str = "") -> SpecError:
        return SpecError(f"{self.where}:{event.start_mark.line + 1}: {problem}", hint=hint)

    def _value(self, event: Any, path: tuple[str | int, ...]) -> Any:
        kind = type(event).__name__
        self.lines.setdefault(path, event.start_mark.line + 1)
        if kind == "AliasEvent":
            raise self._error(
                event, "aliases are not allowed here", "write the value out in each place"
            )
        if event.tag not in (None, "!"):
            raise self._error(event, f"the tag {event.tag} is not allowed here")
        if kind == "ScalarEvent":
            return self._scalar(event)
        if len(path) >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        return self._sequence(path) if kind == "SequenceStartEvent" else self._mapping(path)

    def _scalar(self, event: Any) -> bool | int | float | str | None:
        text: str = event.value
        if _UNUSABLE.search(text):
            raise self._error(event, _unusable(text))
        if event.style not in (None, "") or event.tag == "!":
            return text
        try:
            return _plain_scalar(text)
        except ValueError as error:
            raise self._error(event, str(error), "quote it if it is text") from None

    def _sequence(self, path: tuple[str | int, ...]) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()).__name__ != "SequenceEndEvent":
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: tuple[str | int, ...]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while type(event := self._next()).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                raise self._error(event, "a key must be plain text")
            key: str = event.value
            if _UNUSABLE.search(key):
                raise self._error(event, _unusable(key))
            if key in table:
                raise self._error(event, f"the key {key!r} stands twice")
            self.lines[(*path, key)] = event.start_mark.line + 1
            table[key] = self._value(self._next(), (*path, key))
        return table


def _plain_scalar(text: str) -> bool | int | float | str | None:
    """A plain scalar's value in YAML 1.2's core schema. Raises ValueError for a number that is too large."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return _number(text) if _FLOAT.match(text) else text


def _number(text: str) -> int | float:
    """The number that decimal digits mean. Raises ValueError, its text for the reader, when it is too large."""
    whole = _INT.match(text) is not None
    if whole and len(text) <= MAX_DIGITS and abs(count := int(text)) <= MAX_INT:
        return count
    if not whole and math.isfinite(amount := float(text)):
        return amount
    shown = text if len(text) <= MAX_DIGITS else text[:MAX_DIGITS] + "…"
    raise ValueError(f"the number {shown} is too large")


def _unusable(text: str) -> str:
    character = "a NUL character" if "\0" in text else "half a surrogate pair"
    return f"{character} cannot stand in text"
