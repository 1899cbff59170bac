"""Runs in a bucket that were begun and never published: found once nobody can be writing them, and nothing else."""

from __future__ import annotations

import multiprocessing
import time
from datetime import timedelta

import msgspec
import pytest

from daintree.store.bucket import Bucket
from daintree.store.contents import (
    SAFE_IN_A_CLUSTER,
    boto_options,
    empty,
    orphans,
    unfinished_uploads,
)
from daintree.store.layout import lease_path
from daintree.store.records import LeaseRecord, encode
from daintree.store.remote import bucket_lease
from daintree.store.s3 import S3Access
from daintree.store.transfer import UP_BYTES
from tests.contract.runs import OTHER_RUN, RUN, key_of, location_of, manifest_of
from tests.services.minio import Minio
from tests.services.proxy import Exchange, passes, proxy, stall

AT_ONCE = timedelta(seconds=-60)
LEFT = f"{location_of(RUN)}/output/deep/a.csv"


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}/team", minio.access)


def test_an_interrupted_upload_is_found_and_removed_when_asked_for(bucket: Bucket) -> None:
    bucket.put(LEFT, b"12345")
    bucket.put(f"{location_of(RUN)}/log.txt", b"123")
    for remove in (False, True):
        assert orphans(bucket, remove=remove, safe=AT_ONCE) == (1, 8)
    assert bucket.sizes() == {}


def test_the_lease_of_a_killed_holder_is_given_back_a_day_later(bucket: Bucket) -> None:
    path = lease_path(key_of("content"))
    record = LeaseRecord(nonce="dead", machine="theirs", seconds=20)
    bucket.put(path, encode(record, path))
    orphans(bucket, remove=True)
    orphans(bucket, remove=False, safe=AT_ONCE)
    assert bucket.get_many([path]) == [encode(record, path)]
    orphans(bucket, remove=True, safe=AT_ONCE)
    with bucket_lease(bucket, path, "ours", 20, pytest.fail) as lease:
        assert lease.still_ours()


def test_markers_of_directories_are_no_interrupted_upload(bucket: Bucket) -> None:
    import boto3

    client = boto3.client("s3", **boto_options(bucket.access))
    for name in ("", "output/", "output/deep/"):
        key = bucket.key(f"{location_of(RUN)}/{name}")
        client.put_object(Bucket=bucket.name, Key=key, Body=b"")
    assert orphans(bucket, remove=False, safe=AT_ONCE) == (0, 0)
    bucket.put(f"{location_of(RUN)}/output/deep/empty", b"")
    assert orphans(bucket, remove=True, safe=AT_ONCE) == (1, 0)
    assert orphans(bucket, remove=True, safe=AT_ONCE) == (0, 0)


def test_the_parts_of_a_file_whose_upload_was_killed_go(bucket: Bucket) -> None:
    other = Bucket(f"s3://{bucket.name}/other", bucket.access)
    for each in (bucket, other):
        _kill_while_uploading(each)
        [(key, _)] = unfinished_uploads(each, time.time() + 60)
        assert key == each.key("large")
    assert orphans(bucket, remove=True) == (0, 0)
    for remove in (False, True):
        assert orphans(bucket, remove=remove, safe=AT_ONCE) == (1, 0)
    assert unfinished_uploads(bucket, time.time() + 60) == []
    assert len(unfinished_uploads(other, time.time() + 60)) == 1


def _kill_while_uploading(bucket: Bucket) -> None:
    """Kill a process that is putting a file of several parts into the bucket, once the server has begun to take it."""
    with proxy(bucket.access.endpoint) as way:
        access = msgspec.structs.replace(bucket.access, endpoint=way.endpoint)
        part = way.when("partNumber=2", stall)
        process = multiprocessing.get_context("spawn").Process(
            target=_upload, args=(bucket.url, access)
        )
        process.start()
        part.wait()
        process.kill()
        process.join()


def _upload(url: str, access: S3Access) -> None:
    import obstore

    Bucket(url, access).request(
        lambda store: obstore.put(store, "large", bytes(3 * UP_BYTES), chunk_size=UP_BYTES),
        file=True,
    )


def test_what_somebody_may_still_be_writing_stays(bucket: Bucket) -> None:
    bucket.put(LEFT, b"12345")
    assert orphans(bucket, remove=True) == (0, 0)
    assert list(bucket.sizes("")) == [LEFT]


def test_what_a_workflow_has_put_out_stays_while_it_may_still_be_recorded(bucket: Bucket) -> None:
    run = "20260301T101500000Z-item2vec-0a1b2c3d4e-train-0"
    left = f"{location_of(run)}/output/a.csv"
    bucket.put(left, b"12345")
    assert orphans(bucket, remove=True, safe=AT_ONCE) == (0, 0)
    assert list(bucket.sizes("")) == [left]
    assert orphans(bucket, remove=True, safe=AT_ONCE - SAFE_IN_A_CLUSTER) == (1, 5)
    assert list(bucket.sizes("")) == []


def test_emptying_takes_submissions_too_and_nothing_of_others(bucket: Bucket) -> None:
    for path in (f"_submissions/{'0' * 64}", "others/file"):
        bucket.put(path, b"{}")
    empty(bucket)
    assert list(bucket.sizes("")) == ["others/file"]


def test_whatever_is_published_or_not_a_run_s_stays(bucket: Bucket) -> None:
    place = location_of(OTHER_RUN)
    paths = [
        f"{place}/run.json",
        f"{place}/output/a.csv",
        f"{place}/output/{OTHER_RUN}/output/a.csv",
        f"{place}/log.txt",
        f"_sources/{RUN}/output/a.csv",
        "_cache/0123",
        f"notes/{RUN}.txt",
        f"notes/{RUN}/a.csv",
        "notes/output/a.csv",
    ]
    for path in paths:
        bucket.put(path, encode(manifest_of(OTHER_RUN), path))
    assert orphans(bucket, remove=True, safe=AT_ONCE) == (0, 0)
    assert sorted(bucket.sizes("")) == sorted(paths)


def test_a_run_whose_manifest_cannot_be_read_stays(bucket: Bucket) -> None:
    for path in (LEFT, f"{location_of(RUN)}/run.json"):
        bucket.put(path, b"of a newer schema")
    assert orphans(bucket, remove=True, safe=AT_ONCE) == (0, 0)


def test_what_is_written_anew_meanwhile_stays(bucket: Bucket) -> None:
    bucket.put(LEFT, b"12345")

    def another_writes(exchange: Exchange) -> None:
        bucket.put(LEFT, b"54321")
        passes(exchange)

    with proxy(bucket.access.endpoint) as way:
        slow = Bucket(bucket.url, msgspec.structs.replace(bucket.access, endpoint=way.endpoint))
        second = way.when(f"list-type=2.*{RUN}", another_writes, times=1)
        assert orphans(slow, remove=True, safe=AT_ONCE) == (0, 0)
    assert second.times == 0
    assert bucket.get_many([LEFT]) == [b"54321"]
