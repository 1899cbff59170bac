"""Attempts that a Workflow makes again, by Argo's own reading of the expression that says so."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from daintree.argo.manifest import (
    RECORD_RETRIES,
    STAGE_RETRIES,
    TEMPORARY_FAILURE,
    TERMINATED,
    retries,
    workflow_manifest,
)
from tests.argo.conftest import cluster, make_submission, submitted_stage
from tests.services.availability import unavailable
from tests.services.one_machine_argo import is_retried

STAGE = retries(STAGE_RETRIES, TERMINATED)
RECORD = retries(RECORD_RETRIES, TERMINATED, TEMPORARY_FAILURE)

# (phase, exit code, message): is a stage, is the record step tried again?
ATTEMPTS = {
    ("Error", "-1", "pod deleted"): (True, True),
    ("Error", "0", "failed to save outputs: connection reset"): (True, True),
    ("Failed", "143", "main: Error (exit code 143)"): (True, True),
    ("Failed", "75", "main: Error (exit code 75)"): (False, True),
    ("Failed", "-1", "Pod was terminated in response to imminent node shutdown."): (True, True),
    ("Failed", "137", "The node was low on resource: memory. Threshold"): (True, True),
    ("Failed", "137", "main: Error (exit code 137)"): (True, True),
    ("Failed", "137", "main: OOMKilled (exit code 137)"): (False, False),
    ("Failed", "-1", "Pod was rejected: Node didn't have enough resource: cpu"): (True, True),
    ("Failed", "137", "Preempted in order to admit critical pod"): (True, True),
    (
        *("Failed", "137"),
        "main: ContainerStatusUnknown (exit code 137): The container could not be located",
    ): (True, True),
    ("Failed", "255", "main: Unknown (exit code 255)"): (True, True),
    ("Failed", "255", "main: Error (exit code 255)"): (False, False),
    ("Failed", "1", "main: Error (exit code 1): main: Error (exit code 137)"): (False, False),
    ("Failed", "1", "main: Error (exit code 1): it's 'low'"): (False, False),
    ("Failed", "2", ""): (False, False),
    ("Failed", "64", "main: Error (exit code 64)"): (False, False),
    ("Failed", "-1", "Pod was active on the node longer than the specified deadline"): (
        False,
        False,
    ),
}


@pytest.fixture(scope="session")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program around Argo's own evaluation of expressions, built once."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        unavailable("no Go to build Argo's evaluation of expressions with")
    program = tmp_path_factory.mktemp("retries") / "retries"
    source = Path(__file__).with_name("retries")
    command = [go, "build", "-o", str(program), "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if built.returncode:
        unavailable(f"Argo's evaluation of expressions cannot be built: {built.stderr[-500:]}")
    return program


def test_argo_tries_again_what_the_cluster_ended_and_nothing_else(evaluator: Path) -> None:
    lines = "".join(
        json.dumps(
            {"lastRetry.status": p, "lastRetry.exitCode": c, "lastRetry.message": m, "retries": "0"}
        )
        for p, c, m in ATTEMPTS
    )
    for index, strategy in enumerate((STAGE, RECORD)):
        command = [str(evaluator), strategy["expression"]]
        read = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
        verdicts = [line == "true" for line in read.stdout.splitlines()]
        assert dict(zip(ATTEMPTS, verdicts, strict=True)) == {
            attempt: again[index] for attempt, again in ATTEMPTS.items()
        }


def test_the_cluster_of_the_tests_decides_as_argo_does() -> None:
    for (phase, code, message), expected in ATTEMPTS.items():
        outputs = {} if code == "-1" else {"exitCode": code}
        attempt = {"phase": phase, "message": message, "outputs": outputs}
        assert (is_retried(attempt, STAGE), is_retried(attempt, RECORD)) == expected


def test_no_attempt_waits() -> None:
    # Argo waits a backoff out even where no attempt follows it.
    templates = workflow_manifest(make_submission(submitted_stage("load")), cluster())["spec"][
        "templates"
    ]
    strategies = [one["retryStrategy"] for one in templates if "retryStrategy" in one]
    assert strategies == [STAGE, RECORD]
    assert not any("backoff" in strategy for strategy in strategies)
