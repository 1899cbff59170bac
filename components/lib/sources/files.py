"""The files of a source: a file, a directory of them, or what a URL gives."""

import bz2
import gzip
import hashlib
import lzma
import re
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlretrieve

from stageio import StageError

URL = re.compile(r"(https?://(?:\[[0-9a-f:]+\]|[^/?#@:]+)(?::\d+)?(?:/[^?#]*)?)(?:[?#].*)?", re.I)

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, or what is packed in them: gzip, bz2, xz, a zip of one file, by content."""
    with path.open("rb") as raw:
        start = raw.peek(6)[:6]
        if start.startswith(b"\x1f\x8b"):
            yield gzip.GzipFile(fileobj=raw)
        elif start.startswith(b"BZh"):
            yield bz2.BZ2File(raw)
        elif start == b"\xfd7zXZ\0":
            yield lzma.LZMAFile(raw)  # noqa: SIM115
        elif start.startswith(b"PK\3\4"):
            with zipfile.ZipFile(raw) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) != 1:
                    problem = f"{path.name}: a zip archive of {len(members)} files"
                    raise StageError(problem, "unpack it, and load the files of one table")
                yield archive.open(members[0])
        else:
            yield raw


@contextmanager
def source_files(source: Path | str, sha256: str, spool: Path) -> Iterator[dict[str, Path]]:
    """The files of `source` by the names that messages call them by, in order; a str is a URL.

    Of a directory, empty files, hidden ones and markers such as `_SUCCESS` do not count. Raises
    StageError for a URL that cannot be fetched, and for a source that is not of this `sha256`.
    """
    with tempfile.NamedTemporaryFile(dir=spool, prefix=".download-") as download:
        if isinstance(source, str):
            files = {fetch(source, download.name): Path(download.name)}
        elif source.is_file():
            files = {str(source): source}
        else:
            below = {str(path.relative_to(source)): path for path in sorted(source.rglob("*"))}
            shown = {name: p for name, p in below.items() if not re.search("(^|/)[._]", name)}
            files = {name: p for name, p in shown.items() if p.is_file() and p.stat().st_size}
        if sha256:
            check_sha256(files, sha256.strip().lower().removeprefix("sha256:"))
        yield files


def fetch(url: str, target: str) -> str:
    """Write what `url` gives to `target`; returns the URL without its query, which may be secret."""
    if not (public := URL.fullmatch(url)):
        raise StageError("--input: a URL is http(s)://HOST/PATH, with no user", "fetch it first")
    socket.setdefaulttimeout(60)
    try:
        urlretrieve(url, target)
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error).strip("<>") if isinstance(error, OSError) else type(error).__name__
        raise StageError(f"{public[1]}: cannot be fetched: {reason}", "check the URL") from None
    return public[1]


def check_sha256(files: dict[str, Path], expected: str) -> None:
    """Raise StageError unless there is one file, of this SHA-256 in hexadecimal digits."""
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise StageError(f"--sha256: {expected!r} is not a SHA-256", "it has 64 hexadecimal digits")
    if len(files) != 1:
        raise StageError(f"{len(files)} files, but --sha256 is that of one file", "leave it out")
    [(name, path)] = files.items()
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise StageError(f"{name}: the SHA-256 is {actual}, not {expected}", "get the file again")
