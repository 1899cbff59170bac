"""What ran as it was submitted is never taken for edited, whatever its names and parameters; what was edited is, in `test_recording_edited`."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings

from daintree.argo.manifest import input_places, workflow_manifest
from daintree.argo.recording import edited
from daintree.argo.submission import Submission, SubmittedStage
from daintree.argo.workflow_status import Attempt, Place
from tests.argo.any_pipeline import submissions
from tests.argo.conftest import cluster, make_submission, submitted_stage


def ran(
    manifest: dict[str, Any], submission: Submission, stage: SubmittedStage
) -> tuple[Attempt, dict[str, Place]]:
    """The stage's attempt, as Argo fills in its task's parameters, and where its inputs are."""
    tasks = manifest["spec"]["templates"][0]["dag"]["tasks"]
    task = next(one for one in tasks if one["name"] == stage.task)
    given = manifest["spec"].get("arguments", {}).get("parameters", [])
    values = {f"{{{{workflow.parameters.{one['name']}}}}}": one["value"] for one in given}
    parameters = {
        one["name"]: values.get(one["value"], one["value"])
        for one in task["arguments"]["parameters"]
    }
    places = input_places(stage, submission.source)
    inputs = {need: Place(f"store/{need}/output") for need in places}
    attempt = Attempt(
        number=0,
        node="node",
        pod="pod",
        template=stage.template,
        state="succeeded",
        message="",
        started=None,
        finished=None,
        host="",
        exit_code=0,
        output=Place(),
        parameters=parameters,
        artifacts={place.artifact: inputs[need] for need, place in places.items()},
        memoized=False,
    )
    return attempt, inputs


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(submissions())
def test_what_ran_as_it_was_submitted_is_not_edited(submission: Submission) -> None:
    manifest = workflow_manifest(submission, cluster())
    for stage in submission.stages:
        attempt, inputs = ran(manifest, submission, stage)
        assert edited(manifest, stage, submission.source, attempt, inputs) == ""


ALONE = make_submission(submitted_stage("load"))


def test_what_argo_has_made_of_a_workflow_template_is_compared() -> None:
    manifest = workflow_manifest(ALONE, cluster())
    [stage] = ALONE.stages
    attempt, inputs = ran(manifest, ALONE, stage)
    referring = {
        "spec": {"workflowTemplateRef": {"name": "words"}},
        "status": {"storedWorkflowTemplateSpec": manifest["spec"]},
    }
    assert edited(referring, stage, ALONE.source, attempt, inputs) == ""
    manifest["spec"]["templates"][1]["container"]["image"] = "other"
    assert edited(referring, stage, ALONE.source, attempt, inputs) == "its image is other"


def test_a_slash_at_the_end_of_a_key_does_not_matter() -> None:
    manifest = workflow_manifest(ALONE, cluster())
    [stage] = ALONE.stages
    attempt, inputs = ran(manifest, ALONE, stage)
    slashed = msgspec.structs.replace(attempt, artifacts={"input": Place("store//output/")})
    assert edited(manifest, stage, ALONE.source, slashed, inputs) == ""
