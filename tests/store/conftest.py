"""What several tests of stores start from: a directory store that nothing has written to yet, and a bucket reached by a way that may fail."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daintree.store.bucket import Bucket
from daintree.store.store import Store, directory_store
from tests.services.minio import Minio
from tests.services.proxy import Proxy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of a store."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Store:
    """The store."""
    return directory_store(root)


@pytest.fixture
def straight(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}", minio.access)


@pytest.fixture
def bucket(straight: Bucket, way: Proxy) -> Bucket:
    """The same bucket, reached through the proxy."""
    return Bucket(straight.url, msgspec.structs.replace(straight.access, endpoint=way.endpoint))
