"""Sources in a bucket of a real MinIO."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daintree.errors import SourceError
from daintree.pipeline.sources.bucket import BucketSource
from daintree.store.bucket import Bucket
from daintree.store.contents import boto_options
from tests.services.minio import Minio


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A bucket with a source of two files, and something beside it."""
    made = Bucket(f"s3://{minio.bucket()}", minio.access)
    for path in ("reviews/a.json", "reviews/deep/b.json", "reviews-old/c.json"):
        made.put(path, path.encode())
    return made


def digest(bucket: Bucket, prefix: str = "/reviews") -> str:
    """The identity of a source, asked afresh."""
    return BucketSource(f"{bucket.url}{prefix}", "", bucket.access).identify().identity


def test_it_is_read_in_place_and_known_by_its_listing(bucket: Bucket) -> None:
    source = BucketSource(f"{bucket.url}/reviews/", "", bucket.access)
    identity = source.identify()
    assert identity == source.fetch()
    assert identity.identity == identity.digest == digest(bucket)
    assert source.url == identity.origin == f"{bucket.url}/reviews"


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("/reviews", {"a.json", "deep/b.json"}),
        ("/reviews/a.json", {"a.json"}),
        ("", {"reviews/a.json", "reviews/deep/b.json", "reviews-old/c.json"}),
    ],
)
def test_a_stage_that_reads_more_gets_the_objects_that_were_listed(
    prefix: str, names: set[str], bucket: Bucket, tmp_path: Path
) -> None:
    source = BucketSource(f"{bucket.url}{prefix}", "", bucket.access)
    assert source.files(tmp_path) == {"": tmp_path}
    fetched = {str(p.relative_to(tmp_path)): p for p in tmp_path.rglob("*") if p.is_file()}
    assert fetched.keys() == names
    assert b"reviews/a.json" in [path.read_bytes() for path in fetched.values()]
    bucket.put("reviews/a.json", b"other")
    with pytest.raises(SourceError, match="changed meanwhile"):
        source.files(tmp_path / "later")


def test_any_change_of_an_object_changes_it(bucket: Bucket) -> None:
    source = BucketSource(f"{bucket.url}/reviews", "", bucket.access)
    before = source.identify().identity
    bucket.put("reviews-old/c.json", b"beside it")
    bucket.put("reviews/a.json", b"reviews/a.json")
    assert source.unchanged()
    bucket.put("reviews/a.json", b"reviews/A.json")
    assert not source.unchanged()
    seen = {before, digest(bucket)}
    bucket.put("reviews/more.json", b"")
    seen.add(digest(bucket))
    bucket.delete(["reviews/deep/b.json"])
    seen.add(digest(bucket))
    assert len(seen) == 4


def test_it_may_be_one_object_or_a_whole_bucket(bucket: Bucket) -> None:
    identities = {digest(bucket, prefix) for prefix in ("/reviews/a.json", "/reviews", "")}
    assert len(identities) == 3


@pytest.mark.parametrize(
    "keys",
    [
        ("reviews/",),
        ("reviews/deep/", "reviews/empty/", "reviews/empty/er/"),
        ("reviews_$folder$", "reviews/deep_$folder$", "reviews/deep/x_$folder$"),
    ],
)
def test_markers_of_directories_change_nothing(
    bucket: Bucket, minio: Minio, keys: tuple[str, ...]
) -> None:
    import boto3

    bucket.put("reviews/deep/_SUCCESS", b"")
    source = BucketSource(f"{bucket.url}/reviews", "", bucket.access)
    before = source.identify()
    client = boto3.client("s3", **boto_options(minio.access))
    for key in keys:
        client.put_object(Bucket=bucket.name, Key=key, Body=b"")
    assert source.unchanged()
    assert digest(bucket) == before.identity
    assert not source.is_object
    client.delete_object(Bucket=bucket.name, Key="reviews/deep/_SUCCESS")
    assert not source.unchanged()


def test_markers_alone_are_no_source(bucket: Bucket, minio: Minio) -> None:
    import boto3

    client = boto3.client("s3", **boto_options(minio.access))
    client.put_object(Bucket=bucket.name, Key="none/", Body=b"")
    client.put_object(Bucket=bucket.name, Key="none/below/", Body=b"")
    with pytest.raises(SourceError, match="/none holds no object"):
        digest(bucket, "/none")


def test_an_object_and_a_directory_are_told_apart(bucket: Bucket) -> None:
    def is_object(prefix: str) -> bool:
        return BucketSource(f"{bucket.url}{prefix}", "", bucket.access).is_object

    assert is_object("/reviews/a.json")
    assert not is_object("/reviews")


@pytest.mark.parametrize(
    ("url", "sha256", "message"),
    [
        ("{bucket}/nothing", "", "/nothing holds no object"),
        ("s3://never-made/x", "", "there is no bucket never-made"),
        ("s3:///x", "", "has another form than s3://bucket/prefix"),
        ("s3://key:word@bucket/x", "", "has another form than s3://bucket/prefix"),
        ("{bucket}/reviews", "0" * 64, "sha256 cannot be declared"),
    ],
)
def test_what_is_wrong_is_said(bucket: Bucket, url: str, sha256: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        BucketSource(url.format(bucket=bucket.url), sha256, bucket.access).identify()


def test_hints_are_those_of_a_source(bucket: Bucket, minio: Minio) -> None:
    """Not those of the artifact store, which may lie at the same server."""
    away = msgspec.structs.replace(minio.access, endpoint="http://127.0.0.1:9")
    refused = msgspec.structs.replace(minio.access, secret_key="wrong")
    for url, access, reason, hint in (
        ("s3://never-made/x", minio.access, "there is no bucket never-made", "name of the bucket"),
        (f"{bucket.url}/x", away, "http://127.0.0.1:9 cannot be reached", "check the endpoint"),
        (f"{bucket.url}/x", refused, "does not accept the key", "check MINIO_ACCESS_KEY"),
    ):
        with pytest.raises(SourceError) as failure:
            BucketSource(url, "", access).identify()
        assert reason in failure.value.message
        assert "artifact store" not in failure.value.message
        assert hint in failure.value.hint
        assert "doit services" not in failure.value.hint
