"""The seam every kind of source keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from daintree.pipeline.decisions import SourceIdentity


class WebLimits(msgspec.Struct, frozen=True):
    """Limits of a source behind a URL: bytes of its file, seconds of its download, hosts that a redirect may lead to though they are not public.

    `backoff` is the first pause in seconds between two attempts.
    """

    size: int = 1 << 40
    seconds: int = 4 * 60 * 60
    redirect_hosts: tuple[str, ...] = ()
    backoff: float = 0.5


class Source(Protocol):
    """A source of a pipeline. Every method raises SourceError when the source is missing or unreadable."""

    @property
    def url(self) -> str:
        """URL that a stage reads by itself instead of a directory; "" where `files` fills one."""
        ...

    def identify(self) -> SourceIdentity:
        """Its identity, without downloading anything; the digest is None while it would take a download."""
        ...

    def fetch(self) -> SourceIdentity:
        """Its identity with the digest known; what must be downloaded for it is kept in the store."""
        ...

    def files(self, directory: Path) -> Mapping[str, Path]:
        """Fill an empty directory with the source's files, or links to them, for a stage to read.

        Returns where they really are, by their names in the directory; "" stands for a directory as a whole.
        """
        ...

    def holds(self, directory: Path) -> bool:
        """True where files that are written into `directory`, an absolute path without links, are part of the source."""
        ...

    def unchanged(self) -> bool:
        """True while the source is what `identify` or `fetch` said, as far as can be told without hashing it again."""
        ...
