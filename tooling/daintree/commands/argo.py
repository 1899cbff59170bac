"""`doit argo`: what a pipeline misses, as an Argo Workflow."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daintree.argo import names
from daintree.argo.submission import Order
from daintree.commands.command import (
    FORCE,
    JSON_OPTION,
    SET,
    SOURCE,
    DaintreeCommand,
    option,
    plan_request,
    planned,
    print_json,
)
from daintree.commands.names import COMMANDS
from daintree.commands.plan import last_seconds, reasons
from daintree.errors import UsageError
from daintree.pipeline.session import Request
from daintree.settings import Settings
from daintree.spec.pipeline import pipeline_files
from daintree.terminal import columns, count, duration, say

if TYPE_CHECKING:
    from daintree.argo.manifest import ClusterAccess
    from daintree.argo.submission import Order
    from daintree.pipeline.plan import Planned

NAMESPACE = option(
    "namespace", "the namespace in the cluster (default: the setting `argo_namespace`)"
)


def ordered(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Order:
    """The order for what the pipeline misses, with the options `source`, `set` and `force`.

    A hit that only this machine has is published first. Raises as `make_plan` and `order_of` do.
    """
    from daintree.argo.submission import order_of, share_hits

    options = {**options, "runner": "argo"}
    made = planned(settings, pipeline, options, force=options["force"], fetch=True)
    if share_hits(*made):
        made = planned(settings, pipeline, options, force=options["force"], fetch=True)
    return order_of(*made)


def access_of(settings: Settings, namespace: str) -> ClusterAccess:
    """Settings of this cluster for manifests. Raises as `cluster_access` and `tooling_image` do."""
    from daintree.argo.images import tooling_image
    from daintree.argo.manifest import cluster_access
    from daintree.store.s3 import read_s3_access

    return cluster_access(settings, read_s3_access(), tooling_image(settings), namespace)


STANDING_OPTIONS = (
    option(
        "schedule",
        "write a CronWorkflow that plans and submits the pipeline at these times, such as '0 3 * * *'",
    ),
    option(
        "timezone", "the time zone of --schedule, such as Europe/Berlin (default: the controller's)"
    ),
    option(
        "on_event",
        "write what plans and submits the pipeline for new objects of its s3:// source, and for a webhook",
        type=bool,
    ),
    option("template", "write a WorkflowTemplate of every stage, to edit by hand", type=bool),
)


class Standing(msgspec.Struct, frozen=True):
    """Manifests that stay in a cluster under one name, and what is said above them."""

    name: str
    documents: list[dict[str, Any]]
    comments: list[str]


def is_standing(options: Mapping[str, Any]) -> bool:
    """True when the options ask for one of these. Raises UsageError for several, or for some without what they belong to."""
    asked = [f"--{n.replace('_', '-')}" for n in ("schedule", "on_event", "template") if options[n]]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are different manifests", hint="ask for one")
    if asked and options["force"]:
        raise UsageError(f"--force is for what is submitted now, {asked[0]} for later")
    if options["timezone"] and not options["schedule"]:
        raise UsageError("--timezone is that of --schedule", hint="--schedule '0 3 * * *'")
    return bool(asked)


def standing(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    """The trigger or submission that the options ask for.

    Raises as planning does, and UsageError for a wrong schedule, time zone or kind of source, SourceError for a source that
    pods cannot look at, ImageError for a component that is not committed or not pushed.
    """
    if options["schedule"]:
        return _schedule(settings, pipeline, options)
    if options["on_event"]:
        return _on_event(settings, pipeline, options)
    return _template(settings, pipeline, options)


def _schedule(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    from daintree.argo.triggers import check_schedule, check_timezone, cron_manifest

    schedule = check_schedule(options["schedule"])
    timezone = check_timezone(options["timezone"]) if options["timezone"] else ""
    _, frozen, commit, access = _planned(settings, pipeline, options)
    name = _name(settings, pipeline, pipeline)
    document = cron_manifest(
        pipeline,
        name,
        frozen,
        access,
        schedule=schedule,
        timezone=timezone,
        commit=commit,
    )
    comments = schedule_comments(pipeline, commit, access.namespace, schedule, timezone)
    return Standing(name, [document], comments)


def _on_event(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    from daintree.argo.triggers import event_manifests

    (session, plan), frozen, commit, access = _planned(settings, pipeline, options)
    source = session.source.url
    if not source:
        raise UsageError(
            f"--on-event watches a bucket, and the source {plan.identity.origin} is in none",
            hint="--source s3://bucket/prefix, or --schedule",
        )
    name = _name(settings, pipeline, f"{pipeline}/on-event")
    documents = event_manifests(pipeline, name, frozen, access, source=source, commit=commit)
    comments = event_comments(pipeline, name, commit, access.namespace, source)
    return Standing(name, documents, comments)


def _template(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    from daintree.argo.submission import order_of, upload_source
    from daintree.argo.triggers import template_manifest

    request = Request(
        pipeline=pipeline,
        directory=Path.cwd(),
        source=options["source"],
        set=tuple(options["set"]),
        always=True,
        runner="argo",
    )
    order = order_of(*plan_request(settings, request, fetch=True))
    access = access_of(settings, options["namespace"])
    name = _name(settings, pipeline, pipeline)
    document = template_manifest(order.submission, name, access)
    upload_source(order, say)
    comments = template_comments(pipeline, name, order.submission.commit, access.namespace)
    return Standing(name, [document], comments)


def _planned(
    settings: Settings, pipeline: str, options: Mapping[str, Any]
) -> tuple[Planned, str, str, ClusterAccess]:
    """The plan, its pipeline frozen, the commit of its components, and the cluster's side."""
    from daintree.argo.images import component_images
    from daintree.argo.submission import check_reach, commit_of
    from daintree.argo.triggers import frozen_pipeline

    made = planned(settings, pipeline, {**options, "runner": "argo"})
    session, plan = made
    check_reach(session)
    frozen, commit = frozen_pipeline(plan), commit_of(session, plan, plan.stages)
    # Each has to be there: it is a pod as soon as the source is another.
    versions = {version.digest: version for version in map(plan.version_of, plan.stages)}
    component_images([*versions.values()], settings)
    return made, frozen, commit, access_of(settings, options["namespace"])


def _name(settings: Settings, pipeline: str, wanted: str) -> str:
    """The name in the cluster, which no other pipeline of the project gets."""
    from daintree.argo.names import LONGEST_CRON_WORKFLOW, distinct_names

    every = [text for name in pipeline_files(settings.root) for text in (name, f"{name}/on-event")]
    return distinct_names(every, LONGEST_CRON_WORKFLOW)[wanted]


class Argo(DaintreeCommand):
    """Writes a Workflow of the stages whose output the shared store does not have."""

    doc_purpose = COMMANDS["argo"]
    doc_usage = (
        "PIPELINE [--out FILE] [--source s3://…] [--set stage.parameter=value …] "
        "[--schedule 'CRON' [--timezone ZONE] | --on-event | --template]"
    )
    doc_description = (
        "Plans against the shared store; each stage that is not a hit becomes a pod. What the pods read is put into the store "
        "first. Without --out the manifest is printed. Where every stage is a hit, nothing is written. With --schedule or "
        "--on-event it is a manifest that stays in the cluster: it plans there, and submits what is missing then."
    )
    cmd_options = (
        option("out", "write the manifest to this file"),
        SOURCE,
        SET,
        FORCE,
        NAMESPACE,
        *STANDING_OPTIONS,
        JSON_OPTION,
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Plan, hand over, write."""
        if is_standing(options):
            self._write_standing(names[0], options)
        else:
            self._write_workflow(names[0], options)

    def _write_workflow(self, pipeline: str, options: Mapping[str, Any]) -> None:
        from daintree.argo.submission import upload

        order = ordered(self.settings, pipeline, options)
        namespace = options["namespace"] or self.settings.argo_namespace
        if order.submission.stages:
            text = self._text(order, namespace)
            upload(order, say)
            self._write(text, options)
        if options["json"]:
            print_json(order_as_json(order, namespace, options["out"]))
        else:
            print(order_summary(order), file=sys.stderr)

    def _write_standing(self, pipeline: str, options: Mapping[str, Any]) -> None:
        from daintree.argo.escaping import manifest_text

        written = standing(self.settings, pipeline, options)
        self._write(manifest_text(written.documents, written.comments), options)
        if options["json"]:
            print_json(standing_as_json(pipeline, written.documents, options["out"]))
        else:
            print(standing_summary(pipeline, written.documents), file=sys.stderr)

    def _text(self, order: Any, namespace: str) -> str:
        from daintree.argo.escaping import manifest_text
        from daintree.argo.manifest import workflow_manifest

        manifest = workflow_manifest(order.submission, access_of(self.settings, namespace))
        return manifest_text([manifest], order_comments(order, namespace))

    def _write(self, text: str, options: Mapping[str, Any]) -> None:
        if options["out"]:
            write_whole(Path.cwd() / options["out"], text)
        elif not options["json"]:
            sys.stdout.write(text)


def write_whole(file: Path, text: str) -> None:
    """Write a file whole or not at all. Raises OSError."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def order_comments(order: Order, namespace: str) -> list[str]:
    """Comments above a manifest: its origin, the plan, and how it is submitted."""
    plan, submission = order.plan, order.submission
    why = reasons(order.session, plan)
    rows = [["stage", "status", "last", "reason"]]
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        seconds = last_seconds(order.session, stage, decision)
        last = "-" if seconds is None else duration(seconds)
        rows.append([stage.name, decision.status.upper(), last, why[stage.name]])
    head = f"{plan.pipeline.name}: what the store {order.session.store.url} does not have yet"
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
    """Summary of what the cluster does and is spared, in one line; seconds are those of the last runs."""
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
        and (seconds := last_seconds(order.session, stage, order.plan.decisions[stage.name]))
        is not None
    ]
    missing = len(order.submission.stages) - len(known)
    if not known:
        return ""
    return f" (last {duration(sum(known))}" + (f" and {missing} unknown)" if missing else ")")


_ACCOUNTS = (
    f"It needs what deploy/argo makes there: the accounts {names.SUBMITTER_ACCOUNT}, {names.RECORD_ACCOUNT} and",
    f"{names.EXECUTOR_ACCOUNT}, and the secret {names.STORE_SECRET}; `doit doctor --runner argo` checks that.",
)
_FROZEN = (
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
        *_FROZEN,
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
        *_FROZEN,
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
    """Summary of what was written, in one line."""
    made = [f"{document['kind']} {document['metadata']['name']}" for document in documents]
    return f"{pipeline}: {', '.join(made)}; nothing runs until it is in the cluster"


def standing_as_json(
    pipeline: str, documents: Sequence[Mapping[str, Any]], file: str
) -> dict[str, Any]:
    """Description of what was written, as `doit argo --json` prints it."""
    return {
        "pipeline": pipeline,
        "namespace": documents[0]["metadata"]["namespace"],
        "file": file or None,
        "objects": [{"kind": d["kind"], "name": d["metadata"]["name"]} for d in documents],
    }


def _place(commit: str, namespace: str) -> list[str]:
    where = f"namespace {namespace}"
    return [f"commit {commit}, {where}" if commit else where]
