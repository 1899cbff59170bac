"""YAML and JSON files that people write: a strict, bounded syntax, and from there to typed values; errors name file and line.

The YAML read is the 1.2 core schema (`no` and `on` are text, `1e-3` is a number), without aliases and tags, and with
decimal numbers only (`0x1F` and `.inf` are text). In both formats a key given twice, a number beyond 64 bits and
text that no program could be given (a NUL character, half a surrogate pair) are errors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from daintree.errors import SpecError
from daintree.terminal import nearest

_Spec = TypeVar("_Spec", bound=msgspec.Struct)

KeyPath: TypeAlias = tuple[str | int, ...]


class Document(msgspec.Struct, frozen=True):
    """A parsed file: its plain value and the line (from 1) where the value at each path begins."""

    where: str
    value: Any
    lines: dict[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        """`file:line` of the nearest value known at or above `path`; `file (at key)` where no line is known."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known)
        if line:
            return f"{self.where}:{line}"
        return f"{self.where} (at {dotted(path)})" if path else self.where


def dotted(path: KeyPath) -> str:
    """A path as people write it, e.g. `stages.0.params`."""
    return ".".join(str(part) for part in path)


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


def parse(content: bytes, where: str) -> Document:
    """The document in a file's bytes: JSON when `where` ends in `.json`, else YAML.

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


def _parse_json(text: str, where: str) -> Document:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                raise SpecError(f"{where}: the key {key!r} stands twice in one object")
            table[key] = value
        return table

    def constant(name: str) -> Any:
        raise SpecError(f"{where}: {name} is not JSON")

    def number(text: str) -> int | float:
        try:
            return _number(text)
        except ValueError as error:
            raise SpecError(f"{where}: {error}") from None

    try:
        value = json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=constant,
            parse_int=number,
            parse_float=number,
        )
    except json.JSONDecodeError as error:
        raise SpecError(f"{where}:{error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise SpecError(f"{where}: nested deeper than {MAX_DEPTH} levels") from None
    document = Document(where, value, {})
    _check_json(value, (), document)
    return document


def _check_json(value: Any, path: KeyPath, document: Document) -> None:
    """Hold JSON to what the YAML builder holds its input to while it reads."""
    if len(path) >= MAX_DEPTH and isinstance(value, list | dict):
        raise SpecError(f"{document.where}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str) and _UNUSABLE.search(value):
        raise SpecError(f"{document.place(path)}: {_unusable(value)}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_json(item, (*path, index), document)
    if isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, path, document)
            _check_json(item, (*path, key), document)


def _parse_yaml(text: str, where: str) -> Document:
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        builder = _Builder(where, loader.get_event)
        return Document(where, builder.document(), builder.lines)
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
        self.lines: dict[KeyPath, int] = {}
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

    def _value(self, event: Any, path: KeyPath) -> Any:
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

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()).__name__ != "SequenceEndEvent":
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
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


# Part of every hash: raised when the same bytes come to mean another document.
_SYNTAX_VERSION = b"1"
_cache: Path | None = None


class _Cached(msgspec.Struct, frozen=True, array_like=True):
    """The content of a document's file in the cache."""

    value: Any
    lines: list[tuple[KeyPath, int]]


def cache_documents(directory: Path | None) -> None:
    """From now on keep parsed documents in `directory`, for other processes too; None: keep none."""
    global _cache
    _cache = directory


def parse_document(content: bytes, where: str) -> Document:
    """Parse a file's bytes, or take the document from the cache: JSON when `where` ends in `.json`, else YAML.

    Raises SpecError, with the line, for anything that is not exactly one well-formed document.
    """
    if _cache is None:
        return parse(content, where)
    kind = b"json" if where.endswith(".json") else b"yaml"
    digest = hashlib.sha256(b"%s %s\0%s" % (kind, _SYNTAX_VERSION, content)).hexdigest()
    file = _cache / digest
    try:
        cached = msgspec.msgpack.decode(file.read_bytes(), type=_Cached)
        return Document(where, cached.value, dict(cached.lines))
    except (OSError, msgspec.DecodeError):
        document = parse(content, where)
    # Best effort: a cache that cannot be written costs the next process time, nothing else.
    with suppress(OSError):
        draft = file.with_name(f"{digest}.{os.getpid()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        lines = list(document.lines.items())
        draft.write_bytes(msgspec.msgpack.encode(_Cached(document.value, lines)))
        draft.replace(file)
    return document


_COMPLAINT = re.compile(r"(?s)(.*?)(?: - at `(\$.*)`)?\Z")
_WORDS = {
    "bool | int | float | str": "text, a number, true or false",
    "bool | int | float | str | null": "text, a number, true or false",
    "object": "a mapping",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}


def convert(document: Document, kind: type[_Spec]) -> _Spec:
    """The document as a `kind`. Raises SpecError with file, line and key where it does not fit."""
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise SpecError(f"{document.place(())}: expected a mapping of keys to values")
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        path = _path_of(error, value, kind)
        text, hint = _split(error)[0], ""
        unknown = re.search(r"(?s)unknown field `(.*)`", text)
        if unknown:
            hint = nearest(unknown[1], _keys(kind, path))
            path = (*path, unknown[1])
            text = f"unknown key {unknown[1]!r}"
        elif "enum value" in text:
            hint = f"a {path[-1]} is one of: {', '.join(_allowed(kind, path))}"
        elif path == ("python",):
            hint = 'in quotes, since 3.10 is the number 3.1: python: "3.12"'
        place = document.place(path)
        key = f" (at {dotted(path)})" if path and document.lines else ""
        raise SpecError(f"{place}: {_plain(text)}{key}", hint=hint) from None


def _keys(kind: type[msgspec.Struct], path: KeyPath) -> list[str]:
    """The keys that the mapping at `path` of a `kind` may have."""
    return [field.name for place in _types_at(kind, path) for field in getattr(place, "fields", ())]


def _allowed(kind: type[msgspec.Struct], path: KeyPath) -> list[str]:
    """The words that the text at `path` of a `kind` may be."""
    return [str(value) for place in _types_at(kind, path) for value in getattr(place, "values", ())]


def _types_at(kind: type[msgspec.Struct], path: KeyPath) -> Sequence[Any]:
    """The types that the value at `path` of a `kind` may have."""
    from msgspec import inspect

    types: Sequence[Any] = [inspect.type_info(kind)]
    for part in path:
        inner = []
        for place in types:
            if isinstance(place, inspect.VarTupleType):
                inner.append(place.item_type)
            elif isinstance(place, inspect.DictType):
                inner.append(place.value_type)
            elif isinstance(place, inspect.StructType):
                inner += [field.type for field in place.fields if field.name == part]
        types = [t for one in inner for t in getattr(one, "types", (one,))]
    return types


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """(problem, msgspec's path to it, e.g. `$.stages[0].params[...]`)"""
    match = _COMPLAINT.match(str(error))
    return (match[1], match[2] or "") if match else (str(error), "")


def _path_of(error: msgspec.ValidationError, value: Any, kind: type[msgspec.Struct]) -> KeyPath:
    """The path of the error. msgspec writes `[...]` for any key of a mapping; the key is found by trying them."""
    path: KeyPath = ()
    for name, index in re.findall(r"\.(\w+)|\[([0-9]+|\.\.\.)\]", _split(error)[1]):
        if index == "...":
            path = (*path, _culprit(error, value, path, kind))
        else:
            path = (*path, int(index) if index else name)
    return path


def _culprit(
    error: msgspec.ValidationError, value: Any, path: KeyPath, kind: type[msgspec.Struct]
) -> str:
    """The first key of the mapping at `path` that leads to the same error by itself."""
    table = value
    for part in path:
        table = table[part]
    for key in table:
        try:
            msgspec.convert(_with_only(value, path, key), type=kind)
        except msgspec.ValidationError as same:
            if str(same) == str(error):
                return str(key)
    return "…"


def _with_only(value: Any, path: KeyPath, key: str) -> Any:
    """`value`, but the mapping at `path` has only this one key."""
    if not path:
        return {key: value[key]}
    copy = value.copy()
    copy[path[0]] = _with_only(value[path[0]], path[1:], key)
    return copy


def _plain(text: str) -> str:
    """msgspec's words, for somebody who writes YAML."""

    def words(match: re.Match[str]) -> str:
        kinds = [match[1]] if match[1] in _WORDS else match[1].split(" | ")
        return " or ".join(_WORDS.get(kind, f"`{kind}`") for kind in kinds)

    missing = re.match(r"Object missing required field `(.+)`", text)
    if missing:
        return f"the key {missing[1]!r} is missing"
    text = re.sub("`([a-z| ]+)`", words, text)
    return text[:1].lower() + text[1:]
