"""A file behind a URL, and the source that it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from daintree.errors import SourceError
from daintree.pipeline.sources import open_source
from daintree.pipeline.sources.protocol import Source, WebLimits
from daintree.spec.pipeline import SourceSpec
from daintree.store.records import FileEntry, artifact_of
from daintree.store.store import Store

CONTENT = b'{"a": 1}\n'
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = {"ETag": '"one"'}


def at(url: str, store: Store, sha256: str = "", **limits: Any) -> Source:
    """A fresh source, as every run opens one, but without pauses between attempts."""
    return open_source(
        SourceSpec(location=url, sha256=sha256),
        Path("/nowhere"),
        Path("/nowhere"),
        store,
        WebLimits(backoff=0, **limits),
    )


def digest_of(name: str, content: bytes = CONTENT) -> str:
    """The digest of a source of this one file."""
    return artifact_of([FileEntry(name, len(content), hashlib.sha256(content).hexdigest())]).digest


def complaint(url: str, store: Store, sha256: str = "", **limits: Any) -> SourceError:
    """What is said when it is fetched in vain."""
    with pytest.raises(SourceError) as failure:
        at(url, store, sha256, **limits).fetch()
    return failure.value
