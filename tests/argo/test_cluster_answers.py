"""Each answer of the cluster's API that is no success comes to one clear error."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from daintree.argo.cluster import Cluster, open_cluster
from daintree.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterMissing,
    ClusterUnavailable,
)
from tests.argo.kubernetes_cluster import manifest
from tests.services.availability import unavailable
from tests.services.kubernetes_api import serve_kubernetes
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer
from tests.services.registry import free_port


def test_a_name_that_is_taken(cluster: Cluster) -> None:
    cluster.create("Workflow", manifest())
    with pytest.raises(ClusterConflict) as failure:
        cluster.create("Workflow", manifest())
    assert 'workflows.argoproj.io "words-1" already exists' in failure.value.message


def test_a_namespace_that_is_not_there(cluster: Cluster) -> None:
    with pytest.raises(ClusterMissing) as failure:
        cluster.within("nowhere").create("Workflow", manifest())
    assert failure.value.message.endswith("has no namespace nowhere")
    assert "--namespace" in failure.value.hint


@pytest.mark.parametrize("kind", ["Workflow", "CronWorkflow", "WorkflowTemplate"])
def test_a_kind_that_is_not_installed(
    cluster: Cluster, kubernetes: KubernetesServer, kind: str
) -> None:
    kubernetes.installed.discard(kind)
    for call in (
        lambda: cluster.create(kind, manifest()),
        lambda: cluster.find(kind, "words-1"),
        lambda: cluster.list(kind),
    ):
        with pytest.raises(ClusterMissing) as failure:
            call()
        assert failure.value.message.startswith("Argo Workflows is not installed in the cluster at")


def test_an_object_that_is_not_there_cannot_be_changed(cluster: Cluster) -> None:
    with pytest.raises(ClusterMissing) as failure:
        cluster.merge("Workflow", "words-1", {})
    assert failure.value.message.endswith("has no Workflow words-1 in the namespace daintree")


def test_an_account_without_rights(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    kubernetes.denied.add(("create", "workflows"))
    with pytest.raises(ClusterForbidden) as failure:
        cluster.create("Workflow", manifest())
    assert "does not let this account create the Workflow words-1 in the namespace daintree" in (
        failure.value.message
    )
    assert "tester" in failure.value.message
    assert "doit doctor --runner argo" in failure.value.hint


def test_a_login_that_is_not_taken(kubernetes: KubernetesServer, tmp_path: Path) -> None:
    file = kubernetes.kubeconfig(tmp_path / "config", token="old-token")
    with pytest.raises(ClusterForbidden) as failure:
        open_cluster(NAMESPACE, {"KUBECONFIG": str(file)}).list("Workflow")
    assert "does not take this login (401)" in failure.value.message
    assert "old-token" not in failure.value.message + failure.value.hint


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_cannot_serve(
    cluster: Cluster, kubernetes: KubernetesServer, status: int
) -> None:
    kubernetes.fail("GET", "/workflows", status, "etcdserver: leader changed")
    with pytest.raises(ClusterUnavailable) as failure:
        cluster.list("Workflow")
    assert f"cannot serve now ({status}): etcdserver: leader changed" in failure.value.message


def test_a_manifest_that_is_refused(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    kubernetes.fail("POST", "/workflows", 422, 'Workflow "x" is invalid: metadata.name')
    with pytest.raises(ClusterError) as failure:
        cluster.create("Workflow", manifest())
    assert (
        'refuses to create the Workflow words-1 in the namespace daintree (422): Workflow "x"'
        in (failure.value.message)
    )


def test_a_server_that_is_no_cluster(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    kubernetes.installed.clear()
    with pytest.raises(ClusterMissing) as failure:
        cluster.find("ConfigMap", "x")
    assert "knows no configmaps" in failure.value.message
    assert "kubectl cluster-info" in failure.value.hint


def test_nobody_listens(kubernetes: KubernetesServer, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    file = kubernetes.kubeconfig(tmp_path / "config", server=address)
    with pytest.raises(ClusterUnavailable) as failure:
        open_cluster(NAMESPACE, {"KUBECONFIG": str(file)}).list("Workflow")
    assert failure.value.message == (
        f"the cluster at {address} cannot be reached: Connection refused"
    )


def test_it_hangs_up(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    kubernetes.fail("GET", "/workflows")
    with pytest.raises(ClusterUnavailable) as failure:
        cluster.list("Workflow")
    assert "has broken off" in failure.value.message


def test_it_speaks_no_tls(kubernetes: KubernetesServer, tmp_path: Path) -> None:
    address = kubernetes.address.replace("http:", "https:")
    file = kubernetes.kubeconfig(tmp_path / "config", server=address)
    with pytest.raises(ClusterUnavailable) as failure:
        open_cluster(NAMESPACE, {"KUBECONFIG": str(file)}).list("Workflow")
    assert failure.value.message.startswith(f"no safe connection to the cluster at {address}")
    assert "certificate-authority" in failure.value.hint


def test_only_a_certificate_that_the_kubeconfig_trusts_is_taken(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve_kubernetes(context) as server:
        trusting = server.kubeconfig(tmp_path / "trusting", authority=certificate)
        assert open_cluster(NAMESPACE, {"KUBECONFIG": str(trusting)}).list("Workflow") == []
        file = server.kubeconfig(tmp_path / "config")
        with pytest.raises(ClusterUnavailable) as failure:
            open_cluster(NAMESPACE, {"KUBECONFIG": str(file)}).list("Workflow")
    assert "no safe connection to the cluster at" in failure.value.message
    assert "certificate verify failed" in failure.value.message


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate of this machine's loopback address, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        unavailable("no openssl, which makes the certificate")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, *named, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    return certificate, key
