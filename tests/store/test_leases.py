"""Leases in a bucket of a real MinIO."""

from __future__ import annotations

import threading

import pytest

from daintree.store.bucket import Bucket
from daintree.store.leases import bucket_lease
from daintree.store.records import LeaseRecord, encode
from tests.services.minio import Minio

PATH = "_leases/key"


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}", minio.access)


def left(bucket: Bucket, **changed: object) -> None:
    """Leave a lease as a process that was killed leaves it."""
    fields = {"nonce": "dead", "machine": "theirs", "seconds": 0.3, **changed}
    bucket.put(PATH, encode(LeaseRecord(**fields), PATH))  # type: ignore[arg-type]


def test_one_that_is_not_renewed_is_taken_over_after_its_time(bucket: Bucket) -> None:
    left(bucket)
    calls: list[None] = []
    with bucket_lease(bucket, PATH, "ours", 5, lambda: calls.append(None)) as lease:
        assert lease.still_ours()
    assert calls


def test_one_of_this_machine_is_a_dead_processs(bucket: Bucket) -> None:
    left(bucket, machine="ours", seconds=1000)
    with bucket_lease(bucket, PATH, "ours", 5, pytest.fail) as lease:
        assert lease.still_ours()


def test_one_that_cannot_be_read_rests_as_long_as_our_own(bucket: Bucket) -> None:
    bucket.put(PATH, b"{")
    calls: list[None] = []
    with bucket_lease(bucket, PATH, "ours", 0.3, lambda: calls.append(None)) as lease:
        assert lease.still_ours()
    assert calls


def test_a_holder_that_rests_too_long_has_lost_it(bucket: Bucket) -> None:
    with bucket_lease(bucket, PATH, "ours", 1000, pytest.fail) as lease:
        assert lease.still_ours()
        left(bucket)
        assert not lease.still_ours()
        with bucket_lease(bucket, PATH, "theirs", 5, lambda: None) as other:
            assert other.still_ours()
            assert not lease.still_ours()
    # What is another's is not given back.
    with bucket_lease(bucket, PATH, "third", 5, pytest.fail):
        pass


def test_it_is_renewed_while_it_is_held(bucket: Bucket) -> None:
    renewed = threading.Event()
    with bucket_lease(bucket, PATH, "ours", 0.4, pytest.fail) as lease:
        before = bucket.get_many([PATH])
        for _ in range(600):
            if bucket.get_many([PATH]) != before:
                renewed.set()
                break
            threading.Event().wait(0.05)
        assert renewed.is_set()
        assert lease.still_ours()


def test_giving_it_back_leaves_it_to_the_next_at_once(bucket: Bucket) -> None:
    for machine in ("ours", "theirs", "ours"):
        with bucket_lease(bucket, PATH, machine, 1000, pytest.fail) as lease:
            assert lease.still_ours()
