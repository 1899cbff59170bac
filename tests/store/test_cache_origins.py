"""Nothing goes from a cache to a bucket that was not computed for that bucket by somebody who may write there."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from daintree.errors import StoreUnavailable
from daintree.store.bucket import Bucket
from daintree.store.cache import Availability, address_of, cache_directory
from daintree.store.local import LocalRuns
from daintree.store.records import Keys, OriginRecord
from daintree.store.s3 import S3Access
from daintree.store.store import Store, shared_store
from tests.contract.runs import FILES, fetched, key_of, publish_indexed
from tests.services.minio import Minio, read_only

RECIPE = key_of("recipe")


@pytest.fixture
def caches(tmp_path: Path) -> Path:
    """The directory of all caches of one home."""
    return tmp_path / "caches"


def opened(url: str, access: S3Access, caches: Path) -> Store:
    """The store as a new process opens it."""
    return shared_store(url, access, caches, warn=lambda line: None)


def test_a_result_of_one_bucket_is_nothing_in_another(minio: Minio, caches: Path) -> None:
    low, high = (f"s3://{minio.bucket()}" for _ in range(2))
    manifest, record = publish_indexed(opened(low, minio.access, caches))
    key = manifest.keys.content
    victim = opened(high, minio.access, caches)
    assert victim.lookup([key]) == [None]
    assert victim.share(Keys(RECIPE, key), record) == record
    assert Bucket(high, minio.access).sizes() == {}
    assert list(victim.history()) == []


def test_a_cache_that_was_copied_to_another_address_counts_for_nothing_there(
    minio: Minio, caches: Path
) -> None:
    low, high = (Bucket(f"s3://{minio.bucket()}", minio.access) for _ in range(2))
    manifest, record = publish_indexed(opened(low.url, minio.access, caches))
    shutil.copytree(cache_directory(caches, low), cache_directory(caches, high))
    key = manifest.keys.content
    victim = opened(high.url, minio.access, caches)
    assert victim.lookup([key]) == [None]
    assert victim.share(Keys(RECIPE, key), record) == record
    assert not [path for path in high.sizes() if "run.json" in path]


def test_neither_is_one_of_another_prefix_or_server(minio: Minio, caches: Path) -> None:
    name = minio.bucket()
    addresses = [
        (f"s3://{name}/a", minio.access),
        (f"s3://{name}/b", minio.access),
        (f"s3://{name}", minio.access),
        (f"s3://{name}/a", msgspec.structs.replace(minio.access, endpoint="http://elsewhere:1")),
    ]
    places = {cache_directory(caches, Bucket(url, access)) for url, access in addresses}
    assert len(places) == len(addresses)
    again = Bucket(f"s3://{name}/a/", msgspec.structs.replace(minio.access, access_key="rotated"))
    assert cache_directory(caches, again) in places


def test_a_reader_s_result_is_never_a_writer_s(minio: Minio, caches: Path) -> None:
    url = f"s3://{minio.bucket()}"
    reader = opened(url, minio.key(read_only(url.removeprefix("s3://"))), caches)
    with reader.lease(key_of("content"), waiting=pytest.fail):
        manifest, record = publish_indexed(reader)
    key = manifest.keys.content
    assert reader.lookup([key]) == [record]

    writer = opened(url, minio.access, caches)
    assert writer.lookup([key]) == [None]
    assert writer.share(Keys(RECIPE, key), record) == record
    assert not [path for path in Bucket(url, minio.access).sizes() if "run.json" in path]

    again = opened(url, reader.shared.remote.bucket.access, caches) if reader.shared else None
    assert again is not None
    assert again.lookup([key]) == [record]


def test_a_downloaded_run_is_not_published_again(minio: Minio, tmp_path: Path) -> None:
    url = f"s3://{minio.bucket()}"
    manifest, record = publish_indexed(opened(url, minio.access, tmp_path / "theirs"))
    ours = opened(url, minio.access, tmp_path / "ours")
    assert fetched(ours, record) == FILES
    Bucket(url, minio.access).delete_below("")

    again = opened(url, minio.access, tmp_path / "ours")
    assert again.lookup([manifest.keys.content]) == [None]
    again.share(Keys(RECIPE, manifest.keys.content), record)
    assert Bucket(url, minio.access).sizes() == {}


def test_what_a_writer_computed_is_published_when_the_bucket_has_lost_it(
    minio: Minio, caches: Path
) -> None:
    url = f"s3://{minio.bucket()}"
    first = opened(url, minio.access, caches)
    with first.lease(key_of("content"), waiting=pytest.fail):
        manifest, record = publish_indexed(first)
    bucket = Bucket(url, minio.access)
    bucket.delete_below("")
    rotated = opened(url, minio.access, caches)
    assert rotated.lookup([manifest.keys.content]) == [record]
    assert not rotated.holds(record)
    assert rotated.share(Keys(RECIPE, manifest.keys.content), record) == record
    assert rotated.holds(record)
    assert f"{manifest.location}/run.json" in bucket.sizes()


def test_a_run_whose_record_names_another_key_is_not_published_under_it(
    minio: Minio, caches: Path
) -> None:
    url = f"s3://{minio.bucket()}"
    store = opened(url, minio.access, caches)
    _, record = publish_indexed(store)
    victim = key_of("another stage's content")
    Bucket(url, minio.access).delete_below("_cache")
    store.share(Keys(RECIPE, victim), record)
    assert opened(url, minio.access, caches).lookup([victim, RECIPE]) == [None, None]


ORIGINS = {
    "of a writer": (OriginRecord(computed=True, right="writer", key="rotated"), True),
    "of a reader": (OriginRecord(computed=True, right="reader", key="same"), False),
    "of who could not tell": (OriginRecord(computed=True, right="unknown", key="other"), False),
    "of who could not tell, with our key": (
        OriginRecord(computed=True, right="unknown", key="same"),
        True,
    ),
    "of a role": (OriginRecord(computed=True, right="unknown", key=""), False),
    "fetched by a writer": (OriginRecord(computed=False, right="writer", key="same"), False),
    "not known": (None, False),
}


@pytest.mark.parametrize(("origin", "published"), ORIGINS.values(), ids=ORIGINS)
def test_the_origin_decides(
    origin: OriginRecord | None, published: bool, minio: Minio, caches: Path
) -> None:
    bucket = Bucket("s3://some-bucket", minio.access)
    availability = Availability(bucket, LocalRuns(caches, pytest.fail), False, pytest.fail)
    own = availability.origin(computed=True).key
    if origin:
        key = own if origin.key == "same" else origin.key
        origin = msgspec.structs.replace(origin, key=key, address=address_of(bucket))
    assert availability.may_publish(origin) is published
    for address in (address_of(Bucket("s3://another-bucket", minio.access)), msgspec.UNSET):
        moved = origin and msgspec.structs.replace(origin, address=address)
        assert not availability.may_publish(moved)
        assert not availability.may_use(moved)
    nobody = Bucket(bucket.url, msgspec.structs.replace(minio.access, access_key="", role=True))
    role = Availability(nobody, LocalRuns(caches, pytest.fail), False, pytest.fail)
    assert role.origin(computed=True).key == ""


def test_without_a_server_what_a_role_computed_here_counts_and_is_not_to_be_published(
    minio: Minio, caches: Path
) -> None:
    access = msgspec.structs.replace(minio.access, access_key="", role=True)
    warnings: list[str] = []
    cache = LocalRuns(caches, pytest.fail)
    role = Availability(Bucket("s3://some-bucket", access), cache, True, warnings.append)
    origin = role.origin(computed=True)
    assert not role.may_use(origin)

    def unreachable() -> None:
        raise StoreUnavailable("cannot be reached")

    role.read(unreachable, None)
    assert warnings == ["warning: cannot be reached; going on with the cache alone"]
    assert role.may_use(origin)
    assert not role.may_publish(origin)
    assert not role.may_use(msgspec.structs.replace(origin, key="another"))


def test_the_copy_of_a_run_that_lost_its_origin_is_nobody_s(minio: Minio, caches: Path) -> None:
    url = f"s3://{minio.bucket()}"
    store = opened(url, minio.access, caches)
    manifest, _ = publish_indexed(store)
    Bucket(url, minio.access).delete_below("_cache")
    (store.directory / manifest.location / "origin.json").unlink()
    assert opened(url, minio.access, caches).lookup([manifest.keys.content]) == [None]
