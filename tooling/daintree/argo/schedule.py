"""A CronWorkflow that retrains at its times."""

from __future__ import annotations

from typing import Any

from hera.workflows import models as m

from daintree.argo.cluster_access import ClusterAccess
from daintree.argo.manifest import API_VERSION, plain
from daintree.argo.submit_step import standing_metadata, submit_spec

# How late a run may begin where the controller was away at its time.
LATE_SECONDS = 10 * 60
KEPT_RUNS = 3


def cron_manifest(
    pipeline: str,
    name: str,
    pinned: str,
    access: ClusterAccess,
    *,
    schedule: str,
    timezone: str,
    commit: str,
) -> dict[str, Any]:
    """The CronWorkflow `name` that plans and submits the pinned pipeline at each time of `schedule`.

    A run is left out while the one before still plans. `timezone` is "" for that of the cluster's controller.
    """
    cron = m.CronWorkflow(
        api_version=API_VERSION,
        kind="CronWorkflow",
        metadata=standing_metadata(pipeline, name, commit, access),
        spec=m.CronWorkflowSpec(
            schedules=[schedule],
            timezone=timezone or None,
            concurrency_policy="Forbid",
            starting_deadline_seconds=LATE_SECONDS,
            successful_jobs_history_limit=KEPT_RUNS,
            failed_jobs_history_limit=KEPT_RUNS,
            workflow_spec=submit_spec(pipeline, pinned, access),
        ),
    )
    return plain(cron)
