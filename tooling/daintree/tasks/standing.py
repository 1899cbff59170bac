"""What `doit argo` writes to stay in a cluster: a schedule, a reaction to events, a template to own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daintree.errors import UsageError
from daintree.run.planning import Request, make_plan
from daintree.settings import Settings
from daintree.spec.pipeline_reader import pipeline_files
from daintree.tasks.command import option
from daintree.tasks.names import reserved_names
from daintree.tasks.ordered import access_of, require_extra, say
from daintree.tasks.planned import planned

if TYPE_CHECKING:
    from daintree.argo.cluster_access import ClusterAccess
    from daintree.run.planning import Plan

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
    """Whether the options ask for one of these. Raises UsageError for several, or for some without what they belong to."""
    asked = [f"--{n.replace('_', '-')}" for n in ("schedule", "on_event", "template") if options[n]]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are different manifests", hint="ask for one")
    if asked and options["force"]:
        raise UsageError(f"--force is for what is submitted now, {asked[0]} for later")
    if options["timezone"] and not options["schedule"]:
        raise UsageError("--timezone is that of --schedule", hint="--schedule '0 3 * * *'")
    return bool(asked)


def standing(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    """What the options ask for.

    Raises as planning does, and UsageError for a wrong schedule, time zone or kind of source, SourceError for a source that
    pods cannot look at, ImageError for a component that is not committed or not pushed.
    """
    require_extra()
    if options["schedule"]:
        return _schedule(settings, pipeline, options)
    if options["on_event"]:
        return _on_event(settings, pipeline, options)
    return _template(settings, pipeline, options)


def _schedule(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    from daintree.argo.cron import check_schedule, check_timezone
    from daintree.argo.schedule import cron_manifest
    from daintree.report.standing import schedule_comments

    schedule = check_schedule(options["schedule"])
    timezone = check_timezone(options["timezone"]) if options["timezone"] else ""
    _, pinned, commit, access = _planned(settings, pipeline, options)
    name = _name(settings, pipeline, pipeline)
    document = cron_manifest(
        pipeline,
        name,
        pinned,
        access,
        schedule=schedule,
        timezone=timezone,
        commit=commit,
    )
    comments = schedule_comments(pipeline, commit, access.namespace, schedule, timezone)
    return Standing(name, [document], comments)


def _on_event(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    from daintree.argo.on_event import event_manifests
    from daintree.report.standing import event_comments

    plan, pinned, commit, access = _planned(settings, pipeline, options)
    source = plan.source.url
    if not source:
        raise UsageError(
            f"--on-event watches a bucket, and the source {plan.identity.origin} is in none",
            hint="--source s3://bucket/prefix, or --schedule",
        )
    name = _name(settings, pipeline, f"{pipeline}/on-event")
    documents = event_manifests(pipeline, name, pinned, access, source=source, commit=commit)
    comments = event_comments(pipeline, name, commit, access.namespace, source)
    return Standing(name, documents, comments)


def _template(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Standing:
    from daintree.argo.by_hand import template_manifest
    from daintree.argo.hand_over import hand_over_source
    from daintree.argo.order import order_of
    from daintree.report.standing import template_comments

    request = Request(
        pipeline=pipeline,
        directory=Path.cwd(),
        source=options["source"],
        set=tuple(options["set"]),
        always=True,
        runner="argo",
    )
    order = order_of(make_plan(settings, request, reserved_names(settings.root), fetch=True))
    access = access_of(settings, options["namespace"])
    name = _name(settings, pipeline, pipeline)
    document = template_manifest(order.submission, name, access)
    hand_over_source(order, say)
    comments = template_comments(pipeline, name, order.submission.commit, access.namespace)
    return Standing(name, [document], comments)


def _planned(
    settings: Settings, pipeline: str, options: Mapping[str, Any]
) -> tuple[Plan, str, str, ClusterAccess]:
    """The plan, its pipeline pinned, the commit of its components, and the cluster's side."""
    from daintree.argo.component_images import component_images
    from daintree.argo.order import check_reach, commit_of
    from daintree.argo.pinned import pinned_pipeline

    plan = planned(settings, pipeline, {**options, "runner": "argo"})
    check_reach(plan)
    pinned, commit = pinned_pipeline(plan), commit_of(plan, plan.stages)
    # Each has to be there: it is a pod as soon as the source is another.
    versions = {version.digest: version for version in map(plan.version_of, plan.stages)}
    component_images([*versions.values()], settings)
    return plan, pinned, commit, access_of(settings, options["namespace"])


def _name(settings: Settings, pipeline: str, wanted: str) -> str:
    """The name in the cluster, which no other pipeline of the project gets."""
    from daintree.argo.names import LONGEST_CRON_WORKFLOW, distinct_names

    every = [text for name in pipeline_files(settings.root) for text in (name, f"{name}/on-event")]
    return distinct_names(every, LONGEST_CRON_WORKFLOW)[wanted]
