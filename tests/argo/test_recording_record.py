"""The record step asks a cluster over its real API, and says what keeps it from recording."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from daintree.argo import recording as record_module
from daintree.argo.cluster import open_cluster
from daintree.argo.recording import StageReport, recording_of
from daintree.argo.workflow_status import read_status
from daintree.errors import ClusterMissing, UsageError
from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.executed import Shop, node_of
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer

ALONE = make_submission(submitted_stage("load"))


@pytest.fixture
def config(kubernetes: KubernetesServer, tmp_path: Path) -> str:
    """The kubeconfig for the cluster."""
    return str(kubernetes.kubeconfig(tmp_path / "config"))


def recorded(shop: Shop, config: str, name: str) -> list[StageReport]:
    """Record the Workflow of this name."""
    cluster = open_cluster(NAMESPACE, {"KUBECONFIG": config})
    recording = recording_of(cluster, shop.remote, name)
    return [recording.record(stage) for stage in recording.stages]


def pod_of(workflow: dict[str, Any]) -> str:
    """The pod of the one stage."""
    return read_status(workflow).tasks["load"].attempts[0].pod


def test_a_workflow_is_recorded_with_what_its_pods_said(
    shop: Shop, kubernetes: KubernetesServer, config: str
) -> None:
    workflow = shop.run(ALONE)
    kubernetes.put("Workflow", workflow)
    kubernetes.say(pod_of(workflow), "one", "größe")
    [report] = recorded(shop, config, workflow["metadata"]["name"])
    assert report.status == "recorded"
    assert shop.remote.read_log(shop.runs()["load"].location) == "one\ngröße\n".encode()


CONTAINERS = [
    {"name": "wait", "state": {"running": {"startedAt": "2026-03-01T10:15:01Z"}}},
    {
        "name": "main",
        "state": {
            "terminated": {
                "startedAt": "2026-03-01T10:15:04Z",
                "finishedAt": "2026-03-01T10:15:06Z",
            }
        },
    },
]


def test_a_run_has_its_container_s_own_seconds_and_its_pod_s_beside_them(
    shop: Shop, kubernetes: KubernetesServer, config: str
) -> None:
    workflow = shop.run(ALONE)
    node = node_of(workflow, "load(0)")
    node.update(startedAt="2026-03-01T10:15:00Z", finishedAt="2026-03-01T10:15:19Z")
    kubernetes.put("Workflow", workflow)
    kubernetes.put(
        "Pod",
        {"metadata": {"name": pod_of(workflow)}, "status": {"containerStatuses": CONTAINERS}},
    )
    recorded(shop, config, workflow["metadata"]["name"])
    run = shop.runs()["load"]
    assert (run.seconds, run.pod_seconds) == (2.0, 19.0)
    assert (run.started, run.finished) == ("2026-03-01T10:15:04Z", "2026-03-01T10:15:06Z")
    # Later, when the pod is gone, nothing changes.
    kubernetes.remove("Pod", pod_of(workflow))
    [report] = recorded(shop, config, workflow["metadata"]["name"])
    assert report.status == "known"
    assert shop.runs()["load"] == run


LOST = {"reason": "ContainerStatusUnknown", "exitCode": 137, "startedAt": None, "finishedAt": None}


def test_a_container_without_times_has_its_pod_s_seconds(
    shop: Shop, kubernetes: KubernetesServer, config: str
) -> None:
    workflow = shop.run(ALONE)
    kubernetes.put("Workflow", workflow)
    containers = [{"name": "main", "state": {"terminated": LOST}}]
    kubernetes.put(
        "Pod",
        {"metadata": {"name": pod_of(workflow)}, "status": {"containerStatuses": containers}},
    )
    [report] = recorded(shop, config, workflow["metadata"]["name"])
    run = shop.runs()["load"]
    assert (report.status, run.seconds) == ("recorded", run.pod_seconds)


def test_without_a_pod_a_run_has_its_pod_s_seconds(
    shop: Shop, kubernetes: KubernetesServer, config: str
) -> None:
    workflow = shop.run(ALONE)
    kubernetes.put("Workflow", workflow)
    kubernetes.denied.add(("get", "pods"))
    recorded(shop, config, workflow["metadata"]["name"])
    run = shop.runs()["load"]
    assert run.seconds == run.pod_seconds


@pytest.mark.parametrize("where", ["variable", "Secret", "nowhere"])
def test_no_stored_log_holds_a_secret(
    shop: Shop,
    kubernetes: KubernetesServer,
    config: str,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    secretive = submitted_stage("load", env=("DB_PASSWORD",))
    workflow = shop.run(make_submission(secretive, secret="shop"))
    kubernetes.put("Workflow", workflow)
    kubernetes.say(pod_of(workflow), "with open", "sesame!")
    if where == "variable":
        monkeypatch.setenv("MASKED_DB_PASSWORD", "open\nsesame")
    if where == "Secret":
        content = {"DB_PASSWORD": base64.b64encode(b"open\nsesame").decode()}
        kubernetes.put("Secret", {"metadata": {"name": "shop"}, "data": content})
    else:
        kubernetes.denied.add(("get", "secrets"))
    [report] = recorded(shop, config, workflow["metadata"]["name"])
    assert report.status == "recorded"
    # Where the value cannot be known, the log is not kept.
    stored = None if where == "nowhere" else b"with ***!\n"
    assert shop.remote.read_log(shop.runs()["load"].location) == stored


@pytest.mark.parametrize("denied", [True, False])
def test_without_the_right_or_the_pod_there_is_no_log_and_a_record(
    shop: Shop, kubernetes: KubernetesServer, config: str, denied: bool
) -> None:
    workflow = shop.run(ALONE)
    kubernetes.put("Workflow", workflow)
    if denied:
        kubernetes.denied.add(("get", "pods/log"))
        kubernetes.say(pod_of(workflow), "one")
    [report] = recorded(shop, config, workflow["metadata"]["name"])
    assert report.status == "recorded"
    assert shop.remote.read_log(shop.runs()["load"].location) is None


def test_of_a_long_log_the_end_is_kept(
    shop: Shop, kubernetes: KubernetesServer, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "MOST_LOG_BYTES", 10)
    workflow = shop.run(ALONE)
    kubernetes.put("Workflow", workflow)
    kubernetes.say(pod_of(workflow), "first", "next", "last")
    recorded(shop, config, workflow["metadata"]["name"])
    assert shop.remote.read_log(shop.runs()["load"].location) == b"next\nlast\n"


def test_a_workflow_that_is_not_there_is_said(
    shop: Shop, kubernetes: KubernetesServer, config: str
) -> None:
    with pytest.raises(ClusterMissing, match=f"no Workflow words-1 in the namespace {NAMESPACE}"):
        recorded(shop, config, "words-1")


def test_a_workflow_whose_stages_run_is_refused(
    shop: Shop, kubernetes: KubernetesServer, config: str
) -> None:
    workflow = shop.run(ALONE)
    name = workflow["metadata"]["name"]
    node_of(workflow, name)["phase"] = "Running"
    kubernetes.put("Workflow", workflow)
    with pytest.raises(UsageError, match=f"the Workflow {name} still runs") as raised:
        recorded(shop, config, name)
    assert raised.value.hint == f"doit cancel {name} stops it"
    assert shop.runs() == {}
