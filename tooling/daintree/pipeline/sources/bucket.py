"""A source in an S3 bucket: known by a listing, and read in place by the stage itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daintree.digest import digest_record
from daintree.errors import SourceError, StoreError, StoreUnavailable
from daintree.pipeline.decisions import SourceIdentity
from daintree.store.bucket import Bucket
from daintree.store.s3 import (
    ENDPOINT_VARIABLES,
    NO_KEYS_HERE,
    SCHEME,
    S3Access,
    is_plain,
    read_s3_access,
)
from daintree.store.transfer import download_listed

if TYPE_CHECKING:
    from obstore import ObjectMeta


class BucketSource:
    """The objects below s3://bucket/prefix, or the one object of that very key.

    Its identity is the digest of what a listing says of each: key, size, ETag and version id.
    """

    def __init__(self, url: str, sha256: str, access: S3Access | None = None) -> None:
        """`access` is that of the environment unless it is given. Raises SourceError for a URL that is no plain s3://bucket/prefix, and for a declared sha256, which no listing can tell."""
        name, _, prefix = url.partition("://")[2].partition("/")
        if not is_plain(name, prefix):
            raise SourceError(
                "an s3:// source has another form than s3://bucket/prefix", hint=NO_KEYS_HERE
            )
        self._prefix = prefix.strip("/")
        self._origin = f"{SCHEME}{name}/{self._prefix}".rstrip("/")
        if sha256:
            raise SourceError(
                f"the source {self._origin} is known by its listing: sha256 cannot be declared of it",
                hint="leave sha256 out",
            )
        self._bucket = Bucket(f"{SCHEME}{name}", access or read_s3_access())
        self._known: SourceIdentity | None = None

    @property
    def url(self) -> str:
        return self._origin

    @property
    def is_object(self) -> bool:
        """True where the URL is that of one object, and nothing lies below it. Raises SourceError where it is both."""
        entries = self._entries()
        alone = [entry for entry in entries if entry["path"] == self._prefix]
        if alone and len(entries) > 1:
            raise SourceError(
                f"the source {self._origin} is an object, and there are objects below it",
                hint="name the one or the others",
            )
        return bool(alone)

    def identify(self) -> SourceIdentity:
        """Lists the objects, once."""
        if self._known is None:
            digest = self._listed()
            self._known = SourceIdentity(digest, digest, self._origin)
        return self._known

    def fetch(self) -> SourceIdentity:
        """The same: nothing is downloaded."""
        return self.identify()

    def files(self, directory: Path) -> dict[str, Path]:
        """The objects that were listed, downloaded: for a stage that reads something else beside them. Raises SourceError when they changed."""
        entries = self._entries()
        if _digest_of(entries) != self.identify().digest:
            raise SourceError(f"the source {self._origin} changed meanwhile", hint="run again")
        alone = any(entry["path"] == self._prefix for entry in entries)
        above = len(self._prefix.rpartition("/")[0] if alone else self._prefix)
        names = {entry["path"][above:].lstrip("/"): entry for entry in entries}
        with self._listing():
            download_listed(self._bucket, names, directory)
        return {"": directory}

    def holds(self, directory: Path) -> bool:
        """False: an output directory is on this machine."""
        return False

    def unchanged(self) -> bool:
        """Lists the objects again."""
        return self._listed() == self.identify().digest

    def _listed(self) -> str:
        entries = self._entries()
        if not entries:
            raise SourceError(
                f"the source {self._origin} holds no object", hint="check the bucket and the prefix"
            )
        return _digest_of(entries)

    def _entries(self) -> list[ObjectMeta]:
        """The objects of the source, without markers of directories."""
        with self._listing():
            objects = {entry["path"]: entry for entry in self._bucket.entries(self._prefix)}
            alone = self._bucket.entry(self._prefix) if self._prefix else []
        # An empty object with others below it is a marker, too.
        return list((objects | {e["path"]: e for e in alone if e["size"] or not objects}).values())

    @contextmanager
    def _listing(self) -> Iterator[None]:
        """Raise SourceErrors for StoreErrors in the block. What a store's message and hint say of a store is not true of a source."""
        try:
            yield
        except StoreError as error:
            reason = re.sub(
                r"^the artifact store \S+ (is not to be had|failed): ", "", error.message
            )
            hint = error.hint or "ask whoever runs the server, with this message"
            if isinstance(error, StoreUnavailable):
                hint = f"check the endpoint ({', '.join(ENDPOINT_VARIABLES)}) and the network"
            elif "--make-bucket" in hint:
                hint = "check the name of the bucket, and the endpoint"
            raise SourceError(
                f"the source {self._origin} cannot be listed: {reason}", hint=hint
            ) from None


def _digest_of(entries: Iterable[ObjectMeta]) -> str:
    return digest_record("source-listing", 1, sorted(map(_listing_record, entries)))


def _listing_record(entry: ObjectMeta) -> list[str]:
    version = entry.get("version") or ""
    return [entry["path"], str(entry["size"]), entry["e_tag"] or "", version]
