"""`doit argo`: what a pipeline misses, as an Argo Workflow."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from daintree.argo import names
from daintree.commands.command import (
    DaintreeCommand,
    option,
    plan_request,
    print_json,
    request_of,
    shared,
)
from daintree.commands.plan import last_seconds, plan_rows
from daintree.errors import UsageError
from daintree.pipeline.session import Request
from daintree.settings import Settings
from daintree.spec.pipeline import pipeline_files
from daintree.terminal import columns, count, duration

if TYPE_CHECKING:
    from daintree.argo.manifest import ClusterAccess
    from daintree.argo.submission import PlannedSubmission
    from daintree.argo.triggers import Trigger
    from daintree.pipeline.session import Session

# Manifests, and the comments above them.
Documents: TypeAlias = tuple[list[dict[str, Any]], list[str]]

TRIGGERS = ("schedule", "on_event", "template")


def planned_submission(settings: Settings, request: Request) -> PlannedSubmission:
    """The submission of what the pipeline misses.

    A hit that only this machine has is published first. Raises as `make_plan` and `plan_submission` do.
    """
    from daintree.argo.submission import plan_submission, share_hits

    request = msgspec.structs.replace(request, runner="argo")
    made = plan_request(settings, request, fetch=True)
    if share_hits(*made):
        made = plan_request(settings, request, fetch=True)
    return plan_submission(*made)


def access_of(settings: Settings, namespace: str) -> ClusterAccess:
    """Settings of this cluster for manifests. Raises as `cluster_access` and `tooling_image` do."""
    from daintree.argo.manifest import cluster_access
    from daintree.images.image_versions import tooling_image

    return cluster_access(settings, tooling_image(settings), namespace)


class Argo(DaintreeCommand):
    """Writes a Workflow of the stages whose output the shared store does not have."""

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
        *shared("source", "set", "force", "namespace"),
        option(
            "schedule",
            "write a CronWorkflow that plans and submits the pipeline at these times, such as '0 3 * * *'",
        ),
        option(
            "timezone",
            "the time zone of --schedule, such as Europe/Berlin (default: the controller's)",
        ),
        option(
            "on_event",
            "write what plans and submits the pipeline for new objects of its s3:// source, and for a webhook",
            type=bool,
        ),
        option("template", "write a WorkflowTemplate of every stage, to edit by hand", type=bool),
        *shared("json"),
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        typed = {name: options[name] for name in _Wanted.__struct_fields__ if name in options}
        request = msgspec.structs.replace(request_of(names[0], options), runner="argo")
        wanted = _Wanted(request=request, **typed)
        if wanted.is_trigger:
            make = _schedule if wanted.schedule else _template if wanted.template else _event
            documents, comments = make(self.settings, wanted)
            _write(wanted, documents, comments)
            report = triggers_as_json(names[0], documents, wanted.out)
            summary = triggers_summary(names[0], documents)
        else:
            submission = planned_submission(self.settings, request)
            namespace = wanted.namespace or self.settings.argo_namespace
            if submission.submission.stages:
                self._write_workflow(submission, namespace, wanted)
            report = submission_as_json(submission, namespace, wanted.out)
            summary = submission_summary(submission)
        if wanted.json:
            print_json(report)
        else:
            print(summary, file=sys.stderr)

    def _write_workflow(self, planned: PlannedSubmission, namespace: str, wanted: _Wanted) -> None:
        from daintree.argo.manifest import workflow_manifest
        from daintree.argo.submission import upload

        manifest = workflow_manifest(planned.submission, access_of(self.settings, namespace))
        upload(planned)
        _write(wanted, [manifest], submission_comments(planned, namespace))


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest as it was asked for."""

    request: Request
    namespace: str
    schedule: str
    timezone: str
    on_event: bool
    template: bool
    out: str
    json: bool

    @property
    def is_trigger(self) -> bool:
        """True for a manifest that stays in the cluster.

        Raises UsageError for several, or for some without what they belong to.
        """
        chosen = [f"--{name.replace('_', '-')}" for name in TRIGGERS if getattr(self, name)]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} are different manifests", hint="ask for one")
        if chosen and self.request.force:
            raise UsageError(f"--force is for what is submitted now, {chosen[0]} for later")
        if self.timezone and not self.schedule:
            raise UsageError("--timezone is that of --schedule", hint="--schedule '0 3 * * *'")
        return bool(chosen)


def _write(wanted: _Wanted, documents: list[dict[str, Any]], comments: list[str]) -> None:
    text = manifest_text(documents, comments)
    if wanted.out:
        write_whole(Path.cwd() / wanted.out, text)
    elif not wanted.json:
        sys.stdout.write(text)


def _schedule(settings: Settings, wanted: _Wanted) -> Documents:
    from daintree.argo.triggers import check_schedule, check_timezone, cron_manifest

    schedule = check_schedule(wanted.schedule)
    timezone = check_timezone(wanted.timezone) if wanted.timezone else ""
    _, trigger = _trigger(settings, wanted, wanted.request.pipeline)
    return [cron_manifest(trigger, schedule, timezone)], schedule_comments(
        trigger, schedule, timezone
    )


def _event(settings: Settings, wanted: _Wanted) -> Documents:
    from daintree.argo.triggers import event_manifests
    from daintree.pipeline.decisions import words_of

    session, trigger = _trigger(settings, wanted, f"{wanted.request.pipeline}/on-event")
    urls = [source.url for source in session.sources.values() if source.url]
    if not urls:
        origins = words_of({n: s.identify().origin for n, s in session.sources.items()})
        raise UsageError(
            f"--on-event watches a bucket, and the source {origins} is in none"
            if session.sources
            else "--on-event watches a bucket, and the pipeline has no source",
            hint="--source s3://bucket/prefix, or --schedule",
        )
    return event_manifests(trigger, urls), event_comments(trigger, " or ".join(urls))


def _template(settings: Settings, wanted: _Wanted) -> Documents:
    from daintree.argo.submission import plan_submission, upload_sources
    from daintree.argo.triggers import template_manifest

    request = msgspec.structs.replace(wanted.request, always=True)
    every = plan_submission(*plan_request(settings, request, fetch=True))
    access = access_of(settings, wanted.namespace)
    name = _name(settings, request.pipeline)
    document = template_manifest(every.submission, name, access)
    upload_sources(every)
    commit = every.submission.commit
    return [document], template_comments(request.pipeline, name, commit, access.namespace)


def _trigger(settings: Settings, wanted: _Wanted, name: str) -> tuple[Session, Trigger]:
    """The open project, and the frozen pipeline under a name of the cluster.

    Raises as planning does, and ImageError for a component that is not committed or not pushed: each is a pod as soon as the
    source is another.
    """
    from daintree.argo.submission import runnable
    from daintree.argo.triggers import Trigger, frozen_pipeline

    session, plan = plan_request(settings, wanted.request)
    commit, _, _ = runnable(session, plan, plan.stages)
    return session, Trigger(
        pipeline=wanted.request.pipeline,
        name=_name(settings, name),
        frozen=frozen_pipeline(plan),
        commit=commit,
        access=access_of(settings, wanted.namespace),
    )


def _name(settings: Settings, wanted: str) -> str:
    """The name in the cluster, which no other pipeline of the project gets."""
    pipelines = pipeline_files(settings.root)
    every = [text for name in pipelines for text in (name, f"{name}/on-event")]
    return names.distinct_names(every, names.LONGEST_CRON_WORKFLOW)[wanted]


def write_whole(file: Path, text: str) -> None:
    """Write a file whole or not at all. Raises OSError."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


# Text that every YAML reader takes for text. Go's reads y, n, Y and N as truth values, others read 1_000, 1:30 and
# 2026-03-01 as numbers and times.
_SURE = re.compile(
    r"[A-Za-z_/][A-Za-z0-9_./@-]*(?:[:=][A-Za-z0-9_./@-]+)*|--[a-z][A-Za-z0-9-]*(?:=[A-Za-z0-9_./-]+)?|[A-Za-z/][A-Za-z0-9_./ @-]*[A-Za-z0-9_./@-]"
)
_WORDS = frozenset(
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"]
)


def manifest_text(documents: Sequence[Mapping[str, Any]], comments: Sequence[str] = ()) -> str:
    """The documents as YAML, `comments` above the first; equal documents give equal text, and reading it gives the documents."""
    import yaml

    dumper: Any = type("ManifestDumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
    dumper.ignore_aliases = lambda self, value: True
    dumper.add_representer(str, _represent)
    text = "---\n".join(
        yaml.dump(
            document,
            Dumper=dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=1 << 20,
        )
        for document in documents
    )
    return "".join(f"# {comment}".rstrip() + "\n" for comment in _lines(comments)) + text


def is_sure(text: str) -> bool:
    """True when every reader of YAML takes the bare text for text."""
    return _SURE.fullmatch(text) is not None and text.lower() not in _WORDS


def _represent(dumper: Any, text: str) -> Any:
    if is_sure(text):
        style = None
    elif "\n" in text and _is_block(text):
        style = "|"
    else:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_block(text: str) -> bool:
    """True when the text may stand as a block: visible characters in lines that end as they look."""
    lines = text.split("\n")
    return (
        all(line.isprintable() and line == line.rstrip() for line in lines)
        and not text[:1].isspace()
    )


def _lines(comments: Sequence[str]) -> list[str]:
    """Comments as single lines: what is not visible in them is shown by its escape."""
    return [
        "".join(c if c.isprintable() else repr(c)[1:-1] for c in comment) for comment in comments
    ]


def submission_comments(planned: PlannedSubmission, namespace: str) -> list[str]:
    """Comments above a manifest: its origin, the plan, and how it is submitted."""
    session, submission = planned.session, planned.submission
    commit = f"commit {submission.commit}, " if submission.commit else ""
    return [
        f"{submission.pipeline}: what the store {session.store.url} does not have yet",
        f"{commit}submission {submission.digest}",
        "",
        *columns(plan_rows(session, planned.plan)),
        "",
        f"Submit it with `doit submit {submission.pipeline}`, `argo submit` or `kubectl create -f`, to the namespace {namespace},",
        "which needs what deploy/argo makes; `doit doctor --runner argo` checks that.",
    ]


def submission_summary(planned: PlannedSubmission) -> str:
    """Summary of what the cluster does and is spared, in one line; seconds are those of the last runs."""
    name, stages = planned.submission.pipeline, planned.submission.stages
    saved = f"{count(len(planned.hits), 'pod')} and {duration(planned.saved)} of pod time saved"
    if not stages:
        return f"{name}: nothing to run: {count(len(planned.hits), 'hit')}, {saved}; no Workflow is needed"
    return f"{name}: {count(len(stages), 'pod')} to run{_last(planned)}; {saved}"


def _last(planned: PlannedSubmission) -> str:
    """The seconds that the stages to run took when they last ran, as far as they are known."""
    session, plan = planned.session, planned.plan
    stages = [stage for stage in plan.stages if stage.name not in planned.hits]
    seconds = [last_seconds(session, stage, plan.decisions[stage.name]) for stage in stages]
    known = [second for second in seconds if second is not None]
    unknown = f" and {len(seconds) - len(known)} unknown" if len(known) < len(seconds) else ""
    return f" (last {duration(sum(known))}{unknown})" if known else ""


def submission_as_json(planned: PlannedSubmission, namespace: str, file: str) -> dict[str, Any]:
    """The submission as `doit argo --json` prints it; `workflow` is null where nothing is to run."""
    submission = planned.submission
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
        "hits": list(planned.hits),
        "saved_seconds": round(planned.saved, 3),
    }


_ACCOUNTS = (
    f"It needs what deploy/argo makes there: the accounts {names.SUBMITTER_ACCOUNT}, {names.RECORD_ACCOUNT} and",
    f"{names.EXECUTOR_ACCOUNT}, and the secret {names.STORE_SECRET}; `doit doctor --runner argo` checks that.",
)
_FROZEN = (
    "The versions and parameters are those of this file: write it anew when the pipeline or a component changes.",
    "A run that finds nothing missing costs one short pod.",
)


def _comments(title: str, commit: str, namespace: str, body: Sequence[str], end: str) -> list[str]:
    """Comments above a manifest that stays: what it is, where it comes from and goes, what it needs, and how it is put there."""
    origin = f"commit {commit}, namespace {namespace}" if commit else f"namespace {namespace}"
    return [
        title,
        origin,
        "",
        *body,
        "",
        f"Put it into the cluster with `kubectl apply -f FILE`{end}",
    ]


def schedule_comments(trigger: Trigger, schedule: str, timezone: str) -> list[str]:
    when = f"{schedule} ({timezone or 'in the time of the controller'})"
    title = f"{trigger.pipeline}: plans at {when}, and submits what is missing then"
    return _comments(title, trigger.commit, trigger.access.namespace, (*_FROZEN, *_ACCOUNTS), ".")


def event_comments(trigger: Trigger, source: str) -> list[str]:
    namespace = trigger.access.namespace
    title = f"{trigger.pipeline}: plans when there are new objects below {source} or a webhook is called, and submits what is missing then"
    body = [
        *_FROZEN,
        *_ACCOUNTS,
        "The EventSource and the Sensor need Argo Events with an EventBus `default` in the namespace, and a key that may listen to",
        "the bucket's notifications. The WorkflowEventBinding needs Argo's server: a POST with a token of an account that may create",
        f"Workflows, to /api/v1/events/{namespace}/{trigger.name}",
    ]
    return _comments(title, trigger.commit, namespace, body, "; leave out what you do not use.")


def template_comments(pipeline: str, name: str, commit: str, namespace: str) -> list[str]:
    title = f"{pipeline}: the whole pipeline, to commit and to edit by hand"
    body = [
        "Every stage is a pod each time: nothing is planned, skipped or recorded, since nobody can vouch for what is edited.",
        f"Outputs are below by-hand/{pipeline}/ in the store's bucket, by Workflow, stage and attempt.",
        *_ACCOUNTS,
    ]
    end = f", run it with `argo submit --from workflowtemplate/{name}`."
    return _comments(title, commit, namespace, body, end)


def triggers_summary(pipeline: str, documents: Sequence[Mapping[str, Any]]) -> str:
    made = [f"{document['kind']} {document['metadata']['name']}" for document in documents]
    return f"{pipeline}: {', '.join(made)}; nothing runs until it is in the cluster"


def triggers_as_json(
    pipeline: str, documents: Sequence[Mapping[str, Any]], file: str
) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "namespace": documents[0]["metadata"]["namespace"],
        "file": file or None,
        "objects": [{"kind": d["kind"], "name": d["metadata"]["name"]} for d in documents],
    }
