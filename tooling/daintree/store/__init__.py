"""Artifact stores: where runs, their index, sources and leases are kept, behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable

from daintree.errors import StoreError
from daintree.settings import Settings
from daintree.store.protocol import Store


def open_store(settings: Settings) -> Store:
    """The store that the settings name: a directory's path, or `<scheme>://…`. Nothing is read or written yet.

    Raises StoreError for a scheme that no implementation serves, SettingsError for what reaches no server.
    """
    scheme, mark, _ = settings.store.partition("://")
    implementation = IMPLEMENTATIONS.get(scheme if mark else "")
    if implementation is None:
        raise StoreError(
            f"no artifact store is known for {scheme}://",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to a directory or to s3://bucket",
        )
    return implementation(settings)


def _directory(settings: Settings) -> Store:
    from pathlib import Path

    from daintree.store.directory import DirectoryStore

    return DirectoryStore(Path(settings.store))


def _s3(settings: Settings) -> Store:
    from daintree.store.cache import SharedStore
    from daintree.store.s3 import read_s3_access

    return SharedStore(
        settings.store,
        read_s3_access(),
        settings.cache,
        alone_allowed=settings.when_unavailable == "local",
    )


IMPLEMENTATIONS: dict[str, Callable[[Settings], Store]] = {"": _directory, "s3": _s3}
