"""How a run ended: where each stage's output lies, and one line of what was spent and saved."""

from __future__ import annotations

from typing import Any

from daintree.report.text import columns, count, duration
from daintree.run.pipeline_run import PipelineRun, Result


def run_summary(run: PipelineRun, seconds: float, copied: str) -> str:
    """One row per stage with its output's path, then the closing line."""
    rows = [
        [name, result.status, duration(result.record.seconds), _path(run, result)]
        for name, result in run.results.items()
    ]
    hits = [result for result in run.results.values() if result.status == "hit"]
    saved = sum(result.record.seconds for result in hits)
    closing = (
        f"{run.plan.pipeline.name}: {count(len(hits), 'hit')}, {count(len(rows) - len(hits), 'run')}, "
        f"{duration(seconds)} spent, {duration(saved)} saved"
    )
    return "\n".join([*columns(rows), closing + (f"; output in {copied}" if copied else "")])


def run_as_json(run: PipelineRun) -> dict[str, Any]:
    """The same for programs."""
    return {
        "pipeline": run.plan.pipeline.name,
        "runner": run.plan.runner.name,
        "stages": [
            {
                "name": name,
                "status": result.status,
                "run": result.record.run,
                "seconds": result.record.seconds,
                "digest": result.record.digest,
                "path": _path(run, result),
            }
            for name, result in run.results.items()
        ],
    }


def _path(run: PipelineRun, result: Result) -> str:
    return run.plan.store.address(result.record.location)
