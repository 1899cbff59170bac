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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlretrieve

from stageio import StageError

URL = re.compile(r"(https?://(?:\[[0-9a-f:]+\]|[^/?#@:]+)(?::\d+)?(?:/[^?#]*)?)(?:[?#].*)?", re.I)

PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# With an error number, an OSError is of the disk.
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def unpacked(path: Path) -> Any:
    """The open file, or what is packed in it: gzip, bz2, xz, a zip of one file, by content."""
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PK\3\4"):
        archive = zipfile.ZipFile(path)
        members = [m for m in archive.infolist() if not m.is_dir() and shown(m.filename)]
        if len(members) != 1 or members[0].flag_bits & 1:
            kind = "with a password" if len(members) == 1 else f"of {len(members)} files"
            hint = "unpack it, and load the files of one table"
            raise StageError(f"{path.name}: a zip archive {kind}", hint)
        return archive.open(members[0])
    opened: Callable[..., Any] = open
    for magic, open_packed in PACKED.items():
        opened = open_packed if start.startswith(magic) else opened
    return opened(path, "rb")


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
            full = {name: p for name, p in below.items() if p.is_file() and p.stat().st_size}
            files = {name: path for name, path in full.items() if shown(name)}
        if sha256:
            check_sha256(files, sha256.strip().lower().removeprefix("sha256:"))
        yield files


def shown(name: str) -> bool:
    """False for a hidden file or directory and for markers such as `_SUCCESS`."""
    return not re.search("(^|/)[._]", name)


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
