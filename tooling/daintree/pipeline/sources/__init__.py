"""A pipeline's source: how it is known without reading it twice, and how a stage gets its files."""

from __future__ import annotations

import os
from pathlib import Path

from daintree.errors import SourceError
from daintree.pipeline.sources.local import LocalSource
from daintree.pipeline.sources.protocol import Source, WebLimits
from daintree.settings import expand_home
from daintree.spec.pipeline import SourceSpec
from daintree.store.store import Store


def open_source(
    spec: SourceSpec,
    directory: Path,
    root: Path,
    store: Store,
    limits: WebLimits = WebLimits(),  # noqa: B008
) -> Source:
    """The source that a pipeline declares: a path or a pattern (relative to `directory`), an http(s):// or an s3:// URL.

    Links are followed within the project at `root`; `limits` hold for URLs. Raises SourceError for other kinds.
    """
    location = spec.location
    scheme, separator, _ = location.partition("://")
    if not separator:
        # A file may be named like that, and one that is not there is said to be missing: ~user without a home is a name.
        home = expand_home if location.partition("/")[0] == "~" else os.path.expanduser
        return LocalSource(directory / home(location), spec, root, store)
    if scheme.lower() in ("http", "https"):
        from daintree.pipeline.sources.http import HttpSource

        return HttpSource(location, spec.sha256, store, limits)
    if scheme.lower() == "s3":
        from daintree.pipeline.sources.bucket import BucketSource
        from daintree.store.s3 import read_s3_access

        return BucketSource(location, spec.sha256, read_s3_access())
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
