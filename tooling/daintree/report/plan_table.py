"""A plan as a table for people and as JSON for programs."""

from __future__ import annotations

import sys
from typing import Any

from daintree.manifest import RunManifest
from daintree.plan import BoundStage, Decision, Hit, Pending
from daintree.report.text import colour, columns, count, duration
from daintree.run.elsewhere import elsewhere
from daintree.run.planning import Plan

_SHADES = {"hit": "green", "miss": "red", "pending": "yellow"}


def last_seconds(plan: Plan, stage: BoundStage, decision: Decision) -> float | None:
    """What computing the stage took: the hit's own run, else the latest run known."""
    if isinstance(decision, Hit):
        return decision.record.seconds
    last: RunManifest | None = plan.last_run(stage)
    return last.seconds if last else None


def reasons(plan: Plan) -> dict[str, str]:
    """Why each stage is what the plan says, and where another runner has what it misses."""
    plan.read_last_runs()
    others = elsewhere(plan)
    found = {stage.name: _reason(plan, stage) for stage in plan.stages}
    return {name: "; ".join(filter(None, (found[name], others.get(name)))) for name in found}


def _reason(plan: Plan, stage: BoundStage) -> str:
    decision = plan.decisions[stage.name]
    if plan.runner.name == "argo" and isinstance(decision, Pending):
        # A Workflow has no early cutoff: what is pending becomes a pod.
        return f"runs after {', '.join(decision.on)}"
    return plan.reason(stage, decision)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan as `doit plan --json` prints it."""
    stages = []
    why = reasons(plan)
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        stages.append(
            {
                "name": stage.name,
                "component": stage.component,
                "version": stage.version,
                "status": decision.status,
                "reason": why[stage.name],
                "key": stage.recipe,
                "run": decision.record.run if isinstance(decision, Hit) else None,
                "last_seconds": last_seconds(plan, stage, decision),
            }
        )
    return {"pipeline": plan.pipeline.name, "runner": plan.runner.name, "stages": stages}


def plan_table(plan: Plan) -> list[str]:
    """The plan's lines: a head, one row per stage, and what it will cost."""
    head = ["stage", "status", "last", "reason"]
    rows = []
    why = reasons(plan)
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        seconds = last_seconds(plan, stage, decision)
        last = "-" if seconds is None else duration(seconds)
        rows.append([stage.name, decision.status.upper(), last, why[stage.name]])
    lines = columns([head, *rows])
    start = lines[0].index(head[1])
    shaded = []
    for line, (_, status, *_) in zip(lines[1:], rows, strict=True):
        word = colour(status, _SHADES[status.lower()], sys.stdout)
        shaded.append(line[:start] + word + line[start + len(status) :])
    title = f"{plan.pipeline.name}: runner {plan.runner.name}, source {plan.identity.origin}, store {plan.store.url}"
    return [title, lines[0], *shaded, _cost(plan)]


def _cost(plan: Plan) -> str:
    """What the plan costs and saves, from the last durations; what has none is counted, never guessed."""
    times: dict[str, list[float | None]] = {"hit": [], "miss": [], "pending": []}
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        times[decision.status].append(last_seconds(plan, stage, decision))
    hits, misses, pending = times["hit"], times["miss"], times["pending"]
    if not misses and not pending:
        return f"nothing to run: {count(len(hits), 'hit')}, {_sum(hits)} saved"
    parts = [f"{count(len(misses), 'stage')} to run ({_sum(misses)})"]
    if pending:
        parts.append(f"{len(pending)} pending ({_sum(pending, 'at most ')})")
    if hits:
        parts.append(f"{count(len(hits), 'hit')} (saves {_sum(hits)})")
    return ", ".join(parts)


def _sum(seconds: list[float | None], bound: str = "") -> str:
    known = [value for value in seconds if value is not None]
    unknown = len(seconds) - len(known)
    if not known:
        return "duration unknown"
    return bound + duration(sum(known)) + (f" and {unknown} unknown" if unknown else "")
