"""Machines that share a store in a bucket, each with a cache of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from daintree.store.bucket import Bucket
from tests.e2e.projects import Project
from tests.services.minio import variables
from tests.services.proxy import Proxy

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUNS = {"load": "run", "clean": "run", "count": "run"}


def machine(project: Project, bucket: Bucket, name: str, way: Proxy | None = None) -> Project:
    """The project on a machine of this name, with a cache of its own, which reaches the bucket this way."""
    access = bucket.access
    if way:
        access = msgspec.structs.replace(access, endpoint=way.endpoint)
    cache = Path(project.environ["XDG_CACHE_HOME"]) / name
    return project.at(
        project.root, DAINTREE_STORE=bucket.url, DAINTREE_CACHE=str(cache), **variables(access)
    )


def runs_in(bucket: Bucket) -> list[str]:
    """The runs whose manifests are in the bucket."""
    return [path for path in bucket.sizes() if path.endswith("/run.json")]


def expire_leases(bucket: Bucket) -> None:
    """Let the time of all leases be over, so that no test waits for it."""
    bucket.delete(list(bucket.sizes("_leases")))
