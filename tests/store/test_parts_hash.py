"""Objects are hashed where they lie, whole and in spite of faults that pass, and nothing is held that need not be."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from daintree.errors import ArtifactRejected, StoreError, StoreUnavailable
from daintree.store import bucket as bucket_module
from daintree.store.bucket import LARGE_BYTES, Bucket
from daintree.store.parts import PART_BYTES, hash_objects
from daintree.store.records import FileEntry, artifact_of
from tests.services.minio import Minio
from tests.services.proxy import Exchange, Fault, Proxy, busy, cut, passes, reset

WHAT = "load: hashing"


@pytest.fixture
def straight(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}/team", minio.access)


def entry(path: str, content: bytes) -> FileEntry:
    """A file."""
    return FileEntry(path, len(content), hashlib.sha256(content).hexdigest())


def test_objects_are_the_artifact_that_the_same_files_are(straight: Bucket) -> None:
    contents = {
        "a b/größe.csv": b"x\n",
        "empty": b"",
        "one request": os.urandom(LARGE_BYTES),
        "parts": os.urandom(3 * PART_BYTES + 1),
    }
    contents |= {f"many/{number}": str(number).encode() for number in range(100)}
    for path, content in contents.items():
        straight.put(f"run/output/{path}", content)
    straight.put("run/output-of-another/x", b"")
    straight.put("run/run.json", b"")
    expected = artifact_of(entry(path, content) for path, content in contents.items())
    assert hash_objects(straight, "run/output", WHAT) == expected


def test_nothing_at_all_is_no_output(straight: Bucket) -> None:
    with pytest.raises(ArtifactRejected, match="wrote nothing"):
        hash_objects(straight, "run/output", WHAT)


@pytest.mark.parametrize("name", ["x#1", "a/x#23"])
def test_a_name_that_no_store_holds_is_refused_before_anything_is_read(
    straight: Bucket, name: str
) -> None:
    straight.put(f"run/output/{name}", b"")
    with pytest.raises(ArtifactRejected, match="ends in # and digits"):
        hash_objects(straight, "run/output", WHAT)


@pytest.mark.parametrize("fault", [busy, reset, cut])
def test_a_fault_that_passes_is_not_noticed(
    bucket: Bucket, straight: Bucket, way: Proxy, fault: Fault
) -> None:
    small, large = b"1" * 1000, os.urandom(2 * LARGE_BYTES)
    straight.put("run/output/small", small)
    straight.put("run/output/large", large)
    met = [way.when(f"^GET .*/output/{name}", fault, times=1) for name in ("small", "large")]
    found = hash_objects(bucket, "run/output", WHAT)
    assert found == artifact_of([entry("small", small), entry("large", large)])
    assert [one.times for one in met] == [0, 0]


def test_an_answer_that_breaks_off_each_time_is_given_up(
    bucket: Bucket, straight: Bucket, way: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "LARGE", {"answer": 1, "retry": 1})
    straight.put("run/output/a", b"1" * 1000)
    way.when("^GET .*/output/a", cut)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        hash_objects(bucket, "run/output", WHAT)


def test_an_object_that_changes_meanwhile_is_not_believed(
    bucket: Bucket, straight: Bucket, way: Proxy
) -> None:
    straight.put("run/output/a", b"1")

    def changes_first(exchange: Exchange) -> None:
        straight.put("run/output/a", b"2")
        passes(exchange)

    way.when("^GET .*/output/a", changes_first, times=1)
    with pytest.raises(StoreError, match="/team/run/output/a changed while it was read"):
        hash_objects(bucket, "run/output", WHAT)


def test_an_object_that_goes_meanwhile_is_said(
    bucket: Bucket, straight: Bucket, way: Proxy
) -> None:
    straight.put("run/output/a", b"1")

    def goes_first(exchange: Exchange) -> None:
        straight.delete(["run/output/a"])
        passes(exchange)

    way.when("^GET .*/output/a", goes_first, times=1)
    with pytest.raises(StoreError, match="changed while it was read"):
        hash_objects(bucket, "run/output", WHAT)


def test_several_are_read_side_by_side(bucket: Bucket, straight: Bucket, way: Proxy) -> None:
    together = threading.Barrier(4, timeout=60)
    for number in range(4):
        straight.put(f"run/output/{number}", b"")

    def waits(exchange: Exchange) -> None:
        together.wait()
        passes(exchange)

    way.when("^GET .*/output/[0-3]", waits)
    assert len(hash_objects(bucket, "run/output", WHAT).files) == 4
