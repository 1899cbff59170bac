"""A component's version, made up: what a test needs, without a repository."""

from __future__ import annotations

from typing import Any

from daintree.components import ComponentVersion, VersionedFile
from daintree.spec.component import ComponentSpec


def component_version(name: str, digest: str, *paths: str, **fields: Any) -> ComponentVersion:
    """A version with empty files at these paths below the component's directory; `fields` are further ones, or replace these."""
    plain: dict[str, Any] = {
        "files": tuple(VersionedFile(p, "100644", "", f"components/{name}/{p}") for p in paths),
        "spec": ComponentSpec(),
        "libraries": (),
        "bases": (),
        "platform": "linux/amd64",
        "warnings": (),
    }
    return ComponentVersion(name=name, digest=digest, **{**plain, **fields})
