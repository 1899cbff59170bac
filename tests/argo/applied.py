"""A cluster of the tests with what deploy/argo makes in it."""

from __future__ import annotations

from pathlib import Path

from daintree.argo import names
from tests.services.argo_check import read_documents
from tests.services.kubernetes_objects import KubernetesServer

DEPLOYMENT = Path(__file__).parents[2] / "deploy/argo"
# What a secret's value looks like in the API: base64.
SECRET_VALUE = "dGhlLXNlY3JldC1rZXk="


def apply(
    kubernetes: KubernetesServer,
    *,
    bucket: str = "ml-artifacts",
    endpoint: str = "minio.minio:9000",
) -> None:
    """Put every object of deploy/argo into the cluster, for this bucket on this server, and the secret with its keys."""
    for file in ("namespace", "executor", "record", "submitter", "artifacts"):
        text = (DEPLOYMENT / f"{file}.yaml").read_text(encoding="utf-8")
        text = text.replace("ml-artifacts", bucket).replace("minio.minio:9000", endpoint)
        for document in read_documents(text):
            kubernetes.put(document["kind"], document)
    controller = {"metadata": {"name": "workflow-controller"}, "status": {"availableReplicas": 1}}
    kubernetes.put("Deployment", controller, "argo")
    values = dict.fromkeys((names.ACCESS_KEY, names.SECRET_KEY), SECRET_VALUE)
    kubernetes.put("Secret", {"metadata": {"name": names.STORE_SECRET}, "data": values})
