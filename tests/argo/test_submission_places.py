"""One rule for a run's place: what Argo fills in is what is looked for afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daintree.argo.submission import location, location_template, run_id
from tests.argo.conftest import PREFIX, submitted_stage

CREATED = datetime(2026, 3, 1, 10, 15, 9, tzinfo=UTC)


def filled(text: str, attempt: int) -> str:
    """`text` as Argo fills it in."""
    for part in "YmdHMS":
        text = text.replace("{{workflow.creationTimestamp." + part + "}}", f"{CREATED:%{part}}")
    return text.replace("{{workflow.name}}", "words-1").replace("{{retries}}", str(attempt))


def test_a_run_is_named_by_time_workflow_stage_and_attempt() -> None:
    assert run_id(CREATED, "words-1", "count", 2) == "20260301T101509000Z-words-1-count-2"


@pytest.mark.parametrize("prefix", [PREFIX, "runs/{timestamp}/{component}"])
@pytest.mark.parametrize("attempt", [0, 11])
def test_what_argo_fills_in_is_where_the_run_is_looked_for(prefix: str, attempt: int) -> None:
    stage = submitted_stage("count")
    template = location_template(prefix, stage.component, stage.version, stage.name)
    assert filled(template, attempt) == location(prefix, stage, CREATED, "words-1", attempt)
