"""Sources of pipelines: how each is known without reading it twice, and how a stage gets its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from daintree.errors import SourceError
from daintree.pipeline.decisions import SourceIdentity
from daintree.pipeline.sources.local import LocalSource
from daintree.settings import Settings, expand_home
from daintree.spec.pipeline import SourceSpec
from daintree.store.store import Store


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


def open_source(
    spec: SourceSpec, directory: Path, settings: Settings, store: Store, reader: str = ""
) -> Source:
    """The source that the pipeline `reader` declares: a path or a pattern (relative to `directory`), a URL, or PIPELINE[:STAGE]@NAME.

    Links are followed within the project. Raises SourceError for other kinds, and as the kinds do.
    """
    root = settings.root
    location = spec.location
    scheme, separator, _ = location.partition("://")
    if not separator and "@" in location:
        from daintree.pipeline.sources.named import NamedSource, is_named_source

        if is_named_source(location, directory):
            return NamedSource(location, spec.sha256, root, reader, store)
    if not separator:
        # A file may be named like that, and one that is not there is said to be missing: ~user without a home is a name.
        home = expand_home if location.partition("/")[0] == "~" else os.path.expanduser
        return LocalSource(directory / home(location), spec, root, store)
    if scheme.lower() in ("http", "https"):
        from daintree.pipeline.sources.http import HttpSource
        from daintree.pipeline.sources.web_client import WebLimits

        limits = WebLimits(
            settings.source_max_size, settings.source_timeout, settings.source_redirects
        )
        return HttpSource(location, spec.sha256, store, limits)
    if scheme.lower() == "s3":
        from daintree.pipeline.sources.bucket import BucketSource

        return BucketSource(location, spec.sha256)
    if scheme.lower() == "file":
        from urllib.parse import unquote

        path = unquote(location.partition("://")[2].removeprefix("localhost"))
        if not path.startswith("/"):
            raise SourceError(
                f"the source {location} is not on this machine", hint="write file:///path"
            )
        return LocalSource(Path(path), spec, root, store)
    # The location itself may hold a password.
    raise SourceError(
        f"a source of the kind {scheme}:// cannot be read",
        hint="use a path, http://, https:// or s3://; or copy the objects to a directory first",
    )
