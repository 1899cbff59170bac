"""A file behind a URL, and the source that it is."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from daintree.errors import SourceError
from daintree.pipeline.sources import Source
from daintree.pipeline.sources.http import HttpSource
from daintree.pipeline.sources.web_client import WebLimits
from daintree.store.records import FileEntry, artifact_of
from daintree.store.store import Store

CONTENT = b'{"a": 1}\n'
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = {"ETag": '"one"'}


def at(url: str, store: Store, sha256: str = "", **limits: Any) -> Source:
    """A fresh source, as every run opens one, but without pauses between attempts."""
    return HttpSource(url, sha256, store, WebLimits(backoff=0, **limits))


def digest_of(name: str, content: bytes = CONTENT) -> str:
    """The digest of a source of this one file."""
    return artifact_of([FileEntry(name, len(content), hashlib.sha256(content).hexdigest())]).digest


def complaint(url: str, store: Store, sha256: str = "", **limits: Any) -> SourceError:
    """What is said when it is fetched in vain."""
    with pytest.raises(SourceError) as failure:
        at(url, store, sha256, **limits).fetch()
    return failure.value
