"""A submission's digest counts what is computed from what, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daintree.argo.submission import Submission, SubmittedHit
from daintree.spec.component import Resources
from daintree.store.layout import submission_path
from daintree.store.records import decode, encode, readable
from tests.argo.conftest import digest, make_submission, submitted_stage


def with_stage(submission: Submission, **changes: Any) -> Submission:
    """The submission with its first stage changed."""
    first, *rest = submission.stages
    stages = (msgspec.structs.replace(first, **changes), *rest)
    return msgspec.structs.replace(submission, stages=stages)


def test_its_digest_never_changes(submission: Submission) -> None:
    assert submission.digest == (
        "sha256:7ac0a6cb5c5b6c46453bf358d241b5efff1a08032b31d0e8b3ec2731c873e82c"
    )


@pytest.mark.parametrize(
    "change",
    [{"commit": ""}, {"user": "ben"}, {"tooling": "9"}, {"planned": "2027-01-01T00:00:00Z"}],
)
def test_who_asks_and_when_does_not_count(submission: Submission, change: Any) -> None:
    assert msgspec.structs.replace(submission, **change).digest == submission.digest


def test_a_reason_does_not_count(submission: Submission) -> None:
    assert with_stage(submission, reason="forced").digest == submission.digest


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": digest("8")},
        {"image": "registry.example/other@" + digest("3")},
        {"resources": Resources(cpu=1)},
        {"resources": Resources(gpu=1)},
        {"env": ("DB_PASSWORD",)},
        {"replaces": "20260301T101500000Z-0a1b2c3d"},
        {"parameters": {"top": 4}, "ineffective": ("top",)},
    ],
)
def test_what_is_computed_counts(submission: Submission, change: Any) -> None:
    assert with_stage(submission, **change).digest != submission.digest


def test_what_is_read_counts(submission: Submission) -> None:
    hit = SubmittedHit(name="load", location="elsewhere", digest=digest("7"))
    assert msgspec.structs.replace(submission, hits=(hit,)).digest != submission.digest


@pytest.mark.parametrize("change", [{"name": "corpus"}, {"url": "s3://raw/x"}])
def test_each_source_counts_with_its_name_and_place(submission: Submission, change: Any) -> None:
    source = msgspec.structs.replace(submission.sources[0], **change)
    assert msgspec.structs.replace(submission, sources=(source,)).digest != submission.digest


def test_it_is_read_as_it_was_written(submission: Submission) -> None:
    content = encode(submission, submission_path(submission.digest))
    assert readable(decode(Submission, content, submission_path(submission.digest))) == submission


def test_a_workflow_is_named_after_its_pipeline_and_plan(submission: Submission) -> None:
    name = submission.workflow()
    assert name == f"words-{submission.digest[7:17]}"
    assert submission.workflow(2) == f"{name}-2"


def test_a_long_pipeline_has_a_workflow_whose_name_is_a_label() -> None:
    name = make_submission(submitted_stage("load"), pipeline="P_" * 60).workflow(999)
    assert len(name) <= 63
