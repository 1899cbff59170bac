"""A submission of two stages that run and one that is a hit, and where submissions run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daintree.argo.manifest import ClusterAccess, cluster_access
from daintree.argo.submission import Submission, SubmittedHit, SubmittedSource, SubmittedStage
from daintree.settings import read_settings
from daintree.spec.component import Resources
from daintree.store.s3 import S3Access
from tests.argo.kubernetes_cluster import adapter, pauses
from tests.services.minio import Minio

__all__ = ["adapter", "pauses"]

if TYPE_CHECKING:
    from tests.argo.executed import Shop

PREFIX = "{component}/{version}/{year}/{month}/{day}/{timestamp}"


def digest(character: str) -> str:
    """A digest of one hex digit."""
    return "sha256:" + character * 64


def submitted_stage(name: str, **more: Any) -> SubmittedStage:
    """A stage of component `text/NAME`, changed as told."""
    values: dict[str, Any] = {
        "name": name,
        "task": name,
        "template": f"text-{name}",
        "component": f"text/{name}",
        "version": digest("1"),
        "version_files": {"main.py": "2" * 40},
        "parameters": {"top": 3},
        "ineffective": (),
        "environment": "image",
        "image": f"registry.example/ml/text/{name}@{digest('3')}",
        "command": ("python", "/application/main.py"),
        "arguments": (
            *("--input", "/application/data/input", "--output", "/application/data/output"),
            "--top=3",
        ),
        "outputs": (),
        "needs": (),
        "sources": () if more.get("needs") else ("",),
        "resources": Resources(),
        "recipe": digest("4"),
        "reason": "no run recorded",
    }
    return SubmittedStage(**{**values, **more})


def make_submission(*stages: SubmittedStage, **more: Any) -> Submission:
    """A submission of these stages, changed as told."""
    values: dict[str, Any] = {
        "pipeline": "words",
        "sources": (
            SubmittedSource(identity=digest("5"), digest=digest("5"), origin="corpus.txt"),
        ),
        "prefix": PREFIX,
        "stages": stages,
        "hits": (),
        "commit": "6" * 40,
        "user": "ana",
        "tooling": "0.1.0",
        "planned": "2026-03-01T10:15:09Z",
    }
    return Submission(**{**values, **more})


@pytest.fixture
def submission() -> Submission:
    """load is a hit; clean and count run."""
    hit = SubmittedHit(name="load", location="text/load/1/2026/03/01/run", digest=digest("7"))
    return make_submission(
        submitted_stage("clean", needs=("load",)),
        submitted_stage("count", needs=("clean",)),
        hits=(hit,),
    )


@pytest.fixture
def shop(minio: Minio, tmp_path: Path) -> Shop:
    """A store in a bucket, and a cluster whose pods work on it."""
    # What it is made of builds on this module.
    from tests.argo.executed import Shop

    return Shop.make(minio, tmp_path)


def cluster(**settings: Any) -> ClusterAccess:
    """The cluster of a project with these settings."""
    values = {
        "DAINTREE_STORE": "s3://ml-artifacts/team",
        "DAINTREE_ARGO_ENDPOINT": "http://minio.minio:9000",
        "HOME": "/nowhere",
    }
    access = S3Access(
        endpoint="http://127.0.0.1:9000",
        region="us-east-1",
        access_key="the-access-key",
        secret_key="the-secret-key",
    )
    read = read_settings(Path("/nowhere"), values)._replace(**settings)
    image = f"registry.example/ml/daintree/tooling@{digest('9')}"
    return cluster_access(read, image, access=access)
