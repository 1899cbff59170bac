"""An order for a cluster, for people and as JSON: what runs there, and what need not."""

from __future__ import annotations

from typing import Any

from daintree.argo.order import Order
from daintree.report.plan_table import last_seconds, reasons
from daintree.report.text import columns, count, duration


def order_comments(order: Order, namespace: str) -> list[str]:
    """What stands above a manifest: where it comes from, the plan, and how it is submitted."""
    plan, submission = order.plan, order.submission
    why = reasons(plan)
    rows = [["stage", "status", "last", "reason"]]
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        seconds = last_seconds(plan, stage, decision)
        last = "-" if seconds is None else duration(seconds)
        rows.append([stage.name, decision.status.upper(), last, why[stage.name]])
    head = f"{plan.pipeline.name}: what the store {plan.store.url} does not have yet"
    place = f"commit {submission.commit}, " if submission.commit else ""
    return [
        head,
        f"{place}submission {submission.digest}",
        "",
        *columns(rows),
        "",
        f"Submit it with `doit submit {plan.pipeline.name}`, `argo submit` or `kubectl create -f`, to the namespace {namespace},",
        "which needs what deploy/argo makes; `doit doctor --runner argo` checks that.",
    ]


def order_summary(order: Order) -> str:
    """What the cluster does, and what it is spared, in one line; seconds are those of the last runs."""
    name, stages = order.plan.pipeline.name, order.submission.stages
    saved = f"{count(len(order.hits), 'pod')} and {duration(order.saved)} of pod time saved"
    if not stages:
        return f"{name}: nothing to run: {count(len(order.hits), 'hit')}, {saved}; no Workflow is needed"
    return f"{name}: {count(len(stages), 'pod')} to run{_last(order)}; {saved}"


def order_as_json(order: Order, namespace: str, file: str) -> dict[str, Any]:
    """The order as `doit argo --json` prints it; `workflow` is null where nothing is to run."""
    submission = order.submission
    return {
        "pipeline": submission.pipeline,
        "workflow": submission.workflow() if submission.stages else None,
        "namespace": namespace,
        "submission": submission.digest,
        "file": file or None,
        "stages": [
            {
                "name": stage.name,
                "component": stage.component,
                "version": stage.version,
                "image": stage.image,
                "key": stage.recipe,
                "reason": stage.reason,
            }
            for stage in submission.stages
        ],
        "hits": list(order.hits),
        "saved_seconds": round(order.saved, 3),
    }


def _last(order: Order) -> str:
    known = [
        seconds
        for stage in order.plan.stages
        if stage.name not in order.hits
        and (seconds := last_seconds(order.plan, stage, order.plan.decisions[stage.name]))
        is not None
    ]
    missing = len(order.submission.stages) - len(known)
    if not known:
        return ""
    return f" (last {duration(sum(known))}" + (f" and {missing} unknown)" if missing else ")")
