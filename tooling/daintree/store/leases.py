"""Leases in a bucket: one small object per content key, that its holder renews and that others take over once it rests.

No clock is compared with another: whoever waits watches the object, and takes it over when it has not changed for as long
as it promises to, measured here. So neither a laptop's clock nor the server's can end a lease early. A lease that is given back
stays as an object that says so; taking it is then as conditional as taking it over.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from daintree.errors import StoreError
from daintree.store.bucket import Bucket
from daintree.store.records import SCHEMA, decode, encode

LEASE_SECONDS = 20.0
LONGEST_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25


class LeaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lease (`nonce`, and which machine's cache), for how many seconds after it last changed; 0: nobody."""

    schema: int = SCHEMA
    nonce: str
    machine: str
    seconds: float
    renewal: int = 0


class BucketLease:
    """A lease that this process holds; a thread of its own renews it."""

    def __init__(self, bucket: Bucket, path: str, record: LeaseRecord) -> None:
        self._bucket, self._path, self._record = bucket, path, record
        self._ended = threading.Event()
        self._lost = False
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()

    def still_ours(self) -> bool:
        """False once another took it over.

        True when the server cannot be asked: then nothing can be published there either, and what is computed is kept.
        """
        if self._lost:
            return False
        with suppress(StoreError):
            found = _read(self._bucket, self._path)[1]
            return found is not None and found.nonce == self._record.nonce
        return True

    def release(self) -> None:
        """Give it back, unless it is another's already; where that fails it runs out."""
        self._ended.set()
        self._renewer.join()
        with suppress(StoreError):
            free = msgspec.structs.replace(self._record, seconds=0.0)
            self._bucket.replace(self._path, encode(self._record), encode(free))

    def _renew(self) -> None:
        while not self._lost and not self._ended.wait(self._record.seconds / 4):
            fresh = msgspec.structs.replace(self._record, renewal=self._record.renewal + 1)
            # What the server cannot take now it may take at the next turn.
            with suppress(StoreError):
                if self._bucket.replace(self._path, encode(self._record), encode(fresh)):
                    self._record = fresh
                else:
                    self._lost = True


@contextmanager
def bucket_lease(
    bucket: Bucket, path: str, machine: str, seconds: float, waiting: Callable[[], None]
) -> Iterator[BucketLease]:
    """Hold the lease at `path`, waiting for it; `waiting` is called before each pause and may raise.

    The caller holds this key's lock on its machine: a lease left by a process of the same `machine` is a dead one's.
    """
    record = LeaseRecord(nonce=os.urandom(8).hex(), machine=machine, seconds=seconds)
    _acquire(bucket, path, record, waiting)
    lease = BucketLease(bucket, path, record)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(bucket: Bucket, path: str, record: LeaseRecord, waiting: Callable[[], None]) -> None:
    content = encode(record)
    seen, since, pause = b"", time.monotonic(), FIRST_PAUSE_SECONDS
    while True:
        found, held = _read(bucket, path)
        if found is None:
            if bucket.create(path, content):
                return
            continue
        if found != seen:
            seen, since = found, time.monotonic()
        lasts = min(held.seconds if held else record.seconds, LONGEST_SECONDS)
        dead = held is not None and held.machine == record.machine
        if (dead or time.monotonic() - since >= lasts) and bucket.replace(path, found, content):
            return
        waiting()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _read(bucket: Bucket, path: str) -> tuple[bytes | None, LeaseRecord | None]:
    content = bucket.get([path])[0]
    return content, decode(LeaseRecord, content) if content else None
