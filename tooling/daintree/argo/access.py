"""How pods reach what an order needs: the store as the cluster sees it, its registry and its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.submission import SubmittedSource
from daintree.digest import short
from daintree.errors import SettingsError, SourceError
from daintree.images.registry import is_loopback
from daintree.settings import Settings
from daintree.store.bucket import SCHEME
from daintree.store.index import SOURCES
from daintree.store.s3 import DEFAULT_REGION, S3Access


class ClusterAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says of the cluster. `endpoint` is the store's server as pods reach it, "" for AWS's own."""

    settings: Settings
    namespace: str
    endpoint: str
    region: str
    tooling_image: str
    node_selector: Mapping[str, str]
    deadline: int

    @property
    def bucket(self) -> str:
        """The store's bucket."""
        return self.settings.store.removeprefix(SCHEME).partition("/")[0]

    @property
    def pull_secrets(self) -> list[m.LocalObjectReference] | None:
        """The secret that images are pulled with, if one is set."""
        secret = self.settings.argo_pull_secret
        return [m.LocalObjectReference(name=secret)] if secret else None

    def key(self, path: str) -> str:
        """The object's key in the bucket for a path in the store."""
        prefix = self.settings.store.removeprefix(SCHEME).partition("/")[2].strip("/")
        return f"{prefix}/{path}" if prefix else path

    def source(self, source: SubmittedSource) -> m.S3Artifact:
        """Where pods find the source: in the store, or in place.

        In another bucket it needs all that says where, since a bucket without its server counts for nothing.
        Raises SourceError for a whole bucket.
        """
        if not source.url:
            return m.S3Artifact(key=self.key(f"{SOURCES}/{short(source.digest, 64)}/output"))
        bucket, _, key = source.url.removeprefix(SCHEME).partition("/")
        if not key:
            raise SourceError(
                f"the source {source.url} is a whole bucket, which pods cannot read",
                hint=f"name a prefix: {source.url}/…",
            )
        if bucket == self.bucket:
            return m.S3Artifact(key=key)
        parts = urlsplit(
            self.endpoint or f"https://s3.{self.region or DEFAULT_REGION}.amazonaws.com"
        )
        return m.S3Artifact(
            endpoint=parts.netloc,
            insecure=parts.scheme == "http",
            bucket=bucket,
            key=key,
            region=self.region or None,
            access_key_secret=_secret(names.ACCESS_KEY),
            secret_key_secret=_secret(names.SECRET_KEY),
        )


def cluster_access(
    settings: Settings, access: S3Access, tooling_image: str, namespace: str = ""
) -> ClusterAccess:
    """What the settings say of the cluster; `namespace` wins over theirs.

    Raises SettingsError for a store's server that only this machine reaches.
    """
    endpoint = settings.argo_endpoint or access.endpoint
    if endpoint and is_loopback(urlsplit(endpoint).netloc):
        raise SettingsError(
            f"pods cannot reach the store's server at {endpoint}, which is this machine's own address",
            hint="argo_endpoint in [tool.daintree], or DAINTREE_ARGO_ENDPOINT, says where the cluster finds it,"
            " such as http://minio.minio:9000",
        )
    return ClusterAccess(
        settings=settings,
        namespace=namespace or settings.argo_namespace,
        endpoint=endpoint,
        region="" if access.region == DEFAULT_REGION else access.region,
        tooling_image=tooling_image,
        node_selector=settings.argo_node_selector,
        deadline=settings.argo_deadline,
    )


def _secret(key: str) -> m.SecretKeySelector:
    return m.SecretKeySelector(name=names.STORE_SECRET, key=key)
