"""Where a cluster is configured, and what is said where none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.argo.cluster import open_cluster
from daintree.errors import ClusterError
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer


def test_none_is_configured(tmp_path: Path) -> None:
    with pytest.raises(ClusterError) as failure:
        open_cluster(NAMESPACE, {"KUBECONFIG": str(tmp_path / "none")})
    assert failure.value.message.startswith("no Kubernetes cluster is configured")
    assert str(tmp_path / "none") in failure.value.message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("a: [", "is not YAML"),
        ("- a", "cannot be used"),
        ("apiVersion: v1\ncurrent-context: x\n", "cannot be used"),
    ],
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(ClusterError) as failure:
        open_cluster(NAMESPACE, {"KUBECONFIG": str(file)})
    assert complaint in failure.value.message
    assert str(file) in failure.value.message


def test_a_pod_without_its_account() -> None:
    with pytest.raises(ClusterError) as failure:
        open_cluster(
            NAMESPACE, {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECONFIG": "/nowhere/config"}
        )
    assert failure.value.message.startswith("the pod's service account cannot be used")


def test_a_server_that_is_no_url(kubernetes: KubernetesServer, tmp_path: Path) -> None:
    file = kubernetes.kubeconfig(tmp_path / "config", server="cluster.example:6443")
    with pytest.raises(ClusterError) as failure:
        open_cluster(NAMESPACE, {"KUBECONFIG": str(file)})
    assert (
        failure.value.message
        == f"the kubeconfig {file}: the server 'cluster.example:6443' is no URL"
    )
