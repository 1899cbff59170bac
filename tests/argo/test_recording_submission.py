"""A Workflow's submission is found whole, or it is said what is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daintree.argo.names import PLANNED, SUBMISSION
from daintree.argo.recording import submission_of
from daintree.argo.submission import Submission
from daintree.errors import StoreError, UsageError
from daintree.store.bucket import Bucket
from daintree.store.layout import submission_path
from daintree.store.records import encode
from daintree.store.remote import RemoteRuns
from daintree.terminal import say
from tests.services.minio import Minio


@pytest.fixture
def runs(minio: Minio) -> RemoteRuns:
    """The runs of a fresh bucket."""
    return RemoteRuns(Bucket(f"s3://{minio.bucket()}/team", minio.access), say)


def workflow(submission: Submission) -> dict[str, Any]:
    """A Workflow that carries the submission's digest and time."""
    annotations = {SUBMISSION: submission.digest, PLANNED: submission.planned}
    return {"metadata": {"name": "words-1", "annotations": annotations}}


def test_it_is_found_by_its_digest(runs: RemoteRuns, submission: Submission) -> None:
    runs.bucket.put(
        submission_path(submission.digest), encode(submission, submission_path(submission.digest))
    )
    assert submission_of(workflow(submission), runs) == submission


def test_its_time_is_that_of_the_workflow(runs: RemoteRuns, submission: Submission) -> None:
    runs.bucket.put(
        submission_path(submission.digest), encode(submission, submission_path(submission.digest))
    )
    later = msgspec.structs.replace(submission, planned="2026-03-02T00:00:00Z")
    assert submission_of(workflow(later), runs) == later


@pytest.mark.parametrize("planned", ["", "../..", "2026-03-01", "2026-13-01T00:00:00Z"])
def test_a_workflow_without_a_time_is_refused(
    runs: RemoteRuns, submission: Submission, planned: str
) -> None:
    runs.bucket.put(
        submission_path(submission.digest), encode(submission, submission_path(submission.digest))
    )
    edited = workflow(msgspec.structs.replace(submission, planned=planned))
    with pytest.raises(UsageError, match="has no time in its annotation"):
        submission_of(edited, runs)


@pytest.mark.parametrize("annotations", [None, {}, {SUBMISSION: "sha256:../../x"}])
def test_a_workflow_of_somebody_else_is_refused(
    runs: RemoteRuns, annotations: dict[str, str] | None
) -> None:
    with pytest.raises(UsageError, match="the Workflow words-1 was not written by `doit argo`"):
        submission_of({"metadata": {"name": "words-1", "annotations": annotations}}, runs)


def test_one_that_is_not_in_this_store_is_said(runs: RemoteRuns, submission: Submission) -> None:
    with pytest.raises(StoreError, match=f"is not in {runs.url}") as raised:
        submission_of(workflow(submission), runs)
    assert submission_path(submission.digest) in raised.value.message
    assert "DAINTREE_STORE" in raised.value.hint


def test_one_that_is_not_what_was_submitted_is_refused(
    runs: RemoteRuns, submission: Submission
) -> None:
    other = msgspec.structs.replace(submission, pipeline="other")
    newer = msgspec.structs.replace(submission, schema=99)
    for content, complaint in (
        (b"{", "it is damaged"),
        (b"[]", "it is damaged"),
        (encode(other, submission_path(submission.digest)), "it is not what its digest says"),
        (encode(newer, submission_path(submission.digest)), "it was made by a newer version"),
    ):
        runs.bucket.put(submission_path(submission.digest), content)
        with pytest.raises(StoreError, match=f"cannot be used: {complaint}"):
            submission_of(workflow(submission), runs)
