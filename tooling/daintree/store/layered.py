"""Small objects of a bucket with a cache's behind them: what the bucket does not have, the cache may."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from daintree.digest import digest_record, short
from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.bucket import Bucket
from daintree.store.objects import Objects
from daintree.store.protocol import Notes

Result = TypeVar("Result")

PROBE = "_probe"


def prove(bucket: Bucket) -> None:
    """Have the server refuse to create an object that exists. Raises StoreError where it does not."""
    bucket.create(PROBE, b"1")
    if bucket.create(PROBE, b"2"):
        raise StoreError(
            f"{bucket.access.server} ignores If-None-Match: two that publish at once would overwrite each other",
            hint="use a server that honours conditional writes (MinIO, AWS S3), or a key that may only read",
        )


class Reach:
    """Lets actions on a bucket happen, or something else in their place.

    `alone_allowed`: a server that cannot be reached is done without, for the rest of the process. `notes` are this
    machine's; `say` gets a line for people.
    """

    def __init__(
        self, bucket: Bucket, notes: Notes, alone_allowed: bool, say: Callable[[str], None]
    ) -> None:
        self._bucket, self._notes, self._say = bucket, notes, say
        self._alone_allowed = alone_allowed
        self._alone = self._read_only = self._proved = False
        self._lock = threading.Lock()

    def ask(self, action: Callable[[], Result], otherwise: Result) -> Result:
        """What `action` reads from the bucket. Raises what it raises, unless the bucket can be done without."""
        if not self._alone:
            try:
                return action()
            except StoreUnavailable as error:
                self._do_without(error)
        return otherwise

    def tell(self, action: Callable[[], Result], otherwise: Callable[[], Result]) -> Result:
        """`action`, which writes to the bucket; with a key that may only read, `otherwise`.

        Raises StoreError before the first write where the server does not do what publishing relies on.
        """
        if not self._alone and not self._read_only:
            try:
                self._prove()
                return action()
            except StoreForbidden:
                self._publish_nothing()
            except StoreUnavailable as error:
                self._do_without(error)
        return otherwise()

    def _prove(self) -> None:
        """Prove the server, once for each bucket and machine."""
        with self._lock:
            if self._proved:
                return
            place = digest_record("probe", 1, [self._bucket.access.endpoint, self._bucket.url])
            note = f"probes/{short(place)}"
            if self._notes.read_note(note, shared=False) is None:
                prove(self._bucket)
                self._notes.write_note(note, b"honours If-None-Match", shared=False)
            self._proved = True

    def _publish_nothing(self) -> None:
        with self._lock:
            said, self._read_only = self._read_only, True
        if not said:
            self._say(
                f"note: nothing is published to {self._bucket.url}, where this key may not write; results stay in the cache"
            )

    def _do_without(self, error: StoreUnavailable) -> None:
        if not self._alone_allowed:
            raise error
        with self._lock:
            said, self._alone = self._alone, True
        if not said:
            self._say(f"warning: {error.message}; going on with the cache alone")


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
