"""Artifact stores: where runs, their index, sources and leases are kept, behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable

from tooling.errors import StoreError
from tooling.store.protocol import Store


def open_store(url: str) -> Store:
    """The store at `url`: a directory's path, or `<scheme>://…`. Nothing is read or written yet.

    Raises StoreError for a scheme that no implementation serves.
    """
    scheme, mark, _ = url.partition("://")
    implementation = IMPLEMENTATIONS.get(scheme if mark else "")
    if implementation is None:
        raise StoreError(
            f"no artifact store is known for {scheme}://",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to a directory",
        )
    return implementation(url)


def _directory(path: str) -> Store:
    from pathlib import Path

    from tooling.store.local import DirectoryStore

    return DirectoryStore(Path(path))


def _s3(url: str) -> Store:
    raise StoreError(
        f"the artifact store {url}: s3:// is not supported by this version",
        hint="set DAINTREE_STORE, or store in pyproject.toml, to a directory",
    )


IMPLEMENTATIONS: dict[str, Callable[[str], Store]] = {"": _directory, "s3": _s3}
