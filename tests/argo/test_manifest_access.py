"""How pods reach the store: never by an address of this machine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daintree.argo.manifest import ClusterAccess, cluster_access, workflow_manifest
from daintree.argo.submission import SubmittedSource, pod_address
from daintree.errors import SettingsError
from daintree.store.s3 import S3Access, object_address
from tests.argo.conftest import cluster, digest, make_submission, submitted_stage

AWS = S3Access(endpoint="", region="eu-central-1", access_key="a", secret_key="b")


def on_aws(**settings: Any) -> ClusterAccess:
    """The cluster of a project whose store is at AWS."""
    given = cluster().settings._replace(argo_endpoint="", **settings)
    return cluster_access(given, "image", access=AWS)


def test_a_key_begins_with_the_stores_prefix() -> None:
    for url, key in (("s3://ml-artifacts/team/", "team/a/b"), ("s3://ml-artifacts", "a/b")):
        address = object_address(url, "", "")
        assert (address.bucket, address.below("a/b").key) == ("ml-artifacts", key)


def test_the_namespace_that_is_asked_for_wins() -> None:
    given = cluster().settings
    assert cluster_access(given, "image", access=AWS).namespace == "daintree"
    assert cluster_access(given, "image", "others", AWS).namespace == "others"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9"]
)
def test_an_address_of_this_machine_is_refused(endpoint: str) -> None:
    given = cluster().settings._replace(argo_endpoint="")
    access = msgspec.structs.replace(AWS, endpoint=endpoint)
    with pytest.raises(SettingsError, match="pods cannot reach the store's server") as failure:
        cluster_access(given, "image", access=access)
    assert "DAINTREE_ARGO_ENDPOINT" in failure.value.hint


def test_the_server_for_pods_is_the_setting_and_else_this_machine_s() -> None:
    given = cluster().settings._replace(argo_endpoint="http://minio.minio:9000")
    here = msgspec.structs.replace(AWS, endpoint="http://127.0.0.1:9000", region="us-east-1")
    alone = given._replace(argo_endpoint="")
    for settings, access, server in (
        (given, here, ("http://minio.minio:9000", "")),
        (alone, AWS, ("", "eu-central-1")),
        (alone, here, ("http://127.0.0.1:9000", "")),
    ):
        address = pod_address("s3://ml-artifacts", settings, access)
        assert (address.endpoint, address.region) == server


@pytest.mark.parametrize(
    ("where", "endpoint", "insecure"),
    [
        ({"region": "eu-central-1"}, "s3.eu-central-1.amazonaws.com", False),
        ({"endpoint": "http://minio.minio:9000"}, "minio.minio:9000", True),
    ],
)
def test_a_source_in_another_bucket_says_all_of_where_it_is(
    where: dict[str, str], endpoint: str, insecure: bool
) -> None:
    source = SubmittedSource(
        identity=digest("1"), digest=digest("1"), origin="s3://raw/x", url="s3://raw/x", **where
    )
    manifest = workflow_manifest(
        make_submission(submitted_stage("load"), sources=(source,)), cluster()
    )
    [task] = manifest["spec"]["templates"][0]["dag"]["tasks"]
    [artifact] = task["arguments"]["artifacts"]
    place = artifact["s3"]
    assert (place["endpoint"], place["insecure"]) == (endpoint, insecure)
    assert (place["bucket"], place["key"]) == ("raw", "x")
    assert place.get("region", "") == where.get("region", "")
    assert place["accessKeySecret"] == {"name": "daintree-store", "key": "access-key"}
