"""The files of a source, unpacked by their content: gzip, bz2, xz, a zip of one file."""

import bz2
import gzip
import hashlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stageio import StageError

# With an error number, an OSError is of the disk.
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def zip_open(path: Path, mode: str) -> Any:
    """The one file in a zip archive. Raises StageError where there are others, or a password."""
    archive = zipfile.ZipFile(path)
    members = [m for m in archive.infolist() if not m.is_dir() and shown(m.filename)]
    if {"[Content_Types].xml", "mimetype"} & {*archive.namelist()}:
        raise StageError(f"{path.name}: a workbook of Excel or LibreOffice", "save it as CSV")
    if len(members) != 1 or members[0].flag_bits & 1:
        kind = "with a password" if len(members) == 1 else f"of {len(members)} files"
        hint = "unpack it, and load the files of one table"
        raise StageError(f"{path.name}: a zip archive {kind}", hint)
    return archive.open(members[0])


PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"PK\3\4": zip_open,
}


def source_files(source: Path, sha256: str) -> dict[str, Path]:
    """The files of a source, which is one or a directory, by the names that messages have, in order.

    Of a directory, empty files, hidden ones and markers such as `_SUCCESS` do not count. Raises
    StageError unless `sha256` is "" or that of the one file.
    """
    files = {str(source): source}
    if source.is_dir():
        below = {str(path.relative_to(source)): path for path in sorted(source.rglob("*"))}
        visible = {name: path for name, path in below.items() if shown(name) and path.is_file()}
        files = {name: path for name, path in visible.items() if path.stat().st_size}
    if sha256 and len(files) != 1:
        raise StageError(f"{len(files)} files, but --sha256 is that of one file", "leave it out")
    for name, path in files.items() if sha256 else ():
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != sha256.strip().lower().removeprefix("sha256:"):
            problem = f"{name}: the SHA-256 is {actual}, not {sha256}"
            raise StageError(problem, "get the file again, or correct --sha256")
    return files


def shown(name: str) -> bool:
    """False for a hidden file or directory and for markers such as `_SUCCESS`."""
    return not re.search("(^|/)[._]", name)


def unpacked(path: Path) -> Any:
    """The open file, or what is packed in it. Raises StageError for a zip that is not of one file."""
    with path.open("rb") as file:
        start = file.read(6)
    packed = [opened for magic, opened in PACKED.items() if start.startswith(magic)]
    return [*packed, open][0](path, "rb")
