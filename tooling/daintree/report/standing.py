"""What stands above manifests that stay in a cluster: what they do, what they need there, and how they get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daintree.argo import names

_ACCOUNTS = (
    f"It needs what deploy/argo makes there: the accounts {names.SUBMITTER_ACCOUNT}, {names.RECORD_ACCOUNT} and",
    f"{names.EXECUTOR_ACCOUNT}, and the secret {names.STORE_SECRET}; `doit doctor --runner argo` checks that.",
)
_PINNED = (
    "The versions and parameters are those of this file: write it anew when the pipeline or a component changes.",
    "A run that finds nothing missing costs one short pod.",
)


def schedule_comments(
    pipeline: str, commit: str, namespace: str, schedule: str, timezone: str
) -> list[str]:
    """Above a CronWorkflow."""
    when = f"{schedule} ({timezone or 'in the time of the controller'})"
    return [
        f"{pipeline}: plans at {when}, and submits what is missing then",
        *_place(commit, namespace),
        "",
        *_PINNED,
        *_ACCOUNTS,
        "",
        "Put it into the cluster with `kubectl apply -f FILE`.",
    ]


def event_comments(pipeline: str, name: str, commit: str, namespace: str, source: str) -> list[str]:
    """Above what reacts to events."""
    return [
        f"{pipeline}: plans when there are new objects below {source} or a webhook is called, and submits what is missing then",
        *_place(commit, namespace),
        "",
        *_PINNED,
        *_ACCOUNTS,
        "The EventSource and the Sensor need Argo Events with an EventBus `default` in the namespace, and a key that may listen to",
        "the bucket's notifications. The WorkflowEventBinding needs Argo's server: a POST with a token of an account that may create",
        f"Workflows, to /api/v1/events/{namespace}/{name}",
        "",
        "Put it into the cluster with `kubectl apply -f FILE`; leave out what you do not use.",
    ]


def template_comments(pipeline: str, name: str, commit: str, namespace: str) -> list[str]:
    """Above a WorkflowTemplate to own."""
    return [
        f"{pipeline}: the whole pipeline, to commit and to edit by hand",
        *_place(commit, namespace),
        "",
        "Every stage is a pod each time: nothing is planned, skipped or recorded, since nobody can vouch for what is edited.",
        f"Outputs are below by-hand/{pipeline}/ in the store's bucket, by Workflow, stage and attempt.",
        *_ACCOUNTS,
        "",
        f"Put it into the cluster with `kubectl apply -f FILE`, run it with `argo submit --from workflowtemplate/{name}`.",
    ]


def standing_summary(pipeline: str, documents: Sequence[Mapping[str, Any]]) -> str:
    """What was written, in one line."""
    made = [f"{document['kind']} {document['metadata']['name']}" for document in documents]
    return f"{pipeline}: {', '.join(made)}; nothing runs until it is in the cluster"


def standing_as_json(
    pipeline: str, documents: Sequence[Mapping[str, Any]], file: str
) -> dict[str, Any]:
    """What was written, as `doit argo --json` prints it."""
    return {
        "pipeline": pipeline,
        "namespace": documents[0]["metadata"]["namespace"],
        "file": file or None,
        "objects": [{"kind": d["kind"], "name": d["metadata"]["name"]} for d in documents],
    }


def _place(commit: str, namespace: str) -> list[str]:
    where = f"namespace {namespace}"
    return [f"commit {commit}, {where}" if commit else where]
