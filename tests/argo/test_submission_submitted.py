"""A Workflow's submission is found whole, or it is said what is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daintree.argo.names import SUBMISSION
from daintree.argo.submission import Submission, submission_of
from daintree.errors import StoreError, UsageError
from daintree.store.bucket import Bucket
from daintree.store.records import encode
from tests.services.minio import Minio


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}/team", minio.access)


def workflow(submission: Submission) -> dict[str, Any]:
    """A Workflow that carries the submission's digest."""
    return {"metadata": {"name": "words-1", "annotations": {SUBMISSION: submission.digest}}}


def test_it_is_found_by_its_digest(bucket: Bucket, submission: Submission) -> None:
    bucket.put(submission.place, encode(submission))
    assert submission_of(workflow(submission), bucket) == submission


@pytest.mark.parametrize("annotations", [None, {}, {SUBMISSION: "sha256:../../x"}])
def test_a_workflow_of_somebody_else_is_refused(
    bucket: Bucket, annotations: dict[str, str] | None
) -> None:
    with pytest.raises(UsageError, match="the Workflow words-1 was not written by `doit argo`"):
        submission_of({"metadata": {"name": "words-1", "annotations": annotations}}, bucket)


def test_one_that_is_not_in_this_store_is_said(bucket: Bucket, submission: Submission) -> None:
    with pytest.raises(StoreError, match=f"is not in {bucket.url}") as raised:
        submission_of(workflow(submission), bucket)
    assert submission.place in raised.value.message
    assert "DAINTREE_STORE" in raised.value.hint


def test_one_that_is_not_what_was_submitted_is_refused(
    bucket: Bucket, submission: Submission
) -> None:
    other = msgspec.structs.replace(submission, pipeline="other")
    newer = msgspec.structs.replace(submission, schema=99)
    for content, said in (
        (b"{", "it is damaged"),
        (b"[]", "it is damaged"),
        (encode(other), "it is not what its digest says"),
        (encode(newer), "it is of schema 99, written by a newer version"),
    ):
        bucket.put(submission.place, content)
        with pytest.raises(StoreError, match=f"{submission.place} cannot be used: {said}"):
            submission_of(workflow(submission), bucket)
