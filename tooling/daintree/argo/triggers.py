"""A CronWorkflow that retrains at its times."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from hera.events import models as e
from hera.events.models.io.k8s.api.core import v1 as core
from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.access import ClusterAccess
from daintree.argo.manifest import (
    API_VERSION,
    KEPT_SECONDS,
    RETRIES,
    TOOLING_VOLUMES,
    container_security,
    environment,
    mounts,
    plain,
    pod_security,
    retries,
    store_environment,
)
from daintree.argo.names import label_value
from daintree.errors import SourceError, UsageError
from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.plan import Plan
from daintree.store.bucket import SCHEME
from daintree.store.s3 import DEFAULT_REGION
from daintree.terminal import nearest

SUBMIT_TEMPLATE = "submit"
# Where the tooling's image has its project.
PROJECT = "/project"
LOGIN = "/login"
# A step that only plans and submits takes seconds.
DEADLINE_SECONDS = 60 * 60


def submit_spec(pipeline: str, pinned: str, access: ClusterAccess) -> m.WorkflowSpec:
    """A Workflow whose one step submits the pipeline that `pinned` holds."""
    return m.WorkflowSpec(
        entrypoint=SUBMIT_TEMPLATE,
        service_account_name=names.SUBMITTER_ACCOUNT,
        security_context=pod_security(),
        image_pull_secrets=access.pull_secrets,
        node_selector=dict(access.node_selector) or None,
        active_deadline_seconds=DEADLINE_SECONDS,
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess"),
        ttl_strategy=m.TTLStrategy(
            seconds_after_success=KEPT_SECONDS["success"],
            seconds_after_failure=KEPT_SECONDS["failure"],
        ),
        # Two plans of one moment would find the same stages missing.
        synchronization=m.Synchronization(mutexes=[m.Mutex(name=_mutex(pipeline))]),
        volumes=_volumes(access),
        templates=[_template(pipeline, pinned, access)],
    )


def standing_metadata(pipeline: str, name: str, commit: str, access: ClusterAccess) -> m.ObjectMeta:
    """The metadata of what stays in the cluster and makes Workflows of a pipeline."""
    return m.ObjectMeta(
        name=name,
        namespace=access.namespace,
        labels={names.PIPELINE: label_value(pipeline)},
        annotations={
            names.PIPELINE: pipeline,
            **({names.COMMIT: commit} if commit else {}),
        },
    )


def _mutex(pipeline: str) -> str:
    return names.kubernetes_name(f"submit-{pipeline}", names.LONGEST_WORKFLOW)


def _template(pipeline: str, pinned: str, access: ClusterAccess) -> m.Template:
    chosen = {**TOOLING_VOLUMES, **({"login": LOGIN} if access.pull_secrets else {})}
    return m.Template(
        name=SUBMIT_TEMPLATE,
        inputs=m.Inputs(
            artifacts=[
                m.Artifact(
                    name="pipeline",
                    path=f"{PROJECT}/pipelines/{pipeline}.json",
                    raw=m.RawArtifact(data=pinned),
                )
            ]
        ),
        retry_strategy=retries("OnError", RETRIES),
        container=m.Container(
            image=access.tooling_image,
            command=["doit"],
            args=["submit", pipeline],
            env=_environment(access),
            security_context=container_security(),
            volume_mounts=mounts(chosen),
        ),
    )


def _environment(access: ClusterAccess) -> list[m.EnvVar]:
    """The settings that submitting takes, as they are here."""
    settings = access.settings
    selector = ",".join(f"{label}={value}" for label, value in settings.argo_node_selector.items())
    variables = {
        "DAINTREE_PLATFORM": settings.platform,
        "DAINTREE_REGISTRY": settings.registry,
        "DAINTREE_REGISTRY_PLAIN_HTTP": "true" if settings.registry_plain_http else "",
        "DAINTREE_ARGO_DEADLINE": str(settings.argo_deadline),
        "DAINTREE_ARGO_ENDPOINT": access.endpoint,
        "DAINTREE_ARGO_IMAGE": access.tooling_image,
        "DAINTREE_ARGO_NODE_SELECTOR": selector,
        "DAINTREE_ARGO_PULL_SECRET": settings.argo_pull_secret,
        "DOCKER_CONFIG": LOGIN if access.pull_secrets else "",
    }
    given = {name: value for name, value in variables.items() if value}
    return [
        *environment(given),
        *store_environment(settings, access.endpoint, access.region),
    ]


def _volumes(access: ClusterAccess) -> list[m.Volume]:
    volumes = [m.Volume(name=name, empty_dir=m.EmptyDirVolumeSource()) for name in TOOLING_VOLUMES]
    if not access.settings.argo_pull_secret:
        return volumes
    login = m.SecretVolumeSource(
        secret_name=access.settings.argo_pull_secret,
        items=[m.KeyToPath(key=".dockerconfigjson", path="config.json")],
    )
    return [*volumes, m.Volume(name="login", secret=login)]


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


OBJECTS = "objects"
CREATED = ("s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload")
# Objects that come together make Workflows one after the other, of which each but the first finds nothing missing.
WORKFLOWS_A_MINUTE = 2


def event_manifests(
    pipeline: str, name: str, pinned: str, access: ClusterAccess, *, source: str, commit: str
) -> list[dict[str, Any]]:
    """The WorkflowTemplate `name`, whose one step plans and submits the pinned pipeline, and what makes Workflows of it.

    An EventSource and a Sensor do for each new object below `source` (s3://bucket/prefix), a WorkflowEventBinding for each
    POST to the Argo server's `/api/v1/events/NAMESPACE/NAME`.
    """
    metadata = standing_metadata(pipeline, name, commit, access)
    template = m.WorkflowTemplate(
        api_version=API_VERSION,
        kind="WorkflowTemplate",
        metadata=metadata,
        spec=submit_spec(pipeline, pinned, access),
    )
    binding = m.WorkflowEventBinding(
        api_version=API_VERSION,
        kind="WorkflowEventBinding",
        metadata=metadata,
        spec=m.WorkflowEventBindingSpec(
            event=m.Event(selector=f'discriminator == "{name}"'),
            submit=m.Submit(workflow_template_ref=m.WorkflowTemplateRef(name=name)),
        ),
    )
    return [
        plain(template),
        _event_source(metadata, access, source),
        _sensor(metadata, name),
        plain(binding),
    ]


def _event_source(metadata: m.ObjectMeta, access: ClusterAccess, source: str) -> dict[str, Any]:
    bucket, _, prefix = source.removeprefix(SCHEME).partition("/")
    server = urlsplit(access.endpoint or "https://s3.amazonaws.com")
    watched = e.S3Artifact(
        endpoint=server.netloc,
        insecure=server.scheme == "http",
        region=access.region or DEFAULT_REGION,
        bucket=e.S3Bucket(name=bucket),
        events=list(CREATED),
        filter=e.S3Filter(prefix=prefix) if prefix else None,
        access_key=core.SecretKeySelector(name=names.STORE_SECRET, key=names.ACCESS_KEY),
        secret_key=core.SecretKeySelector(name=names.STORE_SECRET, key=names.SECRET_KEY),
    )
    template = e.Template(security_context=_security())
    spec = e.EventSourceSpec(minio={OBJECTS: watched}, template=template)
    return _document("EventSource", metadata, plain(spec))


def _sensor(metadata: m.ObjectMeta, name: str) -> dict[str, Any]:
    spec = e.SensorSpec(
        dependencies=[e.EventDependency(name=OBJECTS, event_source_name=name, event_name=OBJECTS)],
        template=e.Template(
            service_account_name=names.SUBMITTER_ACCOUNT, security_context=_security()
        ),
        triggers=[
            e.Trigger(
                template=e.TriggerTemplate(
                    name="submit", k8s=e.StandardK8STrigger(operation="create")
                ),
                rate_limit=e.RateLimit(unit="Minute", requests_per_unit=WORKFLOWS_A_MINUTE),
            )
        ],
    )
    document = _document("Sensor", metadata, plain(spec))
    # The object to create stands there as it is, for which hera has no model.
    trigger = document["spec"]["triggers"][0]["template"]["k8s"]
    trigger["source"] = {"resource": _made(metadata, name)}
    return document


def _made(metadata: m.ObjectMeta, name: str) -> dict[str, Any]:
    """The Workflow that an event makes. It has not the pipeline's label, by which its stages' Workflow is found."""
    workflow = m.Workflow(
        api_version=API_VERSION,
        kind="Workflow",
        metadata=m.ObjectMeta(generate_name=f"{name}-", namespace=metadata.namespace),
        spec=m.WorkflowSpec(workflow_template_ref=m.WorkflowTemplateRef(name=name)),
    )
    return plain(workflow)


def _document(kind: str, metadata: m.ObjectMeta, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": plain(metadata), "spec": spec}


def _security() -> Any:
    return core.PodSecurityContext.model_validate(plain(pod_security()))


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, least and greatest value, and the names that stand for values from the least on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_SHORT = frozenset(
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
)
_RANGE = re.compile(r"([^-/]+)(?:-([^-/]+))?(?:/(\d+))?")
_HINT = 'minute, hour, day of the month, month, day of the week (Sunday is 0), such as "0 3 * * *"'


def check_schedule(text: str) -> str:
    """The expression with single spaces. Raises UsageError for one that no controller takes, naming the field at fault."""
    fields = text.split()
    if len(fields) == 1 and fields[0] in _SHORT:
        return fields[0]
    if len(fields) != len(_FIELDS):
        raise UsageError(
            f"--schedule {text!r}: expected five fields, got {len(fields)}",
            hint=_HINT,
        )
    for (name, least, greatest, names_of_values), field in zip(_FIELDS, fields, strict=True):
        for part in field.split(","):
            problem = _problem(part, least, greatest, names_of_values)
            if problem:
                raise UsageError(
                    f"--schedule {text!r}: the {name} {field!r}: {problem}", hint=_HINT
                )
    return " ".join(fields)


def check_timezone(name: str) -> str:
    """The name of a time zone. Raises UsageError, with the nearest one, for what is none."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"--timezone {name!r}: there is no such time zone",
            hint=nearest(
                name, sorted(zoneinfo.available_timezones()), otherwise="such as Europe/Berlin"
            ),
        ) from None
    return name


def _problem(part: str, least: int, greatest: int, names_of_values: tuple[str, ...]) -> str:
    found = _RANGE.fullmatch(part)
    if not found:
        return f"{part!r} is no value, range or step"
    first, last, step = found.groups()
    if step == "0":
        return "a step is 1 or more"
    if first in ("*", "?"):
        return f"{part!r} is no value, range or step" if last else ""
    values = []
    for word in filter(None, (first, last)):
        value = (
            names_of_values.index(word.lower()) + least
            if word.lower() in names_of_values
            else _number(word)
        )
        if value is None or not least <= value <= greatest:
            return f"{word!r} is not from {least} to {greatest}"
        values.append(value)
    return f"{part!r} ends before it begins" if values != sorted(values) else ""


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdecimal() else None


_REMOTE = ("http://", "https://", "s3://")
# What Argo or the kubelet may take for a place to put something in, as JSON may also write it.
_ESCAPED = {"{": "\\u007b", "}": "\\u007d", "$": "\\u0024"}


def pinned_pipeline(plan: Plan) -> str:
    """The plan's pipeline as a JSON file in which each stage names its version, parameters and needs.

    A project without sources plans from it what this one plans, whose `--set` and `--source` are in it. Neither Argo nor
    Kubernetes finds anything to replace in the text. Raises SourceError for a source that only this machine has, or whose
    address holds a secret.
    """
    source = _source(plan)
    described = {"description": plan.pipeline.description} if plan.pipeline.description else {}
    stages = [_stage(plan, stage) for stage in plan.stages]
    return braceless_json({**described, "source": source, "stages": stages}) + "\n"


def source_location(plan: Plan) -> str:
    """Where the pipeline's source is: as it was typed, else as the file says."""
    return plan.request.source or plan.pipeline.source


def _source(plan: Plan) -> str | dict[str, str]:
    location = source_location(plan)
    if not location.lower().startswith(_REMOTE):
        raise SourceError(
            f"the source {location} is on this machine, where no pod can look whether it has changed",
            hint="--source s3://bucket/prefix or https://…",
        )
    parts = urlsplit(location)
    if parts.username or parts.password or parts.query:
        raise SourceError(
            f"the address of the source {plan.identity.origin} has a password or a query, which no manifest may hold",
            hint="give pods an address that needs none, or put the source into a bucket",
        )
    if plan.pipeline.source_sha256 and not plan.request.source:
        return {"location": location, "sha256": plan.pipeline.source_sha256}
    return location


def _stage(plan: Plan, bound: BoundStage) -> dict[str, Any]:
    said = plan.pipeline.stage(bound.name)
    code = (
        {"image": said.image}
        if said.image
        else {"component": said.component, "version": plan.version_of(bound).digest}
    )
    resources = said.resources and {"cpu": said.resources.cpu, "memory": said.resources.memory}
    return {
        "name": bound.name,
        **code,
        "params": dict(bound.parameters),
        "needs": list(bound.needs),
        **({"resources": {k: v for k, v in resources.items() if v}} if resources else {}),
    }


def braceless_json(value: Any, indent: str = "") -> str:
    """JSON in which no brace stands in a string, and no two braces meet: each item of a mapping has its line.

    Mappings that are empty are left out. A list is one of mappings, or of plain values.
    """
    inner = indent + "  "
    if isinstance(value, dict) and value:
        items = [
            f"{_scalar(key)}: {braceless_json(item, inner)}"
            for key, item in value.items()
            if item != {}
        ]
        return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}" + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return (
            "[\n"
            + ",\n".join(inner + braceless_json(item, inner) for item in value)
            + f"\n{indent}]"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return "".join(_ESCAPED.get(character, character) for character in text)
