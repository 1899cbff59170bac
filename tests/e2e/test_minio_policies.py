"""The policies in deploy/minio, given to real keys of a real MinIO: who writes, who only reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store.bucket import Bucket
from tests.e2e.projects import REPOSITORY, Project
from tests.services.minio import Minio, variables

POLICIES = REPOSITORY / "deploy/minio"


def policy(name: str, bucket: str) -> object:
    """The policy of this name, for another bucket than the one it is written for."""
    text = (POLICIES / f"{name}.json").read_text(encoding="utf-8")
    assert "ml-artifacts" in text
    return json.loads(text.replace("ml-artifacts", bucket))


def test_the_writer_publishes_and_the_reader_hits(project: Project, minio: Minio) -> None:
    bucket = minio.bucket()
    for name, status in {"writer": "run", "reader": "hit"}.items():
        access = minio.key(policy(name, bucket))
        cache = Path(project.environ["XDG_CACHE_HOME"]) / name
        store = {"DAINTREE_STORE": f"s3://{bucket}", "DAINTREE_CACHE": str(cache)}
        person = project.at(project.root, **store, **variables(access))
        assert set(person.run("words").values()) == {status}


def test_neither_key_reaches_another_bucket(minio: Minio) -> None:
    bucket, other = minio.bucket(), minio.bucket()
    for name in ("writer", "reader"):
        access = minio.key(policy(name, bucket))
        with pytest.raises(StoreError, match="the key may not write to s3://"):
            Bucket(f"s3://{other}", access).put("a", b"content")


def test_the_reader_writes_nothing(minio: Minio) -> None:
    bucket = minio.bucket()
    reader = Bucket(f"s3://{bucket}", minio.key(policy("reader", bucket)))
    with pytest.raises(StoreError, match="the key may not write to s3://"):
        reader.put("a", b"content")
    assert Bucket(f"s3://{bucket}", minio.access).sizes() == {}
