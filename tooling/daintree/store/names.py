"""Which names files and places in a store may have; what one store would refuse, all refuse."""

from __future__ import annotations

import re
from collections.abc import Iterable

from daintree.errors import ArtifactRejected, StoreError

MOST_BYTES = 255

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# The directory back end of obstore keeps these names for its own temporary files.
_NUMBERED = re.compile(r"#[0-9]+\Z")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOTE = re.compile(r"[a-z0-9/_.-]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def check_names(paths: Iterable[str]) -> None:
    """Raise ArtifactRejected, naming the file, unless an artifact may hold files of these paths together."""
    standing: dict[str, str] = {}
    for path in paths:
        for segment in path.split("/"):
            reason = _refusal(segment)
            if reason:
                raise ArtifactRejected(
                    f"the file name {path!r} {reason}", hint="give the file another name"
                )
        _check_clash(path, standing)


def check_location(location: str) -> str:
    """The location. Raises StoreError for one that could lead out of the store or into the store's own directories."""
    for segment in location.split("/"):
        reason = _refusal(segment)
        if reason:
            raise StoreError(
                f"the location {location!r} {reason}", hint="look at the prefix setting"
            )
    if location.startswith("_"):
        raise StoreError(
            f"the location {location!r} begins with _, as the store's own directories do",
            hint="look at the prefix setting",
        )
    return location


def check_identifier(kind: str, name: str) -> str:
    """The name of a pipeline, stage or run. Raises StoreError for one that is no safe path segment."""
    if not _IDENTIFIER.fullmatch(name) or len(name) > MOST_BYTES:
        raise StoreError(f"{name!r} cannot name a {kind} in the store")
    return name


def check_note(name: str) -> str:
    """The name of a note. Raises StoreError for one that is no safe path."""
    if not _NOTE.fullmatch(name) or any(_refusal(segment) for segment in name.split("/")):
        raise StoreError(f"{name!r} cannot name a note in the store")
    return name


def hexadecimal(digest: str) -> str:
    """The 64 hex digits of a digest, for a path. Raises StoreError for anything else."""
    if not _DIGEST.fullmatch(digest):
        raise StoreError(f"{digest!r} is no digest")
    return digest[7:]


def _refusal(segment: str) -> str:
    """Why no store takes this path segment; "" when they all do."""
    if segment in ("", ".", ".."):
        return "has an empty, `.` or `..` segment"
    if _CONTROL.search(segment):
        return "has a control character in it"
    if _NUMBERED.search(segment):
        return "has a segment that ends in # and digits"
    try:
        size = len(segment.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    return f"has a segment of more than {MOST_BYTES} bytes" if size > MOST_BYTES else ""


def _check_clash(path: str, standing: dict[str, str]) -> None:
    """Note the path and its parents by their folded names; raise where another one folds to the same."""
    part = path
    while part:
        other = standing.setdefault(_fold(part), part)
        if other != part:
            raise ArtifactRejected(
                f"the file names {other!r} and {part!r} are equal but for case or Unicode form",
                hint="give one of them another name: some file systems cannot hold both",
            )
        part = part.rpartition("/")[0]


def _fold(text: str) -> str:
    """What is left of a name where case and Unicode form do not count."""
    if text.isascii():
        return text.lower()
    from unicodedata import normalize

    return normalize("NFD", normalize("NFD", text).casefold())
