"""A Workflow for people: each change of a stage is one line, said once."""

from __future__ import annotations

from typing import Any

import pytest

from daintree.argo.workflows import Submitted
from daintree.commands.submit import (
    LogLines,
    WorkflowProgress,
    submitted_as_json,
    submitted_line,
    untaken_line,
)
from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.in_cluster import manifest, moved
from tests.argo.workflows import Node, at, compressed, named, pod, retried

STAGES = make_submission(
    submitted_stage("Read_All", task="read-all"), submitted_stage("count", needs=("Read_All",))
)
NAME = STAGES.workflow()


def workflow(*nodes: Node, **more: Any) -> dict[str, Any]:
    return moved(manifest(STAGES), *nodes, **more)


def test_each_change_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = WorkflowProgress()
    pulling = pod("read-all(0)", "x", "Pending", message="ImagePullBackOff: no such image")
    starting = pod("read-all(0)", "x", "Pending", message="PodInitializing")
    running = pod("read-all(0)", "x", "Running")
    lost = pod("read-all(0)", "x", "Error", message="pod deleted")
    again = pod("read-all(1)", "x", "Running", hostNodeName="node-8")
    good = pod("read-all(1)", "x", "Succeeded")
    failed = pod("count(0)", "x", "Failed", message="Error (exit code 1)")
    for nodes in (
        [],
        retried("read-all", "Running", [starting]),
        retried("read-all", "Running", [pulling]),
        retried("read-all", "Running", [running]),
        retried("read-all", "Running", [running]),
        retried("read-all", "Running", [lost, again]),
        [
            *retried("read-all", "Succeeded", [lost, good]),
            *retried("count", "Failed", [failed], startedAt=at(30)),
        ],
    ):
        progress.seen(workflow(*nodes, dag="Running"))
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "Read_All  wait    ImagePullBackOff: no such image",
        "Read_All  run     on node-7",
        "Read_All  retry   attempt 2, after: pod deleted",
        "Read_All  run     on node-8",
        "Read_All  done    9.00 s",
        "count     failed  Error (exit code 1)",
    ]
    assert printed.out == ""


def test_a_cancelled_stage_is_said_once_and_is_no_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = WorkflowProgress()
    for message in ("Error (exit code 143)", "workflow shutdown with strategy:  Stop"):
        ended = pod("count(0)", "x", "Failed", message=message, outputs={"exitCode": "143"})
        made = workflow(*retried("count", "Failed", [ended], message=message), dag="Failed")
        made["spec"] = {**made["spec"], "shutdown": "Stop"}
        progress.seen(made)
    assert capsys.readouterr().err == "count     cancel  stopped with its Workflow\n"


def test_a_workflow_that_nobody_runs_names_who_should() -> None:
    line = untaken_line("words-1", "shop")
    assert line.startswith("no controller has taken the Workflow words-1: ")
    assert "for the namespace shop" in line


def test_a_stage_that_never_began_and_a_status_that_is_packed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    omitted = named(
        "count", type="Skipped", phase="Omitted", message="omitted: depends condition not met"
    )
    WorkflowProgress().seen(compressed(workflow(omitted, dag="Failed")))
    assert capsys.readouterr().err == "count     skip    omitted: depends condition not met\n"


def test_the_end_says_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    ended = workflow(*retried("count", "Succeeded", []), phase="Succeeded")
    ended["status"]["finishedAt"] = "2026-03-01T10:17:15Z"
    WorkflowProgress().ended(ended)
    assert capsys.readouterr().err == f"the Workflow {NAME} has succeeded: 1 stage in 2 min 05 s\n"


@pytest.mark.parametrize(
    ("attached", "phase", "printed"),
    [
        (False, "", f"words: submitted the Workflow {NAME} in the namespace shop"),
        (True, "Running", "computes this plan already: attached to it"),
        (True, "Succeeded", f"has succeeded: doit record {NAME} records it again"),
    ],
)
def test_what_became_of_a_submission(attached: bool, phase: str, printed: str) -> None:
    submitted = Submitted(name=NAME, attached=attached, attempt=1, phase=phase)
    assert submitted_line("words", submitted, "shop").endswith(printed)
    assert submitted_as_json(submitted, "shop")["attached"] is attached


def test_logs_carry_their_stage_unless_it_is_alone(capsys: pytest.CaptureFixture[str]) -> None:
    LogLines(workflow(), alone=False).show("count", "a line")
    LogLines(workflow(), alone=True).show("count", "a line")
    assert capsys.readouterr().out == "count     | a line\na line\n"
