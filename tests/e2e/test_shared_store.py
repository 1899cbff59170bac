"""Two clones with caches of their own and one real MinIO between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Project
from tests.services.minio import Minio, variables
from tooling.s3_access import S3Access
from tooling.store.bucket import Bucket

ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUNS = {"load": "run", "clean": "run", "count": "run"}


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """What the store of these tests holds."""
    return Bucket(f"s3://{minio.bucket()}/store", minio.access)


@pytest.fixture
def ours(project: Project, bucket: Bucket) -> Project:
    """The project with its store in the bucket."""
    return shared(project, project.root, bucket.access, bucket, "ours")


@pytest.fixture
def theirs(ours: Project, bucket: Bucket, tmp_path: Path) -> Project:
    """A clone of the project, as a colleague has it: the same store, another cache."""
    ours.git("clone", "--quiet", ours.root, tmp_path / "clone")
    return shared(ours, tmp_path / "clone", bucket.access, bucket, "theirs")


def shared(project: Project, root: Path, access: S3Access, bucket: Bucket, name: str) -> Project:
    """The project in another working tree, reaching the bucket with this key, with the cache of this name."""
    cache = Path(project.environ["XDG_CACHE_HOME"]) / name
    return project.elsewhere(
        root, DAINTREE_STORE=bucket.url, DAINTREE_CACHE=str(cache), **variables(access)
    )


def runs_in(bucket: Bucket) -> list[str]:
    """The runs whose manifests are in the bucket."""
    return [path for path in bucket.sizes() if path.endswith("/run.json")]


def test_what_one_clone_has_computed_the_other_hits(
    ours: Project, theirs: Project, bucket: Bucket
) -> None:
    assert ours.run("words") == ALL_RUNS
    assert theirs.plan("words") == ALL_HITS
    assert theirs.run("words") == ALL_HITS
    assert len(runs_in(bucket)) == 3
    for stage in ALL_HITS:
        one, two = (project.output(f"words:{stage}") for project in (ours, theirs))
        assert one != two
        assert ours.contents(one) == theirs.contents(two)
