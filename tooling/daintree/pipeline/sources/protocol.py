"""The seam every kind of source keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from daintree.pipeline.decisions import SourceIdentity


class Source(Protocol):
    """What a pipeline reads. Every method raises SourceError when the source is missing or unreadable."""

    @property
    def url(self) -> str:
        """What a stage is given to read by itself instead of a directory; "" where `files` fills one."""
        ...

    def identify(self) -> SourceIdentity:
        """Its identity, without downloading anything; the digest is None while it would take a download."""
        ...

    def fetch(self) -> SourceIdentity:
        """Its identity with the digest known; what must be downloaded for it is kept in the store."""
        ...

    def files(self, directory: Path) -> Mapping[str, Path]:
        """Fill an empty directory with links to the source's files, for a stage to read.

        Returns where they really are, by their names in the directory; "" stands for a directory as a whole.
        """
        ...

    def unchanged(self) -> bool:
        """Whether the source still is what `identify` or `fetch` said, as far as can be told without hashing it again."""
        ...
