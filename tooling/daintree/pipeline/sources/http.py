"""A source behind an http(s) URL: fetched once into the store, known by the server's validators afterwards."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from daintree import __version__
from daintree.digest import digest_record
from daintree.errors import ArtifactRejected, SourceError
from daintree.pipeline.decisions import SourceIdentity
from daintree.store.names import check_names
from daintree.store.protocol import Store
from daintree.store.records import FileEntry, artifact_of

TIMEOUT_SECONDS = 60
CHUNK = 1 << 20
# What a URL's path and query may hold as it is.
SAFE = "/%:@!$&'()*+,;=~-._?"
# What servers answer that serve GET but not HEAD (signed URLs are for one method).
NO_HEAD = frozenset({403, 405, 501})


class _Refused(SourceError):
    """The server answered with an error; `status` is HTTP's."""

    def __init__(self, origin: str, status: int) -> None:
        phrase = http.client.responses.get(status, "")
        super().__init__(
            f"the source {origin} cannot be read: the server answers {status} {phrase}".rstrip()
        )
        self.status = status


class HttpSource:
    """One file behind a URL. User names, passwords and queries of the URL enter no key and no record."""

    def __init__(self, url: str, sha256: str, store: Store) -> None:
        parts, host = _split(url)
        self._request_url = urlunsplit(
            (parts.scheme, host, _quoted(parts.path), _quoted(parts.query), "")
        )
        self._authorization = _authorization(parts)
        self._origin = urlunsplit((parts.scheme, host, parts.path, "", ""))
        self._has_query = bool(parts.query)
        self._name = _file_name(parts.path)
        self._sha256 = sha256
        self._store = store
        self._known: SourceIdentity | None = None

    @property
    def url(self) -> str:
        """Nothing: a stage gets files."""
        return ""

    def identify(self) -> SourceIdentity:
        """Asks the server for its validators (HEAD), unless they count for nothing."""
        if self._known is None:
            identity = self._identity(None if self._sha256 or self._has_query else self._head())
            digest = self._noted(identity)
            self._known = SourceIdentity(identity, digest, self._origin)
        return self._known

    def fetch(self) -> SourceIdentity:
        """Downloads the file into the store, unless it is known and there."""
        known = self.identify()
        if known.digest is None or self._store.source_path(known.digest) is None:
            self._known = self._download()
        assert self._known is not None
        return self._known

    def files(self, directory: Path) -> Mapping[str, Path]:
        """A link to the file kept in the store, downloaded again if it is gone from there."""
        digest = self.identify().digest or self.fetch().digest
        assert digest is not None
        kept = self._store.source_path(digest)
        if kept is None:
            # What was planned for these bytes must not be computed from others.
            if self._download().digest != digest:
                raise SourceError(f"the source {self._origin} changed meanwhile", hint="run again")
            kept = self._store.source_path(digest)
        if kept is None:
            raise SourceError(f"the source {self._origin} is gone from the store", hint="run again")
        (directory / self._name).symlink_to(kept / self._name)
        return {self._name: kept / self._name}

    def unchanged(self) -> bool:
        """True: the stage reads the copy that was fetched."""
        return True

    def _identity(self, headers: http.client.HTTPMessage | None) -> str:
        """From the declared SHA-256; else the strong ETag; else Last-Modified and length; else "" (always fetched).

        A URL with a query is identified by nothing but a declared SHA-256, since its query stays out of keys.
        """
        if self._sha256:
            return digest_record("source-sha256", 1, [self._name, self._sha256])
        if self._has_query or headers is None:
            return ""
        etag = headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            return digest_record("source-etag", 1, [self._origin, etag])
        modified, length = headers.get("Last-Modified"), headers.get("Content-Length")
        if modified and length:
            return digest_record("source-modified", 1, [self._origin, modified, length])
        return ""

    def _note(self, identity: str) -> str:
        return "sources/" + identity.removeprefix("sha256:")

    def _noted(self, identity: str) -> str | None:
        content = self._store.read_note(self._note(identity)) if identity else None
        digest = content.decode("ascii", "replace").strip() if content else ""
        return digest if digest.startswith("sha256:") and len(digest) == 71 else None

    def _head(self) -> http.client.HTTPMessage | None:
        """The validators; None when the server does not say them without the file."""
        try:
            with self._open("HEAD") as response:
                return response.headers
        except _Refused as refused:
            if refused.status in NO_HEAD:
                return None
            raise

    def _open(self, method: str) -> http.client.HTTPResponse:
        """Ask the server. What errors say of URLs is not passed on: it may hold a password or a signature."""
        request = urllib.request.Request(
            self._request_url, method=method, headers={"User-Agent": f"daintree/{__version__}"}
        )
        if self._authorization:
            # Not for wherever the server redirects to.
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(
                request, timeout=TIMEOUT_SECONDS
            )
            return response
        except urllib.error.HTTPError as error:
            error.close()
            raise _Refused(self._origin, error.code) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise SourceError(f"the source {self._origin} cannot be reached: {reason}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise SourceError(
                f"the source {self._origin} cannot be reached: {type(error).__name__}",
                hint="is the URL right?",
            ) from None

    def _download(self) -> SourceIdentity:
        with (
            self._open("GET") as response,
            self._store.stage(f"source-{os.urandom(8).hex()}") as staging,
        ):
            headers = response.headers
            path = staging.output / self._name
            size, sha256 = self._receive(response, path)
            expected = headers.get("Content-Length")
            if expected and expected.isdecimal() and int(expected) != size:
                raise SourceError(
                    f"the source {self._origin} broke off after {size} of {expected} bytes",
                    hint="run again",
                )
            if self._sha256 and sha256 != self._sha256:
                raise SourceError(
                    f"the source {self._origin} is not the file that the pipeline declares",
                    hint=f"declared sha256 {self._sha256}, received {sha256}",
                )
            artifact = artifact_of([FileEntry(self._name, size, sha256)])
            self._store.add_source(staging, artifact)
        identity = self._identity(headers)
        if identity:
            self._store.write_note(self._note(identity), artifact.digest.encode("ascii"))
        return SourceIdentity(identity or artifact.digest, artifact.digest, self._origin)

    def _receive(self, response: IO[bytes], path: Path) -> tuple[int, str]:
        digest = hashlib.sha256()
        size = 0
        try:
            with open(path, "wb") as file:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
        except (OSError, http.client.HTTPException) as error:
            free = shutil.disk_usage(path.parent).free
            raise SourceError(
                f"the source {self._origin} broke off after {size} bytes: {error}",
                hint="the disk is full" if free < CHUNK else "run again",
            ) from None
        return size, digest.hexdigest()


def _split(url: str) -> tuple[SplitResult, str]:
    """(the URL's parts, its host and port). Raises SourceError, without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SourceError(
            "the source's URL is malformed: its host or port cannot be read"
        ) from None
    if not parts.hostname:
        raise SourceError("the source's URL is malformed: there is no host in it")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts, host if port is None else f"{host}:{port}"


def _authorization(parts: SplitResult) -> str:
    """The header that carries the user name and the password in the URL; "" when there are none."""
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")


def _quoted(part: str) -> str:
    """A URL's path or query as a request may hold it; %XX that stands there already stays."""
    return quote(part, SAFE, errors="surrogateescape")


def _file_name(path: str) -> str:
    """What the file is called in the store: the last part of the URL's path, "source" where that is no name."""
    name = unquote(path.rpartition("/")[2])
    try:
        check_names([name])
    except ArtifactRejected:
        return "source"
    return "source" if "/" in name else name
