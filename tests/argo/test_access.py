"""How pods reach the store: never by an address of this machine."""

from __future__ import annotations

import msgspec
import pytest

from daintree.argo.access import ClusterAccess, cluster_access
from daintree.argo.submission import SubmittedSource
from daintree.errors import SettingsError
from daintree.store.s3 import S3Access
from tests.argo.conftest import cluster, digest

AWS = S3Access(endpoint="", region="eu-central-1", access_key="a", secret_key="b")


def on_aws(**settings: object) -> ClusterAccess:
    """The cluster of a project whose store is at AWS."""
    given = msgspec.structs.replace(cluster().settings, argo_endpoint="", **settings)
    return cluster_access(given, AWS, "image")


def test_a_key_begins_with_the_stores_prefix() -> None:
    assert cluster().key("_sources/1/output") == "team/_sources/1/output"
    assert cluster(store="s3://ml-artifacts").key("a") == "a"


def test_the_namespace_that_is_asked_for_wins() -> None:
    given = cluster().settings
    assert cluster_access(given, AWS, "image").namespace == "daintree"
    assert cluster_access(given, AWS, "image", "others").namespace == "others"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9"]
)
def test_an_address_of_this_machine_is_refused(endpoint: str) -> None:
    given = msgspec.structs.replace(cluster().settings, argo_endpoint="")
    access = msgspec.structs.replace(AWS, endpoint=endpoint)
    with pytest.raises(SettingsError, match="pods cannot reach the store's server") as failure:
        cluster_access(given, access, "image")
    assert "DAINTREE_ARGO_ENDPOINT" in failure.value.hint


def test_a_source_in_another_bucket_says_all_of_where_it_is() -> None:
    source = SubmittedSource(
        identity=digest("1"), digest=digest("1"), origin="s3://raw/x", url="s3://raw/x"
    )
    place = on_aws().source(source)
    assert (place.endpoint, place.insecure) == ("s3.eu-central-1.amazonaws.com", False)
    assert (place.bucket, place.key, place.region) == ("raw", "x", "eu-central-1")
    place = cluster().source(source)
    assert (place.endpoint, place.insecure) == ("minio.minio:9000", True)
    assert place.access_key_secret is not None
    assert place.access_key_secret.name == "daintree-store"
