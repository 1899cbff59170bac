"""From a specification file's bytes to a document, parsed once.

Parsing takes longer than all the rest that is done with such a file, most of it for importing the parser. So what was
parsed is remembered under the hash of the bytes it was parsed from.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from daintree.spec.document import Document
from daintree.spec.document import Path as KeyPath

# Part of every hash: raised when the same bytes come to mean another document.
_SYNTAX_VERSION = b"1"
_remembered: Path | None = None


class _Remembered(msgspec.Struct, frozen=True, array_like=True):
    """What a document's file in the memory holds."""

    value: Any
    lines: list[tuple[KeyPath, int]]


def remember_documents(directory: Path | None) -> None:
    """From now on keep what is parsed in `directory`, for other processes too; None: remember nothing."""
    global _remembered
    _remembered = directory


def parse_document(content: bytes, where: str) -> Document:
    """Parse a file's bytes: JSON when `where` ends in `.json`, else YAML.

    Raises SpecError, with the line, for anything that is not exactly one well-formed document.
    """
    memory = _memory_of(content, where)
    document = _recall(memory, where)
    if document is None:
        from daintree.spec.syntax import parse

        document = parse(content, where)
        _remember(memory, document)
    return document


def _memory_of(content: bytes, where: str) -> str:
    """The file that this document is remembered in; "" when nothing is remembered."""
    if _remembered is None:
        return ""
    kind = b"json" if where.endswith(".json") else b"yaml"
    digest = hashlib.sha256(b"%s %s\0%s" % (kind, _SYNTAX_VERSION, content)).hexdigest()
    return os.path.join(_remembered, digest)


def _recall(memory: str, where: str) -> Document | None:
    try:
        with open(memory, "rb") as file:
            kept = msgspec.msgpack.decode(file.read(), type=_Remembered)
    except (OSError, msgspec.DecodeError):
        return None
    return Document(where, kept.value, dict(kept.lines))


def _remember(memory: str, document: Document) -> None:
    """Best effort: a memory that cannot be written costs the next process time, nothing else."""
    if not memory:
        return
    kept = msgspec.msgpack.encode(_Remembered(document.value, list(document.lines.items())))
    draft = f"{memory}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(memory), exist_ok=True)
        with open(draft, "xb") as file:
            file.write(kept)
        os.replace(draft, memory)
    except OSError:
        return
