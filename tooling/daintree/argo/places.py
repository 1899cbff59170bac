"""Where a stage that runs in the cluster puts its output: one rule, for whoever writes the manifest and whoever records.

Argo fills in the time at which the Workflow was created and the number of the attempt. So no two executions, of whatever
Workflow, write to one place, and what a failed attempt leaves behind never lies beside what a good one writes.
"""

from __future__ import annotations

from datetime import datetime

from daintree.argo.submission import SubmittedStage
from daintree.digest import short

RETRIES = "{{retries}}"
WORKFLOW_NAME = "{{workflow.name}}"


def run_id(created: datetime, workflow: str, stage: str, attempt: int) -> str:
    """The run of a stage: `<UTC time>-<Workflow>-<stage>-<attempt, from 0>`; ids sort by time as every runner's do."""
    return _run_id(f"{created:%Y%m%dT%H%M%S}", workflow, stage, str(attempt))


def location(
    prefix: str, stage: SubmittedStage, created: datetime, workflow: str, attempt: int
) -> str:
    """Where the run of a stage is in the store, by the setting `prefix`."""
    return prefix.format(
        component=stage.component,
        version=short(stage.version),
        year=f"{created:%Y}",
        month=f"{created:%m}",
        day=f"{created:%d}",
        timestamp=run_id(created, workflow, stage.name, attempt),
    )


def location_template(prefix: str, component: str, version: str, stage: str) -> str:
    """`location` in Argo's words; `stage` may be such a word itself."""
    year, month, day, hour, minute, second = map(_created, "YmdHMS")
    time = f"{year}{month}{day}T{hour}{minute}{second}"
    return prefix.format(
        component=component,
        version=short(version),
        year=year,
        month=month,
        day=day,
        timestamp=_run_id(time, WORKFLOW_NAME, stage, RETRIES),
    )


def _created(part: str) -> str:
    return "{{workflow.creationTimestamp." + part + "}}"


def _run_id(time: str, workflow: str, stage: str, attempt: str) -> str:
    return f"{time}000Z-{workflow}-{stage}-{attempt}"
