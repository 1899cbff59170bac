"""The files that a source consists of: a file, a directory of them, or what a URL gives."""

from __future__ import annotations

import hashlib
import http.client
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from stageio import StageError

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class SourceFile:
    """A local file, and the name that messages call it by."""

    path: Path
    name: str


@contextmanager
def source_files(source: Path | str, sha256: str, spool: Path) -> Iterator[list[SourceFile]]:
    """The files of `source`, in the order of their paths; a str is an http(s) URL.

    Of a directory and all below it, hidden and empty files do not count. What a URL gives lies in
    the directory `spool` until the context ends. With `sha256` ("" for none) the source is one
    file whose bytes, as they are, have that SHA-256 in hexadecimal digits.

    Raises StageError where they do not, and for a URL that cannot be fetched.
    """
    expected = _checked_sha256(sha256)
    if isinstance(source, Path):
        files = local_files(source)
        if expected:
            _check(_only(files, source), expected)
        yield files
    else:
        with tempfile.NamedTemporaryFile(dir=spool, prefix=".download-") as spooled:
            digest = hashlib.sha256()
            for chunk in fetched(source):
                digest.update(chunk)
                spooled.write(chunk)
            spooled.flush()
            file = SourceFile(Path(spooled.name), public_url(source))
            _compare(file.name, digest.hexdigest(), expected)
            yield [file]


def local_files(source: Path) -> list[SourceFile]:
    """The file `source`, or the files below the directory `source`, as `source_files` says."""
    if source.is_file():
        return [SourceFile(source, str(source))]
    return [
        SourceFile(path, str(path.relative_to(source)))
        for path in sorted(source.rglob("*"))
        if path.is_file()
        and path.stat().st_size > 0
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]


def fetched(url: str) -> Iterator[bytes]:
    """Yield the bytes that `url` gives, in pieces.

    Raises StageError when that fails or ends early. The message shows neither query nor password.
    """
    name = public_url(url)
    try:
        request = Request(url, headers={"User-Agent": "load-jsonl"})
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            announced = response.length
            received = 0
            for chunk in iter(partial(response.read, _CHUNK_BYTES), b""):
                received += len(chunk)
                yield chunk
    except HTTPError as error:
        raise StageError(
            f"{name}: the server answers {error.code} {error.reason}",
            "check the URL, and that it may be read without logging in",
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else type(error).__name__
        raise StageError(
            f"{name}: cannot be fetched: {reason}", "check the URL and the network"
        ) from None
    if announced is not None and received != announced:
        raise StageError(
            f"{name}: the connection ended after {received} of {announced} bytes", "try again"
        )


def public_url(url: str) -> str:
    """`url` without query and fragment, which may be a signature: fit for messages.

    Raises StageError for a URL with a user or a password in it, and for what is no URL.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise StageError("--input: not a valid URL", "write http(s)://HOST/PATH") from None
    if "@" in parts.netloc or not parts.hostname:
        raise StageError(
            f"--input: a URL of the form {parts.scheme}://HOST/PATH is needed, without a user name",
            "fetch the file first, by a program that can log in",
        )
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _checked_sha256(text: str) -> str:
    digits = text.strip().lower().removeprefix("sha256:")
    if digits and not re.fullmatch("[0-9a-f]{64}", digits):
        raise StageError(f"--sha256: {text!r} is not a SHA-256", "it has 64 hexadecimal digits")
    return digits


def _only(files: list[SourceFile], source: Path) -> SourceFile:
    if len(files) != 1:
        raise StageError(
            f"{source}: {len(files)} files, but --sha256 is that of one file",
            "leave --sha256 out, or load the files one by one",
        )
    return files[0]


def _check(file: SourceFile, expected: str) -> None:
    with file.path.open("rb") as raw:
        _compare(file.name, hashlib.file_digest(raw, "sha256").hexdigest(), expected)


def _compare(name: str, actual: str, expected: str) -> None:
    if expected and actual != expected:
        raise StageError(
            f"{name}: the SHA-256 is {actual}, not {expected}",
            "the source has changed or is damaged: get it again, or correct --sha256",
        )
