"""A source behind an http(s) URL: fetched once into the store, known by the server's validators afterwards."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
from collections.abc import Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from daintree.digest import digest_record
from daintree.errors import ArtifactRejected, SourceError
from daintree.http_connection import basic_authorization
from daintree.pipeline.decisions import SourceIdentity
from daintree.pipeline.sources import web_client
from daintree.store.layout import check_names
from daintree.store.records import FileEntry, artifact_of
from daintree.store.store import Store

CHUNK = 1 << 20
# For the validators alone, while a plan waits.
HEAD_SECONDS = 60
# A second version of a file may be of the same time as the first, unless that was long ago when the server answered.
SETTLED_SECONDS = 60
# What servers answer that serve GET but not HEAD (signed URLs are for one method).
NO_HEAD = frozenset({403, 405, 501})


class HttpSource:
    """One file behind a URL. User names, passwords and queries of the URL enter no key and no record."""

    def __init__(self, url: str, sha256: str, store: Store, limits: web_client.WebLimits) -> None:
        """Raises SourceError for a URL that is malformed."""
        parts = _split(url)
        self._origin = web_client.without_query(parts)
        address = (
            parts.scheme,
            web_client.host_and_port(parts),
            web_client.quoted(parts.path),
            web_client.quoted(parts.query),
            "",
        )
        self._client = web_client.WebClient(
            urlunsplit(address), self._origin, basic_authorization(parts), limits
        )
        self._has_query = bool(parts.query)
        self._name = _file_name(parts.path)
        self._sha256 = sha256
        self._store = store
        self._known: SourceIdentity | None = None

    @property
    def url(self) -> str:
        return ""

    def identify(self) -> SourceIdentity:
        """Asks the server for its validators (HEAD), unless they count for nothing."""
        if self._known is None:
            answer = None if self._sha256 or self._has_query else self._head()
            identity = self._identity(answer.headers if answer else None)
            digest, final = self._noted(identity)
            self._known = self._identified(identity, digest, answer.url if answer else final)
        return self._known

    def fetch(self) -> SourceIdentity:
        known = self.identify()
        if known.digest is None or self._store.source_path(known.digest) is None:
            self._known = self._download()
        assert self._known is not None
        return self._known

    def files(self, directory: Path) -> Mapping[str, Path]:
        """A link to the file in the store, downloaded again if it is gone from there. Raises SourceError when its bytes changed."""
        digest = self.identify().digest or self.fetch().digest
        assert digest is not None
        path = self._store.source_path(digest)
        if path is None:
            # What was planned for these bytes must not be computed from others.
            if self._download().digest != digest:
                raise SourceError(f"the source {self._origin} changed meanwhile", hint="run again")
            path = self._store.source_path(digest)
        if path is None:
            raise SourceError(f"the source {self._origin} is gone from the store", hint="run again")
        (directory / self._name).symlink_to(path / self._name)
        return {self._name: path / self._name}

    def holds(self, directory: Path) -> bool:
        """False: nothing is written behind a URL."""
        return False

    def unchanged(self) -> bool:
        """True: the stage reads the copy that was fetched."""
        return True

    def _identified(self, identity: str, digest: str | None, final: str) -> SourceIdentity:
        redirected = final if final != self._origin else ""
        return SourceIdentity(identity, digest, self._origin, redirected)

    def _identity(self, headers: Message | None) -> str:
        """From the declared SHA-256; else the strong ETag; else Last-Modified and length; else "" (always fetched).

        A URL with a query is identified by nothing but a declared SHA-256, since its query stays out of keys.
        """
        if self._sha256:
            return digest_record("source-sha256", 1, [self._name, self._sha256])
        if self._has_query or headers is None:
            return ""
        etag = _strong_etag(headers)
        if etag:
            return digest_record("source-etag", 1, [self._origin, etag])
        modified, length = headers.get("Last-Modified"), headers.get("Content-Length")
        if modified and length:
            return digest_record("source-modified", 1, [self._origin, modified, length])
        return ""

    def _note(self, identity: str) -> str:
        return "sources/" + identity.removeprefix("sha256:")

    def _noted(self, identity: str) -> tuple[str | None, str]:
        """(the digest of the file with this identity, the URL that gave it), where they are known."""
        content = self._store.read_note(self._note(identity)) if identity else None
        digest, _, final = (content or b"").decode("utf-8", "replace").partition("\n")
        is_digest = digest.startswith("sha256:") and len(digest) == 71
        return (digest if is_digest else None), final.strip()

    def _head(self) -> web_client.WebResponse | None:
        """The answer with the validators; None when the server does not say them without the file."""

        def attempt(deadline: web_client.Deadline) -> web_client.WebResponse:
            with self._client.open("HEAD", {}, deadline) as response:
                return response

        try:
            return self._client.retry(attempt, min(HEAD_SECONDS, self._client.limits.seconds))
        except web_client.ServerRefused as refused:
            if refused.status in NO_HEAD:
                return None
            raise

    def _download(self) -> SourceIdentity:
        with self._store.stage(f"source-{os.urandom(8).hex()}") as staging:
            with open(staging.output / self._name, "wb") as file:
                download = _Download(self._client, self._origin, file, bool(self._sha256))
                response = self._client.retry(
                    download.attempt, self._client.limits.seconds, lambda: download.size
                )
            sha256 = download.sha256.hexdigest()
            if self._sha256 and sha256 != self._sha256:
                raise SourceError(
                    f"the source {self._origin} is not the file that the pipeline declares",
                    hint=f"declared sha256 {self._sha256}, received {sha256}",
                )
            artifact = artifact_of([FileEntry(self._name, download.size, sha256)])
            self._store.add_source(staging, artifact)
        identity = self._identity(download.headers)
        if identity:
            note = f"{artifact.digest}\n{response.url}"
            self._store.write_note(self._note(identity), note.encode())
        return self._identified(identity or artifact.digest, artifact.digest, response.url)


class _Download:
    """File that is being received: what has come stays, and the next attempt asks for the rest, if the server can tell that it is of the same file.

    `headers` are those of the answer that the file begins with. A file whose digest is `declared` is told by that in the end.
    """

    def __init__(
        self, client: web_client.WebClient, origin: str, file: BinaryIO, declared: bool
    ) -> None:
        self._client, self._origin, self._file = client, origin, file
        self._declared, self._serves_no_parts = declared, False
        self.headers = Message()
        self._total: int | None = None
        self._restart()

    def attempt(self, deadline: web_client.Deadline) -> web_client.WebResponse:
        """Receives the file to its end. Raises TransientFailure when it breaks off."""
        validator = _range_validator(self.headers)
        headers = {"If-Range": validator} if self.size and validator else {}
        if self.size and (validator or self._declared):
            headers["Range"] = f"bytes={self.size}-"
        with self._client.open("GET", headers, deadline) as response:
            continues = self._continues(response)
            if "Range" in headers:
                self._serves_no_parts = not continues
            if not continues:
                self._restart()
                self.headers, self._total = response.headers, response.length
                if response.status in (206, 416):
                    raise web_client.TransientFailure(
                        self._broke_off("the server answers a wrong range")
                    )
            self._check_size(self._total or 0)
            self._receive(response, deadline)
            if self._total is not None and self.size != self._total:
                raise web_client.TransientFailure(self._broke_off(""))
            return response

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.size, self.sha256 = 0, hashlib.sha256()
        self._total = None

    def _continues(self, response: web_client.WebResponse) -> bool:
        """True of an answer that is the rest of the file, exactly from where it broke off."""
        if response.status != 206 or not self.size:
            return False
        given, _, total = response.headers.get("Content-Range", "").partition("/")
        starts_here = given.startswith(f"bytes {self.size}-")
        same_total = self._total is None or total in ("*", str(self._total))
        etag = response.headers.get("ETag", "")
        same_file = not etag or etag == self.headers.get("ETag", etag)
        if starts_here and self._total is None and total.isdecimal():
            self._total = int(total)
        return starts_here and same_total and same_file

    def _receive(self, response: web_client.WebResponse, deadline: web_client.Deadline) -> None:
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                reason = "" if isinstance(error, http.client.HTTPException) else str(error)
                raise web_client.TransientFailure(self._broke_off(reason)) from None
            if not deadline.left:
                raise self._client.too_slow()
            if not chunk:
                return
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        self._check_size(self.size + len(chunk))
        try:
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise SourceError(
                f"the source {self._origin} cannot be kept: {error.strerror}",
                hint="the disk is full: free some space" if full else "check the setting store",
            ) from None
        self.sha256.update(chunk)
        self.size += len(chunk)

    def _check_size(self, size: int) -> None:
        most = self._client.limits.size
        if size > most:
            raise SourceError(
                f"the source {self._origin} has more than {most:,} bytes",
                hint="the setting source_max_size is the size that it may have",
            )

    def _broke_off(self, reason: str) -> SourceError:
        size = f"{self.size} of {self._total} bytes" if self._total else f"{self.size} bytes"
        hint = "run again"
        if self._serves_no_parts:
            hint = "the server sends no part of the file: fetch it in another way, and name that copy as the source"
        elif not (self._declared or _range_validator(self.headers)):
            hint = "the server gives no strong ETag to go on by: with `sha256:` of the file in the pipeline, what came is kept"
        return SourceError(
            f"the source {self._origin} broke off after {size}" + (f": {reason}" if reason else ""),
            hint=hint,
        )


def _strong_etag(headers: Message) -> str:
    etag = headers.get("ETag", "")
    return "" if etag.startswith("W/") else etag


def _range_validator(headers: Message) -> str:
    """Value of If-Range: the strong ETag, else a Last-Modified that was no longer new when the server answered; else ""."""
    etag, modified = _strong_etag(headers), headers.get("Last-Modified", "")
    if etag or not modified:
        return etag
    try:
        answered = parsedate_to_datetime(headers.get("Date", ""))
        age = answered.timestamp() - parsedate_to_datetime(modified).timestamp()
    except ValueError:
        return ""
    return modified if age >= SETTLED_SECONDS else ""


def _split(url: str) -> SplitResult:
    """The URL's parts. Raises SourceError, without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        web_client.host_and_port(parts)
    except ValueError:
        raise SourceError(
            "the source's URL is malformed: its host or port cannot be read",
            hint="write http://host[:port]/path or https://host[:port]/path",
        ) from None
    return parts


def _file_name(path: str) -> str:
    """Name of the file in the store: the last part of the URL's path, "source" where that is no name."""
    name = unquote(path.rpartition("/")[2])
    try:
        check_names([name])
    except ArtifactRejected:
        return "source"
    return "source" if "/" in name else name
