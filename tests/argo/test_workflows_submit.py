"""One Workflow for each plan, over a real HTTP API: made, met, followed by another attempt, watched to its end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daintree.argo.cluster import Cluster
from daintree.argo.submission import Submission
from daintree.argo.workflow_status import phase
from daintree.argo.workflows import Submitted, follow, submit
from daintree.errors import ClusterConflict, ClusterForbidden, ClusterMissing
from tests.argo.conftest import digest, make_submission, submitted_stage
from tests.argo.in_cluster import adapter, manifest, moved
from tests.argo.workflows import pod, retried
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer


@pytest.fixture
def cluster(kubernetes: KubernetesServer, tmp_path: Path) -> Cluster:
    return adapter(kubernetes, tmp_path)


class Handing:
    """Submits, and counts how often the store was filled."""

    def __init__(self, cluster: Cluster, submission: Submission) -> None:
        self.cluster, self.submission, self.prepared = cluster, submission, 0

    def submit(self) -> Submitted:
        return submit(
            self.cluster,
            self.submission,
            lambda attempt: manifest(self.submission, attempt),
            self._prepare,
        )

    def _prepare(self) -> None:
        self.prepared += 1


@pytest.fixture
def handing(cluster: Cluster, submission: Submission) -> Handing:
    return Handing(cluster, submission)


def stand(kubernetes: KubernetesServer, submission: Submission, attempt: int, **more: Any) -> None:
    """Have an attempt stand in the cluster."""
    kubernetes.put("Workflow", {**manifest(submission, attempt), **more})


def test_a_plan_becomes_a_workflow(
    handing: Handing, submission: Submission, kubernetes: KubernetesServer
) -> None:
    submitted = handing.submit()
    assert submitted == Submitted(name=submission.workflow(), attached=False, attempt=1)
    made = kubernetes.objects["Workflow", NAMESPACE, submission.workflow()]
    assert made["spec"] == manifest(submission)["spec"]
    assert handing.prepared == 1


@pytest.mark.parametrize("existing", ["", "Pending", "Running", "Succeeded"])
def test_the_same_plan_meets_the_workflow_that_is_there(
    handing: Handing, submission: Submission, kubernetes: KubernetesServer, existing: str
) -> None:
    stand(kubernetes, submission, 1, status={"phase": existing})
    assert handing.submit() == Submitted(
        name=submission.workflow(), attached=True, attempt=1, phase=existing
    )
    assert handing.prepared == 0
    assert not any(line.startswith("POST") for line in kubernetes.requests)


@pytest.mark.parametrize("ended", ["Failed", "Error"])
def test_after_one_that_failed_comes_another_attempt(
    handing: Handing, submission: Submission, kubernetes: KubernetesServer, ended: str
) -> None:
    for attempt in (1, 2):
        stand(kubernetes, submission, attempt, status={"phase": ended})
    submitted = handing.submit()
    assert submitted == Submitted(name=f"{submission.workflow()}-3", attached=False, attempt=3)
    assert handing.submit().attached


def test_one_that_is_being_stopped_is_not_met(
    handing: Handing, submission: Submission, kubernetes: KubernetesServer
) -> None:
    spec = {**manifest(submission)["spec"], "shutdown": "Stop"}
    stand(kubernetes, submission, 1, spec=spec, status={"phase": "Running"})
    assert handing.submit().attempt == 2


def test_one_that_came_in_between_is_met(
    handing: Handing, submission: Submission, kubernetes: KubernetesServer
) -> None:
    handing._prepare = lambda: stand(kubernetes, submission, 1)  # type: ignore[method-assign]
    assert handing.submit() == Submitted(name=submission.workflow(), attached=True, attempt=1)


def test_a_conflict_that_stays_is_raised(handing: Handing, kubernetes: KubernetesServer) -> None:
    kubernetes.fail("POST", "/workflows", 409, "object is being deleted", times=99)
    with pytest.raises(ClusterConflict):
        handing.submit()


def test_a_workflow_of_that_name_that_computes_something_else_is_no_match(
    handing: Handing, submission: Submission, kubernetes: KubernetesServer
) -> None:
    other = manifest(submission)
    other["metadata"]["annotations"] = {}
    kubernetes.put("Workflow", other)
    with pytest.raises(ClusterConflict) as failure:
        handing.submit()
    assert "does not say that it computes this plan" in failure.value.message


def test_another_plan_is_another_workflow(
    cluster: Cluster, handing: Handing, submission: Submission
) -> None:
    first = handing.submit()
    stages = (submitted_stage("clean", needs=("load",), recipe=digest("f")),)
    other = Handing(cluster, msgspec.structs.replace(submission, stages=stages)).submit()
    assert not other.attached
    assert other.name != first.name


def test_nothing_is_put_into_the_store_for_a_cluster_that_refuses(
    handing: Handing, kubernetes: KubernetesServer
) -> None:
    kubernetes.denied.add(("get", "workflows"))
    with pytest.raises(ClusterForbidden):
        handing.submit()
    assert handing.prepared == 0


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        (None, "is not there; it has to hold DB_HOST, DB_PASSWORD"),
        ({}, "has no value for DB_HOST, DB_PASSWORD"),
        ({"DB_HOST": "eA==", "DB_PASSWORD": ""}, "has no value for DB_PASSWORD, which stages get"),
    ],
)
def test_what_the_secret_lacks_is_an_error_before_anything_is_made(
    cluster: Cluster, kubernetes: KubernetesServer, secret: dict[str, str] | None, fault: str
) -> None:
    stages = (submitted_stage("load", env=("DB_PASSWORD", "DB_HOST")), submitted_stage("clean"))
    handing = Handing(cluster, make_submission(*stages, secret="shop"))
    if secret is not None:
        kubernetes.put("Secret", {"metadata": {"name": "shop"}, "data": secret})
    with pytest.raises(ClusterMissing) as failure:
        handing.submit()
    assert fault in failure.value.message
    assert handing.prepared == 0
    # Who may not read Secrets leaves it to the pods.
    kubernetes.denied.add(("get", "secrets"))
    assert not handing.submit().attached


class TestFollow:
    """A Workflow to its end."""

    def test_each_change_is_seen_until_the_exit_handler_has_ended(
        self,
        cluster: Cluster,
        submission: Submission,
        kubernetes: KubernetesServer,
    ) -> None:
        states = [
            {"phase": "Running", "dag": "Running"},
            {"phase": "Running", "dag": "Succeeded"},
            {"phase": "Succeeded", "dag": "Succeeded"},
        ]
        nodes = retried("clean", "Running", [pod("clean(0)", "text-clean", "Running")])
        stand(kubernetes, submission, 1)
        seen = []

        def see(workflow: Any) -> None:
            seen.append(phase(workflow))
            if states:
                kubernetes.put("Workflow", moved(workflow, *nodes, **states.pop(0)))

        workflow = follow(cluster, submission.workflow(), see, lambda: None)
        assert seen == ["", "Running", "Running", "Succeeded"]
        assert phase(workflow) == "Succeeded"

    def test_one_that_no_controller_takes_is_said_though_nothing_happens(
        self, cluster: Cluster, submission: Submission, kubernetes: KubernetesServer
    ) -> None:
        stand(kubernetes, submission, 1)
        untaken = threading.Event()

        def see(workflow: Any) -> None:
            # Nothing more comes from the cluster before it has been said.
            assert untaken.wait(30)
            kubernetes.put("Workflow", moved(workflow, phase="Succeeded"))

        follow(cluster, submission.workflow(), see, untaken.set, seconds=0)

    def test_one_that_a_controller_has_taken_is_not_said_to_be_left(
        self, cluster: Cluster, submission: Submission, kubernetes: KubernetesServer
    ) -> None:
        kubernetes.put("Workflow", moved(manifest(submission), phase="Succeeded"))
        calls: list[None] = []
        follow(
            *(cluster, submission.workflow()),
            lambda workflow: None,
            lambda: calls.append(None),
            seconds=3600,
        )
        assert calls == []

    def test_one_that_is_deleted_meanwhile(
        self, cluster: Cluster, submission: Submission, kubernetes: KubernetesServer
    ) -> None:
        stand(kubernetes, submission, 1)
        with pytest.raises(ClusterMissing) as failure:
            follow(
                cluster,
                submission.workflow(),
                lambda workflow: kubernetes.remove("Workflow", submission.workflow()),
                lambda: None,
            )
        assert f"the Workflow {submission.workflow()} in the namespace daintree is gone" in (
            failure.value.message
        )
