"""One rule for a run's location: the one that Argo fills in is the one that is looked for afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daintree.argo.submission import POD_NAME, WORKFLOW_UID, location, run_id
from tests.argo.conftest import PREFIX, make_submission, submitted_stage
from tests.services.argo_expansion import UID, replace_tags, workflow_scope

# On another day than the plan, and on a third one where the controller is.
CREATED = datetime(2026, 3, 3, 10, 15, 9, tzinfo=UTC)
PLANNED = "2026-03-01T23:59:09Z"
METADATA = {"metadata": {"name": "words-1", "namespace": "daintree"}, "spec": {}}


def test_a_run_is_named_by_time_workflow_and_pod() -> None:
    assert run_id(PLANNED, UID, "words-1-text-count-7") == (
        f"20260301T235909000Z-{UID}-words-1-text-count-7"
    )


@pytest.mark.parametrize("prefix", [PREFIX, "runs/{timestamp}/{component}"])
@pytest.mark.parametrize("pod", ["words-1-text-count-7", "words-1-text-count-70"])
def test_the_location_that_argo_fills_in_is_the_run_s(prefix: str, pod: str) -> None:
    stage = submitted_stage("count")
    submission = make_submission(stage, prefix=prefix, planned=PLANNED)
    scope = {**workflow_scope(METADATA, CREATED), "pod.name": pod}
    filled = replace_tags(location(submission, stage, WORKFLOW_UID, POD_NAME), scope)
    assert filled == location(submission, stage, UID, pod)


def test_a_location_is_by_the_submission_s_own_day() -> None:
    submission = make_submission(submitted_stage("count"), planned=PLANNED)
    place = location(submission, submission.stages[0], UID, "pod-1")
    assert "/2026/03/01/20260301T235909000Z-" in place
