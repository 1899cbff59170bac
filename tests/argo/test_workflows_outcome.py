"""How a Workflow ended comes to nothing, or to one message that names the stage at fault."""

from __future__ import annotations

from typing import Any

import pytest

from daintree.argo.workflows import check_outcome
from daintree.errors import StageFailed
from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.in_cluster import manifest, moved
from tests.argo.workflows import Node, at, compressed, exit_handler, named, pod, retried

STAGES = make_submission(
    submitted_stage("Read_All", task="read-all"), submitted_stage("count", needs=("Read_All",))
)


def ended(*nodes: Node, **more: Any) -> dict[str, Any]:
    """A Workflow of the two stages that has ended."""
    return moved(manifest(STAGES), *nodes, **more)


def failure_of(workflow: dict[str, Any]) -> StageFailed:
    with pytest.raises(StageFailed) as failure:
        check_outcome(workflow)
    return failure.value


def test_one_that_succeeded_says_nothing() -> None:
    check_outcome(ended(*retried("count", "Succeeded", []), phase="Succeeded"))


@pytest.mark.parametrize("packed", [False, True])
def test_the_stage_that_failed_first_is_named_with_its_reason(packed: bool) -> None:
    attempt = pod("read-all(0)", "x", "Failed", message="Error (exit code 1)")
    later = pod("count(0)", "x", "Failed", message="OOMKilled (exit code 137)")
    workflow = ended(
        *retried("count", "Failed", [later], finishedAt=at(40)),
        *retried("read-all", "Failed", [attempt], message="No more retries left"),
        dag="Failed",
        phase="Failed",
    )
    failure = failure_of(compressed(workflow) if packed else workflow)
    name = STAGES.workflow()
    assert failure.message == (
        f"Read_All failed in the Workflow {name}: Error (exit code 1), and 1 more"
    )
    assert failure.hint == f"doit logs {name}:Read_All"


def test_an_exit_code_that_the_message_leaves_out_is_added() -> None:
    attempt = pod(
        "count(0)", "x", "Failed", message="failed to save outputs", outputs={"exitCode": "7"}
    )
    workflow = ended(*retried("count", "Failed", [attempt]), dag="Failed", phase="Failed")
    assert failure_of(workflow).message.endswith(": exit code 7: failed to save outputs")


@pytest.mark.parametrize(("host", "hint"), [("", "doit doctor"), ("worker-1", "doit logs")])
def test_a_pod_that_the_cluster_did_not_let_start_has_no_log(host: str, hint: str) -> None:
    message = 'pods "words-1" is forbidden: violates PodSecurity "restricted:latest"'
    attempts = [
        pod(f"count({n})", "x", "Error", message=message, hostNodeName=host) for n in range(4)
    ]
    workflow = ended(
        *retried("count", "Error", attempts, message="No more retries left"),
        dag="Error",
        phase="Error",
    )
    assert message in failure_of(workflow).message
    assert hint in failure_of(workflow).hint


def test_a_task_without_a_pod_has_a_reason_too() -> None:
    task = named("count", type="Skipped", phase="Error", message="no such template")
    workflow = ended(task, dag="Error", phase="Error")
    assert failure_of(workflow).message.endswith("no such template")


def test_an_exit_handler_that_failed() -> None:
    workflow = ended(*retried("count", "Succeeded", []), *exit_handler("Failed"), phase="Failed")
    workflow["status"]["message"] = "error in exit template execution"
    failure = failure_of(workflow)
    assert failure.message == (
        f"the Workflow {STAGES.workflow()} ended with Failed: error in exit template execution"
    )
    assert f"doit logs {STAGES.workflow()}:record" in failure.hint


def test_what_the_exit_handler_says_goes_before_what_argo_says_of_its_retries() -> None:
    handler = [{**node, "message": "main: Error (exit code 1)"} for node in exit_handler("Failed")]
    workflow = ended(*retried("count", "Succeeded", []), *handler, phase="Failed")
    workflow["status"]["message"] = "retryStrategy.expression evaluated to false"
    assert failure_of(workflow).message.endswith("ended with Failed: main: Error (exit code 1)")


def test_one_that_was_stopped() -> None:
    attempt = pod("count(0)", "x", "Failed", message="workflow shutdown with strategy:  Stop")
    workflow = ended(*retried("count", "Failed", [attempt]), dag="Failed", phase="Failed")
    workflow["spec"]["shutdown"] = "Stop"
    assert failure_of(workflow).message == f"the Workflow {STAGES.workflow()} was stopped"
