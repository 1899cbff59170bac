"""Documents that people write, from a file's bytes to typed values; errors name file and line, and parsed documents are remembered."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from daintree.errors import SpecError, nearest

_Spec = TypeVar("_Spec", bound=msgspec.Struct)
_Value = TypeVar("_Value")

KeyPath: TypeAlias = tuple[str | int, ...]


class Document(msgspec.Struct, frozen=True, array_like=True):
    """A parsed file: its plain value and the line (from 1) where the value at each path begins; `where` names it."""

    value: Any
    lines: dict[KeyPath, int]
    where: str = ""

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


# Part of every hash: raised when the same bytes come to mean another document, or a Dockerfile other images.
_SYNTAX_VERSION = b"2"
_cache: Path | None = None


def cache_documents(directory: Path | None) -> None:
    """From now on keep parsed documents in `directory`, for other processes too; None: keep none."""
    global _cache
    _cache = directory


def remembered(key: bytes, kind: Any, make: Callable[[], _Value]) -> _Value:
    """Return what `make` returns, or what it returned to an earlier process under the same key, which holds all that decides it.

    `kind` is the type of that, for msgspec. Raises as `make` does.
    """
    if _cache is None:
        return make()
    file = _cache / hashlib.sha256(b"%s\0%s" % (_SYNTAX_VERSION, key)).hexdigest()
    with suppress(OSError, msgspec.DecodeError):
        content = file.read_bytes()
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            remembered: _Value = msgspec.msgpack.decode(content[32:], type=kind)
            return remembered
    value = make()
    # Best effort: a cache that cannot be written costs the next process time, nothing else.
    with suppress(OSError):
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.msgpack.encode(value)
        draft.write_bytes(hashlib.sha256(encoded).digest() + encoded)
        draft.replace(file)
    return value


def parse_document(content: bytes, where: str) -> Document:
    """Parse a file's bytes, or take the document from the cache: JSON when `where` ends in `.json`, else YAML.

    Raises SpecError, with the line, for anything that is not exactly one well-formed document.
    """

    def parse() -> Document:
        # Imported here: what is remembered is not parsed.
        from daintree.spec import yaml

        return Document(*yaml.parse(content, where))

    syntax = b"json" if where.endswith(".json") else b"yaml"
    document = remembered(b"%s\0%s" % (syntax, content), Document, parse)
    return msgspec.structs.replace(document, where=where)


_COMPLAINT = r"(?s)(.*?)(?: - at `(\$.*)`)?\Z"
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
        elif re.match(r"Expected `array.*, got `str`", text) and isinstance(path[-1], str):
            hint = f"a list stands in brackets: {path[-1]}: [{_value_at(value, path)}]"
        place = document.place(path)
        key = f" (at {dotted(path)})" if path and document.lines else ""
        raise SpecError(f"{place}: {_plain(text)}{key}", hint=hint) from None


def _value_at(value: Any, path: KeyPath) -> Any:
    for part in path:
        value = value[part]
    return value


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
    match = re.match(_COMPLAINT, str(error))
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
    for key in _value_at(value, path):
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
