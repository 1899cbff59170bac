"""What ran as it was submitted is never taken for edited, whatever its names and parameters; `test_drift_edited` has what was edited."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from daintree.argo.drift import Drift
from daintree.argo.manifest import workflow_manifest
from daintree.argo.submission import Submission, location
from daintree.argo.workflow_status import ObjectKey, read_status
from tests.argo.any_pipeline import submissions
from tests.argo.conftest import cluster, make_submission, submitted_stage
from tests.argo.finished import finished
from tests.services.argo_expansion import UID

STORE = cluster().store


def differences(workflow: dict[str, Any], submission: Submission) -> dict[str, str]:
    """The difference of each stage of a Workflow that has run."""
    drift, status = Drift(workflow, submission, STORE), read_status(workflow)
    outputs = {hit.name: ObjectKey(f"team/{hit.location}/output") for hit in submission.hits}
    outputs[""] = ObjectKey(f"team/_sources/{'5' * 64}/output")
    differing = {}
    for stage in submission.stages:
        [attempt] = status.tasks[stage.task].attempts
        key = f"team/{location(submission, stage, UID, attempt.pod)}/output"
        inputs = {need: outputs[need] for need in stage.needs or ("",)}
        differing[stage.name] = drift.of_stage(stage, attempt, inputs, ObjectKey(key))
        outputs[stage.name] = ObjectKey(key)
    return differing


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(submissions())
def test_what_ran_as_it_was_submitted_has_no_drift(submission: Submission) -> None:
    workflow = finished(workflow_manifest(submission, cluster()))
    assert set(differences(workflow, submission).values()) == {""}


ALONE = make_submission(submitted_stage("load"))


def test_the_specification_that_argo_has_stored_of_a_workflow_template_counts() -> None:
    workflow = finished(workflow_manifest(ALONE, cluster()))
    spec = workflow.pop("spec")
    workflow["spec"] = {"workflowTemplateRef": {"name": "words"}}
    workflow["status"]["storedWorkflowTemplateSpec"] = spec
    assert differences(workflow, ALONE) == {"load": ""}
    template = next(one for one in spec["templates"] if "container" in one)
    template["container"]["image"] = "other"
    assert "other" in differences(workflow, ALONE)["load"]


def test_a_slash_at_the_end_of_an_input_s_key_does_not_matter() -> None:
    workflow = finished(workflow_manifest(ALONE, cluster()))
    artifacts = [
        artifact
        for node in workflow["status"]["nodes"].values()
        for artifact in node.get("inputs", {}).get("artifacts", ())
    ]
    assert artifacts
    for artifact in artifacts:
        artifact["s3"]["key"] += "/"
    assert differences(workflow, ALONE) == {"load": ""}
