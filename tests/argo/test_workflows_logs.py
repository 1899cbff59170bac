"""What the pods of a Workflow's stages say, at once and as they say it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from daintree.argo.cluster import Cluster
from daintree.argo.workflows import check_stage, follow_logs, read_logs, stage_log, stage_pods
from daintree.errors import ClusterMissing, UsageError
from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.in_cluster import adapter, manifest, moved, pod_of
from tests.argo.workflows import Node, exit_handler, pod, retried
from tests.services.kubernetes_objects import KubernetesServer

STAGES = make_submission(
    submitted_stage("Read_All", task="read-all", template="read"),
    submitted_stage("count", template="count"),
)
NAME = STAGES.workflow()
READ, COUNT = (
    pod_of(manifest(STAGES), f"{task}(0)", t)
    for task, t in (("read-all", "read"), ("count", "count"))
)


@pytest.fixture
def cluster(kubernetes: KubernetesServer, tmp_path: Path) -> Cluster:
    return adapter(kubernetes, tmp_path)


def stage(task: str, phase: str, template: str) -> list[Node]:
    """A task with one attempt."""
    return retried(task, phase, [pod(f"{task}(0)", template, phase)])


def stand(kubernetes: KubernetesServer, *nodes: Node, **more: Any) -> dict[str, Any]:
    """Have the Workflow stand in the cluster, with these nodes."""
    return kubernetes.put("Workflow", moved(manifest(STAGES), *nodes, **more))


@pytest.mark.parametrize(
    "line",
    [
        'time=2026-11-27T10:15:09.512Z level=INFO msg="waiting for signals" argo=true',
        'time="2026-11-27T10:15:09.512Z" level=info msg="capturing logs" argo=true',
        'time=2026-11-27T10:15:09Z level=INFO msg="sub-process exited" argo=true error="<nil>"',
        '{"time":"2026-11-27T10:15:09.5Z","level":"INFO","msg":"capturing logs","argo":true}',
        '{"time":"2026-11-27T10:15:09Z","level":"INFO","msg":"ended","argo":true,"error":null}',
    ],
)
def test_lines_of_argo_s_executor_are_left_out(
    cluster: Cluster, kubernetes: KubernetesServer, line: str
) -> None:
    own = ["time=3 level=high msg=mine", "argo=true", '{"argo":true}', f"> {line}"]
    kubernetes.say(READ, line, *own, line)
    assert list(stage_log(cluster, READ, follow=False)) == own


def test_the_latest_attempt_counts_and_the_exit_handler_comes_last() -> None:
    attempts = [pod(f"count({n})", "count", "Error" if n == 0 else "Running") for n in (0, 1)]
    workflow = moved(
        manifest(STAGES),
        *exit_handler("Pending"),
        *stage("read-all", "Succeeded", "read"),
        *retried("count", "Running", attempts),
    )
    lines = [(one.stage, one.pod, one.begun) for one in stage_pods(workflow)]
    assert lines[:2] == [
        ("count", pod_of(workflow, "count(1)", "count"), True),
        ("Read_All", READ, True),
    ]
    assert (lines[2][0], lines[2][2]) == ("record", False)
    assert lines[2][1].startswith(f"{NAME}-record-")


def test_all_stages_at_once(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    workflow = stand(
        kubernetes, *stage("read-all", "Succeeded", "read"), *stage("count", "Running", "count")
    )
    kubernetes.say(READ, "reading", "read")
    kubernetes.say(COUNT, "counting")
    lines: list[tuple[str, str]] = []
    read_logs(cluster, workflow, "", lambda *line: lines.append(line))
    assert lines == [("count", "counting"), ("Read_All", "reading"), ("Read_All", "read")]
    lines.clear()
    read_logs(cluster, workflow, "count", lambda *line: lines.append(line))
    assert lines == [("count", "counting")]


def test_a_secret_that_the_account_may_read_is_masked(
    cluster: Cluster, kubernetes: KubernetesServer
) -> None:
    secretive = make_submission(
        submitted_stage("count", template="count", env=("TOKEN",)), secret="shop"
    )
    nodes = stage("count", "Running", "count")
    workflow = kubernetes.put("Workflow", moved(manifest(secretive), *nodes))
    kubernetes.put("Secret", {"metadata": {"name": "shop"}, "data": {"TOKEN": "b3BlbiBzZXNhbWU="}})
    kubernetes.say(pod_of(workflow, "count(0)", "count"), "with open sesame", "with op", "era")
    lines: list[tuple[str, str]] = []
    read_logs(cluster, workflow, "", lambda *line: lines.append(line))
    assert [line for _, line in lines] == ["with ***", "with op", "era"]


def test_a_stage_that_has_not_begun(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    workflow = stand(kubernetes, *stage("read-all", "Pending", "read"))
    for name, text in (("Read_All", "Read_All has not begun"), ("", "no stage has begun")):
        with pytest.raises(ClusterMissing) as failure:
            read_logs(cluster, workflow, name, lambda *line: None)
        assert failure.value.message == f"{text} in the Workflow {NAME}"
        assert failure.value.hint == "--follow waits for it"


def test_pods_that_are_gone(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    workflow = stand(kubernetes, *stage("count", "Succeeded", "count"), phase="Succeeded")
    with pytest.raises(ClusterMissing) as failure:
        read_logs(cluster, workflow, "count", lambda *line: None)
    assert f"the pods of the Workflow {NAME} are gone" in failure.value.message
    assert "doit show" in failure.value.hint


def test_a_stage_that_it_does_not_compute() -> None:
    with pytest.raises(UsageError) as failure:
        check_stage(manifest(STAGES), "cuont")
    assert failure.value.hint == "did you mean 'count'?"
    check_stage(manifest(STAGES), "record")


def follow(cluster: Cluster, chosen: str) -> tuple[threading.Thread, list[tuple[str, str]]]:
    """Begin to follow; the thread that does, and the lines as they come."""
    lines: list[tuple[str, str]] = []
    thread = threading.Thread(
        target=follow_logs,
        args=(cluster, NAME, chosen, lambda *line: lines.append(line)),
    )
    thread.start()
    return thread, lines


def test_following_prints_side_by_side_until_the_end(
    cluster: Cluster, kubernetes: KubernetesServer
) -> None:
    stand(kubernetes, dag="Running")
    thread, lines = follow(cluster, "")
    kubernetes.say(READ, "reading", end=False)
    kubernetes.say(COUNT, "counting")
    both = (*stage("read-all", "Running", "read"), *stage("count", "Running", "count"))
    stand(kubernetes, *both, dag="Running")
    for name in (READ, COUNT):
        kubernetes.wait_for_request(f"{name}/log")
    ended = (*stage("read-all", "Succeeded", "read"), *stage("count", "Succeeded", "count"))
    stand(kubernetes, *ended, phase="Succeeded")
    kubernetes.say(READ, "read")
    thread.join()
    assert [line for name, line in lines if name == "Read_All"] == ["reading", "read"]
    assert ("count", "counting") in lines


def test_following_one_stage_ends_with_it(cluster: Cluster, kubernetes: KubernetesServer) -> None:
    kubernetes.say(COUNT, "counting")
    stand(kubernetes, *stage("count", "Succeeded", "count"), dag="Running")
    thread, lines = follow(cluster, "count")
    thread.join()
    assert lines == [("count", "counting")]
