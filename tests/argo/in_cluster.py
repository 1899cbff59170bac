"""Workflows in a cluster of the tests: as they are submitted, and as Argo moves them on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daintree.argo.cluster import Cluster, open_cluster
from daintree.argo.manifest import workflow_manifest
from daintree.argo.submission import Submission
from tests.argo.conftest import cluster as access
from tests.argo.workflows import WORKFLOW, Node, at, node_number, workflow
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer


def adapter(kubernetes: KubernetesServer, directory: Path) -> Cluster:
    """The adapter to the server, which waits for nothing."""
    file = kubernetes.kubeconfig(directory / "kubeconfig")
    return open_cluster(NAMESPACE, {"KUBECONFIG": str(file)}, wait=lambda seconds: None)


def manifest(submission: Submission, attempt: int = 1) -> dict[str, Any]:
    """The submission's manifest."""
    return workflow_manifest(submission, access(argo_namespace=NAMESPACE), attempt)


def moved(existing: Mapping[str, Any], *nodes: Node, **more: Any) -> dict[str, Any]:
    """A Workflow of the cluster with the status that these nodes make; `more` as for `workflow`."""
    status = json.dumps(workflow(*nodes, **more)["status"])
    metadata = {"creationTimestamp": at(0), **existing["metadata"]}
    renamed = status.replace(WORKFLOW, metadata["name"])
    return {**existing, "metadata": metadata, "status": json.loads(renamed)}


def pod_of(existing: Mapping[str, Any], attempt: str, template: str) -> str:
    """The name of an attempt's pod, such as `load(0)`'s."""
    number = node_number(f"{WORKFLOW}.{attempt}")
    return f"{existing['metadata']['name']}-{template}-{number}"
