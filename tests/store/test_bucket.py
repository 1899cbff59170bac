"""Objects in a bucket of a real MinIO, and what is said when it refuses."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.bucket import Bucket
from daintree.store.contents import boto_options
from tests.services.minio import Minio, read_only
from tests.web_server import web_server


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket, below a prefix."""
    return Bucket(f"s3://{minio.bucket()}/team", minio.access)


def test_objects_are_created_read_replaced_and_removed(bucket: Bucket) -> None:
    assert bucket.create("a/b", b"1")
    assert not bucket.create("a/b", b"2")
    assert bucket.get_many(["a/b", "c"]) == [b"1", None]
    assert not bucket.replace("a/b", b"2", b"3")
    assert bucket.replace("a/b", b"1", b"3")
    assert not bucket.replace("c", b"", b"3")
    bucket.put("c", b"4")
    assert bucket.sizes() == {"a/b": 1, "c": 1}
    assert bucket.sizes("a") == {"a/b": 1}
    assert list(bucket.sizes("a")) == ["a/b"]
    bucket.delete(["a/b", "never there"])
    bucket.delete([])
    assert bucket.get_many(["a/b"]) == [None]


def test_a_prefix_is_not_left(bucket: Bucket, minio: Minio) -> None:
    bucket.put("a", b"1")
    assert Bucket(f"s3://{bucket.name}", minio.access).sizes() == {"team/a": 1}
    assert Bucket(f"s3://{bucket.name}/tea", minio.access).sizes() == {}


@pytest.mark.parametrize(
    "url", ["s3://key:word@bucket", "s3://", "s3:///x", "s3://b/../x", "s3://b/x//y", "s3://b/x/.."]
)
def test_a_url_without_a_bucket_is_refused(url: str, minio: Minio) -> None:
    with pytest.raises(StoreError, match="has another form") as raised:
        Bucket(url, minio.access)
    assert "word" not in raised.value.message + raised.value.hint


def test_a_missing_bucket_is_said_by_every_operation(minio: Minio) -> None:
    bucket = Bucket("s3://never-made", minio.access)
    for action in (
        lambda: bucket.get_many(["a"]),
        lambda: bucket.sizes(),
        lambda: bucket.create("a", b""),
        lambda: bucket.put("a", b""),
        lambda: bucket.replace("a", b"", b"x"),
    ):
        with pytest.raises(StoreError, match="there is no bucket never-made"):
            action()


@pytest.mark.parametrize("wrong", [{"access_key": "nobody"}, {"secret_key": "not-the-secret"}])
def test_a_wrong_key_is_said(bucket: Bucket, minio: Minio, wrong: dict[str, str]) -> None:
    stranger = Bucket(bucket.url, msgspec.structs.replace(minio.access, **wrong))
    with pytest.raises(StoreError, match="does not accept the key") as raised:
        stranger.get_many(["a"])
    assert raised.value.hint.startswith("check MINIO_ACCESS_KEY")
    assert not isinstance(raised.value, StoreForbidden)


def test_no_key_at_all_is_said_without_asking_anybody(bucket: Bucket, minio: Minio) -> None:
    keyless = msgspec.structs.replace(minio.access, access_key="", secret_key="")
    with pytest.raises(StoreError, match="there is no key for the server"):
        Bucket(bucket.url, keyless).get_many(["a"])


def test_what_a_key_may_not_do_is_told_apart(bucket: Bucket, minio: Minio) -> None:
    bucket.put("a", b"1")
    reader = Bucket(bucket.url, minio.key(read_only(bucket.name)))
    assert reader.get_many(["a"]) == [b"1"]
    with pytest.raises(StoreForbidden):
        reader.put("a", b"2")
    with pytest.raises(StoreForbidden):
        reader.create("b", b"2")


def test_a_server_that_is_not_there_is_said_soon(minio: Minio) -> None:
    nowhere = msgspec.structs.replace(minio.access, endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        Bucket("s3://ml-artifacts", nowhere).get_many(["a"])


def test_a_server_that_is_another_kind_of_server_is_said(bucket: Bucket) -> None:
    with web_server() as server:
        access = msgspec.structs.replace(bucket.access, endpoint=f"http://{server.address}")
        other = Bucket(bucket.url, access)
        with pytest.raises(StoreError, match="does not speak S3") as caught:
            other.get_many(["a"])
        assert "not of its console" in caught.value.hint
        assert "\n" not in caught.value.message


def test_what_a_key_may_not_do_is_named(bucket: Bucket, minio: Minio) -> None:
    bucket.put("a", b"1")
    reader = Bucket(bucket.url, minio.key(read_only(bucket.name)))
    stranger = Bucket(bucket.url, minio.key(read_only("another-bucket")))
    refused: dict[str, Callable[[], object]] = {
        "delete in": lambda: reader.delete(["a"]),
        "write to": lambda: reader.put("a", b"2"),
        "read in": lambda: stranger.get_many(["a"]),
        "list what is in": lambda: list(stranger.list()),
    }
    for action, ask in refused.items():
        with pytest.raises(StoreForbidden) as caught:
            ask()
        assert caught.value.message == f"the key may not {action} {bucket.url} (AccessDenied)"


def test_markers_of_directories_are_told_from_empty_objects(bucket: Bucket, minio: Minio) -> None:
    import boto3

    for path in ("a.csv", "deep/er/b.csv", "deep/_SUCCESS", "none"):
        bucket.put(path, b"" if path in ("none", "deep/_SUCCESS") else path.encode())
    sizes = bucket.sizes()
    client = boto3.client("s3", **boto_options(minio.access))
    for key in ("", "deep/", "deep/er/", "empty/", "a.csv/", "none/", "x y/é/", "deep_$folder$"):
        client.put_object(Bucket=bucket.name, Key=f"team/{key}", Body=b"")
    client.put_object(Bucket=bucket.name, Key="team/new/deep/", Body=b"1")
    client.put_object(Bucket=bucket.name, Key="team/new/deep/c.csv", Body=b"1")
    empty = {"", "deep", "deep/er", "empty", "x y/é", "deep_$folder$"}
    assert bucket.markers(bucket.sizes()) == {*empty, "new/deep"}
    assert {e["path"]: e["size"] for e in bucket.entries()} == {**sizes, "new/deep/c.csv": 1}
