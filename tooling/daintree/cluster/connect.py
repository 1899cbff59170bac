"""The cluster that this machine's kubeconfig, or the pod that this is, is set up for."""

from __future__ import annotations

from collections.abc import Mapping

from daintree.cluster.protocol import Cluster


def open_cluster(environ: Mapping[str, str] | None = None) -> Cluster:
    """The cluster of the kubeconfig's current context; it is not asked yet. Raises ClusterError where none is configured."""
    from daintree.cluster.configuration import read_configuration
    from daintree.cluster.kubernetes_api import KubernetesApi

    return KubernetesApi(read_configuration(environ))
