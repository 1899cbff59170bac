"""Small objects of a bucket with a cache's behind them: what the bucket does not have, the cache may."""

from __future__ import annotations

from collections.abc import Sequence

from daintree.store.objects import Objects
from daintree.store.reach import Reach


class LayeredObjects:
    """`Objects` that are read from both layers, the bucket's first, and written to the bucket where that can be."""

    def __init__(self, far: Objects, near: Objects, reach: Reach) -> None:
        self._far, self._near, self._reach = far, near, reach

    def get(self, paths: Sequence[str]) -> list[bytes | None]:
        """As `Objects.get`."""
        nothing: list[bytes | None] = [None for _ in paths]
        found = self._reach.ask(lambda: self._far.get(paths), nothing)
        return [
            self._near.get([path])[0] if content is None else content
            for path, content in zip(paths, found, strict=True)
        ]

    def create(self, path: str, content: bytes) -> bool:
        """As `Objects.create`."""
        return self._reach.tell(
            lambda: self._far.create(path, content), lambda: self._near.create(path, content)
        )

    def put(self, path: str, content: bytes) -> None:
        """As `Objects.put`."""
        self._reach.tell(
            lambda: self._far.put(path, content), lambda: self._near.put(path, content)
        )

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        """As `Objects.replace`."""
        return self._reach.tell(
            lambda: self._far.replace(path, old, new), lambda: self._near.replace(path, old, new)
        )

    def list(self, prefix: str) -> list[str]:
        """As `Objects.list`."""
        nothing: list[str] = []
        far = self._reach.ask(lambda: self._far.list(prefix), nothing)
        return [*{*far, *self._near.list(prefix)}]
