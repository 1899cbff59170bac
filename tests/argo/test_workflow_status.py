"""A Workflow's status, as clusters return it, comes to one state a task and one attempt that counts."""

from __future__ import annotations

from typing import Any

import pytest

from daintree.argo.workflow_status import ObjectKey, read_status
from daintree.errors import ClusterError
from tests.argo.workflows import (
    CREATED,
    HOST,
    WORKFLOW,
    artifact,
    at,
    compressed,
    exit_handler,
    named,
    node_number,
    pod,
    retried,
    workflow,
)


def good(name: str, key: str = "", **more: Any) -> dict[str, Any]:
    """An attempt that succeeded."""
    outputs = {"artifacts": [artifact("output", key), artifact("main-logs", "x/main.log")]}
    return pod(name, "text-load", "Succeeded", outputs={**outputs, "exitCode": "0"}, **more)


def test_a_task_without_a_retry_strategy_is_its_own_attempt() -> None:
    made = workflow(good("load", "p/load/output", nodeFlag=None), phase="Succeeded")
    status = read_status(made)
    task = status.tasks["load"]
    assert (status.name, status.created, status.phase) == (WORKFLOW, CREATED, "Succeeded")
    assert task.state == "succeeded"
    assert task.successful == task.attempts[0]
    assert [one.output for one in task.attempts] == [ObjectKey("p/load/output")]


def test_of_several_attempts_the_one_that_succeeded_counts() -> None:
    attempts = [
        pod("load(0)", "text-load", "Error", message="pod deleted", outputs=None),
        pod("load(1)", "text-load", "Failed", message="OOMKilled (exit code 137)"),
        good("load(2)", "p/load-2/output"),
    ]
    task = read_status(workflow(*retried("load", "Succeeded", attempts))).tasks["load"]
    assert [one.state for one in task.attempts] == ["error", "failed", "succeeded"]
    assert [one.exit_code for one in task.attempts] == [None, 1, 0]
    assert [one.message for one in task.attempts][:2] == [
        "pod deleted",
        "OOMKilled (exit code 137)",
    ]
    assert task.successful == task.attempts[2]
    assert task.attempts[2].output == ObjectKey("p/load-2/output")


def test_attempts_are_in_the_order_of_their_numbers() -> None:
    attempts = [pod(f"load({number})", "text-load", "Failed") for number in range(11)]
    nodes = retried("load", "Failed", attempts)
    nodes[0]["children"].sort()
    task = read_status(workflow(*nodes, dag="Failed")).tasks["load"]
    assert [one.node for one in task.attempts] == [attempt["id"] for attempt in attempts]
    assert task.successful is None


def test_an_attempt_tells_what_it_ran_on() -> None:
    inputs = {
        "parameters": [{"name": "top", "value": "3"}, {"name": "none"}],
        "artifacts": [artifact("clean", "p/clean/output"), {"name": "raw", "raw": {"data": "x"}}],
    }
    [attempt] = read_status(workflow(good("load", inputs=inputs))).tasks["load"].attempts
    assert attempt.parameters == {"top": "3", "none": ""}
    assert attempt.artifacts == {"clean": ObjectKey("p/clean/output"), "raw": ObjectKey()}
    assert (attempt.host, attempt.template) == (HOST, "text-load")
    assert str(attempt.started) == "2026-03-01 10:15:19+00:00"
    assert str(attempt.finished) == "2026-03-01 10:15:26+00:00"


def test_what_lies_in_another_bucket_says_so_and_a_bucket_alone_changes_nothing() -> None:
    other_bucket = {"key": "p", "bucket": "theirs", "endpoint": "s3.example"}
    inputs = {
        "artifacts": [
            {"name": "other_bucket", "s3": other_bucket},
            {"name": "ignored", "s3": {"key": "p", "bucket": "theirs"}},
        ]
    }
    made = workflow(good("load", inputs=inputs))
    made["spec"] = {"templates": [{"inputs": {"artifacts": [{"name": "x", "s3": other_bucket}]}}]}
    [attempt] = read_status(made).tasks["load"].attempts
    assert attempt.artifacts == {
        "other_bucket": ObjectKey("p", "theirs"),
        "ignored": ObjectKey("p"),
    }


def test_a_server_that_no_manifest_names_is_the_repository_s_own() -> None:
    whole = {"key": "p", "bucket": "ml-artifacts", "endpoint": "minio.minio:9000"}
    inputs = {"artifacts": [{"name": "input", "s3": whole}]}
    [attempt] = read_status(workflow(good("load", inputs=inputs))).tasks["load"].attempts
    assert attempt.artifacts == {"input": ObjectKey("p")}


def test_a_pod_is_named_after_workflow_template_and_node() -> None:
    # The number is Argo's own for that name: any change of the hash would show.
    [attempt] = read_status(workflow(good("load"))).tasks["load"].attempts
    assert node_number("dag-with-retries-4wkh8.step1(1)") == 1501049017
    assert attempt.node == f"{WORKFLOW}-{node_number(f'{WORKFLOW}.load')}"
    assert attempt.pod == f"{WORKFLOW}-text-load-{node_number(f'{WORKFLOW}.load')}"


def test_a_pod_of_a_controller_that_names_pods_by_nodes_has_its_node_s_name() -> None:
    made = workflow(good("load"))
    made["metadata"]["annotations"] = {"workflows.argoproj.io/pod-name-format": "v1"}
    [attempt] = read_status(made).tasks["load"].attempts
    assert attempt.pod == attempt.node


def test_a_long_template_name_is_cut_in_the_pod_s() -> None:
    made = workflow(good("load", templateName="t" * 300))
    [attempt] = read_status(made).tasks["load"].attempts
    assert attempt.pod.startswith(f"{WORKFLOW}-ttt")
    assert len(attempt.pod.rpartition("-")[0]) == 242


def test_what_never_ran_has_no_attempt() -> None:
    omitted = named(
        "count", type="Skipped", phase="Omitted", message="omitted: depends condition not met"
    )
    skipped = named("plot", type="Skipped", phase="Skipped")
    tasks = read_status(workflow(omitted, skipped, dag="Failed")).tasks
    assert [(task.name, task.state) for task in tasks.values()] == [
        ("count", "omitted"),
        ("plot", "skipped"),
    ]
    assert tasks["count"].attempts == ()
    assert tasks["count"].message == "omitted: depends condition not met"


def test_a_deadline_is_said_by_the_attempt() -> None:
    attempt = pod(
        "load(0)",
        "text-load",
        "Failed",
        message="Pod was active on the node longer than the specified deadline",
        outputs={"artifacts": [artifact("output", "p/output")]},
    )
    task = read_status(workflow(*retried("load", "Failed", [attempt]), dag="Failed")).tasks["load"]
    assert task.state == "failed"
    assert task.successful is None
    assert "deadline" in task.attempts[0].message


def test_a_pod_whose_outputs_argo_has_not_seen_is_still_running() -> None:
    attempt = pod("load(0)", "text-load", "Succeeded", taskResultSynced=False)
    task = read_status(workflow(*retried("load", "Running", [attempt]), dag="Running")).tasks[
        "load"
    ]
    assert task.state == "running"
    assert task.attempts[0].state == "running"


def test_a_memoized_task_says_so() -> None:
    made = good("load", "old/output", memoizationStatus={"hit": True, "key": "k", "cacheName": "c"})
    attempt = read_status(workflow(made)).tasks["load"].successful
    assert attempt is not None
    assert attempt.memoized


def test_a_daemon_that_runs_has_not_succeeded() -> None:
    made = pod("serve", "text-serve", "Running", daemoned=True, podIP="10.0.0.1")
    assert read_status(workflow(made, dag="Running")).tasks["serve"].state == "running"


def test_the_exit_handler_is_no_task() -> None:
    made = workflow(*retried("load", "Succeeded", [good("load(0)")]), *exit_handler())
    assert list(read_status(made).tasks) == ["load"]


@pytest.mark.parametrize(
    ("dag", "settled"), [("Running", False), ("Succeeded", True), ("Failed", True), ("Error", True)]
)
def test_it_is_settled_when_its_dag_is_though_the_exit_handler_runs(
    dag: str, settled: bool
) -> None:
    assert read_status(workflow(*exit_handler(), dag=dag, phase="Running")).settled is settled


def test_it_is_settled_when_argo_has_given_it_up_though_its_dag_is_not() -> None:
    assert read_status(workflow(phase="Error", dag="Running")).settled


def test_compressed_nodes_are_the_same_nodes() -> None:
    made = workflow(*retried("load", "Succeeded", [good("load(0)", "p/output")]))
    assert "nodes" not in compressed(made)["status"]
    assert read_status(compressed(made)) == read_status(made)


def test_a_workflow_that_argo_has_not_seen_has_no_tasks() -> None:
    metadata = {"name": WORKFLOW, "creationTimestamp": at(0)}
    for made in ({"metadata": metadata}, {"metadata": metadata, "status": {}}):
        status = read_status(made)
        assert (status.phase, status.tasks, status.settled) == ("", {}, False)


def test_a_workflow_that_was_refused_is_settled_without_tasks() -> None:
    metadata = {"name": WORKFLOW, "creationTimestamp": at(0)}
    status = {"phase": "Error", "message": "invalid spec: templates.x undefined"}
    read = read_status({"metadata": metadata, "status": status})
    assert (read.settled, read.tasks, read.message) == (True, {}, status["message"])


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ({"offloadNodeStatusVersion": "fnv:1"}, "its controller keeps it in a database"),
        ({"compressedNodes": "KLUv/QQAWQAA"}, "it is no gzip"),
        ({"compressedNodes": "!"}, "it is no gzip"),
        ({"nodes": {WORKFLOW: {"id": 3}}}, "cannot be read"),
        ({"nodes": {WORKFLOW: {"id": WORKFLOW, "name": WORKFLOW, "phase": "Odd"}}}, "'Odd'"),
    ],
)
def test_a_status_that_cannot_be_read_is_said(status: dict[str, Any], complaint: str) -> None:
    metadata = {"name": WORKFLOW, "creationTimestamp": at(0)}
    with pytest.raises(ClusterError, match=f"Workflow {WORKFLOW}.*{complaint}") as raised:
        read_status({"metadata": metadata, "status": status})
    assert raised.value.hint


STOPPED: dict[str, Any] = {"spec": {"shutdown": "Stop"}}
LAST_WORDS = "workflow shutdown with strategy:  Stop"


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"message": "Error (exit code 143)", "outputs": {"exitCode": "143"}}, "cancelled"),
        ({"message": LAST_WORDS}, "cancelled"),
        ({"message": "Error (exit code 1)", "outputs": {"exitCode": "1"}}, "failed"),
    ],
)
def test_a_stage_that_its_workflow_s_stop_ended_is_cancelled(
    more: dict[str, Any], state: str
) -> None:
    ended = pod("load", "text-load", "Failed", nodeFlag=None, **more)
    assert read_status(workflow(ended, dag="Failed", **STOPPED)).tasks["load"].state == state
    assert read_status(workflow(ended, dag="Failed")).tasks["load"].state == "failed"
