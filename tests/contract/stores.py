"""The stores that the contract suite runs over. A new store joins by an entry in STORES."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec

from tooling.store.local import DirectoryStore
from tooling.store.protocol import Store


class Place(Protocol):
    """Where a store under test is, as one machine sees it; a msgspec struct, so that processes can be told of it.

    `read`, `write` and `delete` reach behind the store's back at what is kept in it, by paths of the one layout
    that all stores have: damage is done with them.
    """

    @classmethod
    def make(cls, directory: Path) -> Place:
        """A new, empty store; `directory` is the test's own. Skips the test where this store cannot be had."""
        ...

    def open(self) -> Store:
        """The store, as a new process on this machine opens it."""
        ...

    def elsewhere(self) -> Place:
        """The same store as another machine sees it, which has kept nothing of it yet."""
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a kept file; None where there is none."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Put content in a kept file's place, or make a new file."""
        ...

    def delete(self, path: str) -> None:
        """Remove a kept file."""
        ...


class DirectoryPlace(msgspec.Struct, frozen=True):
    """A directory store: all who share it share the directory."""

    root: str

    @classmethod
    def make(cls, directory: Path) -> DirectoryPlace:
        """A directory that does not exist yet."""
        return cls(str(directory / "store"))

    def open(self) -> Store:
        """As `Place.open`."""
        return DirectoryStore(Path(self.root))

    def elsewhere(self) -> DirectoryPlace:
        """As `Place.elsewhere`."""
        return self

    def read(self, path: str) -> bytes | None:
        """As `Place.read`."""
        file = Path(self.root, path)
        return file.read_bytes() if file.exists() else None

    def write(self, path: str, content: bytes) -> None:
        """As `Place.write`: in place, as whoever ignores that the files are read-only does."""
        file = Path(self.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            file.chmod(0o644)
        file.write_bytes(content)

    def delete(self, path: str) -> None:
        """As `Place.delete`."""
        os.unlink(Path(self.root, path))


STORES: dict[str, type[Place]] = {"directory": DirectoryPlace}
