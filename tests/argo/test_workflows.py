"""A pipeline's Workflows in the cluster: which is the newest, what it computes, and stopping it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daintree.argo import names
from daintree.argo.cluster import Cluster
from daintree.argo.submission import Submission
from daintree.argo.workflow_status import stages_of
from daintree.argo.workflows import find_workflow, stop, workflows_of
from daintree.errors import ClusterMissing, UsageError
from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.in_cluster import adapter, manifest
from tests.services.kubernetes_objects import KubernetesServer


@pytest.fixture
def cluster(kubernetes: KubernetesServer, tmp_path: Path) -> Cluster:
    return adapter(kubernetes, tmp_path)


def stand(kubernetes: KubernetesServer, name: str, created: str, **more: Any) -> None:
    """Have a Workflow of the pipeline `words` stand in the cluster."""
    made = manifest(make_submission(submitted_stage("count")))
    made["metadata"].update(name=name, creationTimestamp=f"2026-03-01T{created}:00Z")
    kubernetes.put("Workflow", {**made, **more})


def test_the_newest_of_a_pipeline_is_found(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    for name, created in (("c", "09:00"), ("a", "11:00"), ("b", "10:00")):
        stand(kubernetes, name, created)
    workflow = find_workflow(cluster, "words", pipeline=True)
    assert workflow["metadata"]["name"] == "a"
    assert find_workflow(cluster, "b", pipeline=False)["metadata"]["name"] == "b"


def test_one_that_only_submits_a_pipeline_is_not_among_its_workflows(
    cluster: Cluster, kubernetes: KubernetesServer
) -> None:
    stand(kubernetes, "words-1", "09:00")
    label = {names.PIPELINE: "words"}
    metadata = {"name": "submit-words-2", "labels": label, "annotations": label}
    kubernetes.put("Workflow", {"metadata": metadata})
    [workflow] = workflows_of(cluster, "words")
    assert workflow["metadata"]["name"] == "words-1"


def test_pipelines_whose_labels_are_the_same_are_kept_apart(
    cluster: Cluster, kubernetes: KubernetesServer
) -> None:
    made = manifest(make_submission(submitted_stage("count"), pipeline="a b"))
    kubernetes.put("Workflow", made)
    assert names.label_value("a b") == names.label_value("a/b")
    assert len(workflows_of(cluster, "a b")) == 1
    assert workflows_of(cluster, "a/b") == []


@pytest.mark.parametrize("pipeline", [True, False])
def test_there_is_none(cluster: Cluster, pipeline: bool) -> None:
    with pytest.raises(ClusterMissing) as failure:
        find_workflow(cluster, "words", pipeline=pipeline)
    of = "of words" if pipeline else "words"
    assert failure.value.message == (
        f"there is no Workflow {of} in the namespace daintree of {cluster.address}"
    )
    assert "--namespace" in failure.value.hint


def test_it_says_which_stage_each_task_is() -> None:
    first = submitted_stage("Read_All", task="read-all")
    made = manifest(make_submission(first, submitted_stage("count", needs=("Read_All",))))
    assert stages_of(made) == {"read-all": "Read_All", "count": "count"}
    assert stages_of({"metadata": {"name": "x"}, "spec": {"workflowTemplateRef": {}}}) == {}


def test_stopping_leaves_the_rest_of_it_as_it_was(
    cluster: Cluster, kubernetes: KubernetesServer, submission: Submission
) -> None:
    made = kubernetes.put("Workflow", {**manifest(submission), "status": {"phase": "Running"}})
    stop(cluster, made)
    [patched] = cluster.list("Workflow")
    assert patched["spec"] == {**made["spec"], "shutdown": "Stop"}
    stop(cluster, patched)
    assert sum(line.startswith("PATCH") for line in kubernetes.requests) == 1


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Error"])
def test_what_has_ended_cannot_be_stopped(
    cluster: Cluster, kubernetes: KubernetesServer, submission: Submission, phase: str
) -> None:
    made = kubernetes.put("Workflow", {**manifest(submission), "status": {"phase": phase}})
    with pytest.raises(UsageError) as failure:
        stop(cluster, made)
    assert failure.value.message.endswith(f"has ended already: {phase}")
