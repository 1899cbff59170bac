"""What is said of an order: pods that run, pods that are saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daintree.argo.submission import PlannedSubmission
from daintree.commands.argo import submission_as_json, submission_comments, submission_summary
from daintree.pipeline.decisions import Hit, Miss, Pending
from daintree.pipeline.plan import Planned
from daintree.store.records import RunManifest
from tests.argo.conftest import make_submission, submitted_stage

HITS = ("load", "left", "right")


@pytest.fixture
def ordered(
    planned: Callable[..., Planned], hit: Callable[[str, float], Hit], manifest: RunManifest
) -> Callable[..., PlannedSubmission]:
    """An order of the diamond: the first stages are hits, join has run once."""

    def ordered(*names: str) -> PlannedSubmission:
        decisions: dict[str, Any] = {name: hit(name, 2.5) for name in (*HITS, "join")}
        for name in names:
            decisions[name] = Pending(("left",)) if name == "join" else Miss("main.py changed")
        session, plan = planned(decisions, {"join": manifest})
        return PlannedSubmission(
            session=session,
            plan=plan,
            submission=make_submission(*map(submitted_stage, names)),
        )

    return ordered


def test_what_runs_and_what_is_saved(ordered: Callable[..., PlannedSubmission]) -> None:
    assert submission_summary(ordered("join")) == (
        "words: 1 pod to run (last 12.3 s); 3 pods and 7.50 s of pod time saved"
    )
    assert submission_summary(ordered("left", "join")) == (
        "words: 2 pods to run (last 12.3 s and 1 unknown); 2 pods and 5.00 s of pod time saved"
    )


def test_nothing_to_run(ordered: Callable[..., PlannedSubmission]) -> None:
    order = ordered()
    assert submission_summary(order) == (
        "words: nothing to run: 4 hits, 4 pods and 10.0 s of pod time saved; no Workflow is needed"
    )
    assert submission_as_json(order, "here", "")["workflow"] is None


def test_as_json(ordered: Callable[..., PlannedSubmission]) -> None:
    described = submission_as_json(ordered("join"), "here", "x.yaml")
    assert described["workflow"].startswith("words-")
    assert [stage["name"] for stage in described["stages"]] == ["join"]
    assert (described["namespace"], described["file"], described["saved_seconds"]) == (
        "here",
        "x.yaml",
        7.5,
    )


def test_comments_hold_the_plan(ordered: Callable[..., PlannedSubmission]) -> None:
    lines = submission_comments(ordered("left", "join"), "here")
    assert lines[1].startswith("commit 666")
    assert "  left   MISS     -       main.py changed" in lines
    assert lines[-2].endswith("to the namespace here,")
