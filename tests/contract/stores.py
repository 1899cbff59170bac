"""The stores that the contract suite runs over. A new store joins by an entry in STORES."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Protocol

import msgspec

from daintree.store.bucket import Bucket
from daintree.store.s3 import S3Access
from daintree.store.store import Store, directory_store, shared_store
from tests.services.minio import running_server


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

    def other_machine(self) -> Place:
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
        return directory_store(Path(self.root))

    def other_machine(self) -> DirectoryPlace:
        """As `Place.other_machine`."""
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


class BucketPlace(msgspec.Struct, frozen=True):
    """A bucket on a real MinIO with a cache in front: machines share the bucket, each has a cache of its own."""

    url: str
    access: S3Access
    caches: str
    machine: int = 0

    @classmethod
    def make(cls, directory: Path) -> BucketPlace:
        """A fresh bucket; the store is below a prefix in it."""
        server = running_server()
        return cls(f"s3://{server.bucket()}/a/prefix", server.access, str(directory))

    def open(self) -> Store:
        """As `Place.open`; leases that run out soon, so that tests need not wait long."""
        cache = Path(self.caches, f"cache-{self.machine}")
        return shared_store(self.url, self.access, cache, lease_seconds=LEASE_SECONDS)

    def other_machine(self) -> BucketPlace:
        """As `Place.other_machine`."""
        return msgspec.structs.replace(self, machine=next(MACHINES))

    def read(self, path: str) -> bytes | None:
        """As `Place.read`."""
        content = self._bucket.get_many([path])[0]
        return content if isinstance(content, bytes) else None

    def write(self, path: str, content: bytes) -> None:
        """As `Place.write`."""
        self._bucket.put(path, content)

    def delete(self, path: str) -> None:
        """As `Place.delete`."""
        self._bucket.delete([path])

    @property
    def _bucket(self) -> Bucket:
        return Bucket(self.url, self.access)


LEASE_SECONDS = 2.0
MACHINES = itertools.count(1)
STORES: dict[str, type[Place]] = {"bucket": BucketPlace, "directory": DirectoryPlace}
