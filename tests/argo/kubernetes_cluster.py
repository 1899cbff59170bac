"""A cluster's adapter in front of a server of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daintree.argo.cluster import Cluster, open_cluster
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer


def manifest(name: str = "words-1", **labels: str) -> dict[str, Any]:
    """A Workflow that says nothing."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "labels": labels},
        "spec": {"entrypoint": "pipeline"},
    }


@pytest.fixture
def pauses() -> list[float]:
    """How long was waited between tries."""
    return []


@pytest.fixture(name="cluster")
def adapter(kubernetes: KubernetesServer, tmp_path: Path, pauses: list[float]) -> Cluster:
    """The server's adapter, which writes down its pauses."""
    file = kubernetes.kubeconfig(tmp_path / "config")
    return open_cluster(NAMESPACE, {"KUBECONFIG": str(file)}, wait=pauses.append)
