"""Triggers that stay in a cluster: a schedule, an event or a webhook that retrains, and a WorkflowTemplate that people own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from daintree.argo import manifest, names
from daintree.argo.names import label_value
from daintree.argo.submission import POD_NAME, RECORD_TEMPLATE, WORKFLOW_UID, Submission
from daintree.errors import SourceError, UsageError, nearest
from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.plan import Plan
from daintree.spec.pipeline import SOURCE_NEED
from daintree.store.s3 import DEFAULT_REGION, object_address

SUBMIT_TEMPLATE = "submit"
# The project's directory in the tooling's image, and that of the registry's login.
PROJECT, LOGIN = "/project", "/login"
# A step that only plans and submits takes seconds.
DEADLINE_SECONDS = 60 * 60
# The delay after which a run is left out whose time came while the controller was away.
LATE_SECONDS = 10 * 60
KEPT_RUNS = 3
OBJECTS = "objects"
# The same for every attempt of the step that plans, and in no zone.
AS_OF = "{{workflow.creationTimestamp.s}}/" + WORKFLOW_UID
CREATED = ["s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload"]
# Objects that come together make Workflows one after the other, of which each but the first finds nothing missing.
WORKFLOWS_A_MINUTE = 2
OWN_OUTPUTS = "by-hand"


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline that plans and submits in a cluster: its frozen text, the name of its objects there, its components' commit."""

    pipeline: str
    name: str
    frozen: str
    commit: str
    access: manifest.ClusterAccess


def cron_manifest(trigger: Trigger, schedule: str, timezone: str) -> manifest.Manifest:
    """The CronWorkflow that plans and submits the frozen pipeline at each time of `schedule`.

    A run is left out while the one before still plans. `timezone` is "" for that of the cluster's controller.
    """
    return {
        "apiVersion": manifest.API_VERSION,
        "kind": "CronWorkflow",
        "metadata": _metadata(trigger.pipeline, trigger.name, trigger.commit, trigger.access),
        "spec": {
            "schedules": [schedule],
            **({"timezone": timezone} if timezone else {}),
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": LATE_SECONDS,
            "successfulJobsHistoryLimit": KEPT_RUNS,
            "failedJobsHistoryLimit": KEPT_RUNS,
            "workflowSpec": _submit_spec(trigger),
        },
    }


def event_manifests(trigger: Trigger, sources: Sequence[str]) -> list[manifest.Manifest]:
    """The WorkflowTemplate whose one step plans and submits the frozen pipeline, and what makes Workflows of it.

    An EventSource and a Sensor do for each new object below one of `sources` (buckets' URLs), a WorkflowEventBinding for each
    POST to the Argo server's `/api/v1/events/NAMESPACE/NAME`.
    """
    name, access = trigger.name, trigger.access
    numbers = (OBJECTS, *(f"{OBJECTS}{number}" for number in range(2, len(sources) + 1)))
    watched = {event: _watched(access, url) for event, url in zip(numbers, sources, strict=True)}
    specs = {
        "WorkflowTemplate": _submit_spec(trigger),
        "EventSource": {"minio": watched, "template": _events_pod()},
        "Sensor": _sensor(name, access.namespace, numbers),
        "WorkflowEventBinding": {
            "event": {"selector": f'discriminator == "{name}"'},
            "submit": {"workflowTemplateRef": {"name": name}},
        },
    }
    metadata = _metadata(trigger.pipeline, name, trigger.commit, access)
    return [
        {"apiVersion": manifest.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        for kind, spec in specs.items()
    ]


def template_manifest(
    submission: Submission, name: str, access: manifest.ClusterAccess
) -> manifest.Manifest:
    """The WorkflowTemplate `name` of a submission of every stage: to commit, to edit, and to submit with any parameters.

    Each stage is a pod, and its output goes below `by-hand/PIPELINE/WORKFLOW/STAGE` in the store's bucket, for each pod
    apart. Nothing of it is recorded: an edited template computes what no key vouches for.
    """
    words = ("{{workflow.name}}", "{{inputs.parameters.stage}}", POD_NAME)
    # The setting `prefix`, in which braces are doubled.
    doubled = "/".join(word.replace("{", "{{").replace("}", "}}") for word in words)
    prefix = f"{OWN_OUTPUTS}/{submission.pipeline}/{doubled}"
    workflow = manifest.workflow_manifest(
        msgspec.structs.replace(submission, prefix=prefix), access
    )
    spec = workflow["spec"]
    del spec["onExit"]
    spec["templates"] = [t for t in spec["templates"] if t["name"] != RECORD_TEMPLATE]
    for template in spec["templates"]:
        _remove_stage_keys(template)
    metadata = _metadata(submission.pipeline, name, submission.commit, access)
    return {**workflow, "kind": "WorkflowTemplate", "metadata": metadata}


def _remove_stage_keys(template: manifest.Manifest) -> None:
    """Remove the stage keys, which hold for what was planned alone."""
    tasks = template.get("dag", {}).get("tasks", ())
    for holder in (*(task["arguments"] for task in tasks), template.get("inputs", {})):
        if "parameters" in holder:
            key = names.STAGE_KEY_PARAMETER
            holder["parameters"] = [p for p in holder["parameters"] if p["name"] != key]
    template.get("metadata", {}).get("annotations", {}).pop(names.STAGE_KEY, None)


def _metadata(
    pipeline: str, name: str, commit: str, access: manifest.ClusterAccess
) -> manifest.Manifest:
    return {
        "name": name,
        "namespace": access.namespace,
        "labels": {names.PIPELINE: label_value(pipeline)},
        "annotations": {names.PIPELINE: pipeline, **({names.COMMIT: commit} if commit else {})},
    }


def _submit_spec(trigger: Trigger) -> manifest.Manifest:
    """A Workflow whose one step submits the frozen pipeline."""
    access, secret = trigger.access, trigger.access.settings.argo_pull_secret
    login = {"secretName": secret, "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}
    mutex = names.kubernetes_name(f"submit-{trigger.pipeline}", names.LONGEST_WORKFLOW)
    return {
        "entrypoint": SUBMIT_TEMPLATE,
        "serviceAccountName": names.SUBMITTER_ACCOUNT,
        **manifest.pod_settings(access),
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        # Two plans of one moment would find the same stages missing.
        "synchronization": {"mutexes": [{"name": mutex}]},
        "volumes": [
            *manifest.empty_volumes(manifest.TOOLING_VOLUMES),
            *([{"name": "login", "secret": login}] if secret else []),
        ],
        "templates": [_submit_template(trigger)],
    }


def _submit_template(trigger: Trigger) -> manifest.Manifest:
    access = trigger.access
    login = {"login": LOGIN} if access.settings.argo_pull_secret else {}
    path = f"{PROJECT}/pipelines/{trigger.pipeline}.json"
    pipeline = {"name": "pipeline", "path": path, "raw": {"data": trigger.frozen}}
    return {
        "name": SUBMIT_TEMPLATE,
        "inputs": {"artifacts": [pipeline]},
        "retryStrategy": manifest.retries(manifest.STAGE_RETRIES, manifest.TERMINATED),
        "container": {
            "image": access.tooling_image,
            "command": ["doit"],
            "args": ["submit", trigger.pipeline, "--as-of", AS_OF],
            "env": [*_settings_environment(access), *manifest.store_environment(access)],
            "securityContext": manifest.CONTAINER_SECURITY,
            "volumeMounts": manifest.mounts({**manifest.TOOLING_VOLUMES, **login}),
        },
    }


def _settings_environment(access: manifest.ClusterAccess) -> list[manifest.Manifest]:
    """The settings that submitting takes, as they are here."""
    settings = access.settings
    selector = ",".join(f"{label}={value}" for label, value in settings.argo_node_selector.items())
    variables = {
        "DAINTREE_PLATFORM": settings.platform,
        "DAINTREE_REGISTRY": settings.registry,
        "DAINTREE_REGISTRY_PLAIN_HTTP": "true" if settings.registry_plain_http else "",
        "DAINTREE_ARGO_DEADLINE": str(settings.argo_deadline),
        "DAINTREE_ARGO_ENDPOINT": access.store.endpoint,
        "DAINTREE_ARGO_IMAGE": access.tooling_image,
        "DAINTREE_ARGO_NODE_SELECTOR": selector,
        "DAINTREE_ARGO_PULL_SECRET": settings.argo_pull_secret,
        "DAINTREE_ARGO_ENV_SECRET": settings.argo_env_secret,
        "DOCKER_CONFIG": LOGIN if settings.argo_pull_secret else "",
    }
    return manifest.environment({name: value for name, value in variables.items() if value})


def _watched(access: manifest.ClusterAccess, source: str) -> manifest.Manifest:
    address = object_address(source, access.store.endpoint, access.store.region)
    return {
        "endpoint": address.host,
        "insecure": address.insecure,
        "region": address.region or DEFAULT_REGION,
        "bucket": {"name": address.bucket},
        "events": CREATED,
        **({"filter": {"prefix": address.key}} if address.key else {}),
        "accessKey": manifest.store_secret(names.ACCESS_KEY),
        "secretKey": manifest.store_secret(names.SECRET_KEY),
    }


def _sensor(name: str, namespace: str, events: Sequence[str]) -> manifest.Manifest:
    # It has not the pipeline's label, by which its stages' Workflow is found.
    workflow = {
        "apiVersion": manifest.API_VERSION,
        "kind": "Workflow",
        "metadata": {"generateName": f"{name}-", "namespace": namespace},
        "spec": {"workflowTemplateRef": {"name": name}},
    }
    trigger = {
        "name": "submit",
        # Without it, a Sensor waits for one event of each kind.
        **({"conditions": " || ".join(events)} if len(events) > 1 else {}),
        "k8s": {"operation": "create", "source": {"resource": workflow}},
    }
    return {
        "dependencies": [
            {"name": event, "eventSourceName": name, "eventName": event} for event in events
        ],
        "template": {"serviceAccountName": names.SUBMITTER_ACCOUNT, **_events_pod()},
        "triggers": [
            {
                "template": trigger,
                "rateLimit": {"unit": "Minute", "requestsPerUnit": WORKFLOWS_A_MINUTE},
            }
        ],
    }


def _events_pod() -> manifest.Manifest:
    """The pod of an EventSource or a Sensor, which Argo Events fills in, as the pod security `restricted` demands it."""
    security = {
        k: v for k, v in manifest.CONTAINER_SECURITY.items() if k != "readOnlyRootFilesystem"
    }
    return {"securityContext": manifest.POD_SECURITY, "container": {"securityContext": security}}


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
            f"--schedule {text!r}: expected five fields, got {len(fields)}", hint=_HINT
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
    match = _RANGE.fullmatch(part)
    if not match:
        return f"{part!r} is no value, range or step"
    first, last, step = match.groups()
    if step == "0":
        return "a step is 1 or more"
    if first in ("*", "?"):
        return f"{part!r} is no value, range or step" if last else ""
    values = []
    for word in filter(None, (first, last)):
        value = (
            names_of_values.index(word.lower()) + least
            if word.lower() in names_of_values
            else int(word)
            if word.isascii() and word.isdecimal()
            else None
        )
        if value is None or not least <= value <= greatest:
            return f"{word!r} is not from {least} to {greatest}"
        values.append(value)
    return f"{part!r} ends before it begins" if values != sorted(values) else ""


_REMOTE = ("http://", "https://", "s3://")
# What Argo or the kubelet may take for a place to put something in, as JSON may also write it.
_ESCAPED = str.maketrans({"{": "\\u007b", "}": "\\u007d", "$": "\\u0024"})
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def frozen_pipeline(plan: Plan) -> str:
    """The plan's pipeline as a JSON file in which each stage names its version, parameters and needs.

    A project without sources plans from it what this one plans, whose `--set` and `--source` are in it. Neither Argo nor
    Kubernetes finds anything to replace in the text. Raises SourceError for a source that only this machine has, or whose
    address holds a secret.
    """
    sources = {name: _frozen_source(plan, name) for name in plan.identities}
    read = {"source": sources[""]} if "" in sources else {"sources": sources} if sources else {}
    described = {"description": plan.pipeline.description} if plan.pipeline.description else {}
    stages = [_frozen_stage(plan, stage) for stage in plan.stages]
    return braceless_json({**described, **read, "stages": stages}) + "\n"


def _frozen_source(plan: Plan, name: str) -> str | dict[str, str]:
    """The source of that name as it was typed, else as the file says."""
    typed = plan.pipeline.typed_sources(plan.request.sources)
    location = typed.get(name, plan.pipeline.sources[name].location)
    if not location.lower().startswith(_REMOTE):
        raise SourceError(
            f"the source {location} is on this machine, where no pod can look whether it has changed",
            hint=f"--source {name and name + '='}s3://bucket/prefix or https://…",
        )
    parts = urlsplit(location)
    if parts.username or parts.password or parts.query:
        raise SourceError(
            f"the address of the source {plan.identities[name].origin} has a password or a query, which no manifest may hold",
            hint="give pods an address that needs none, or put the source into a bucket",
        )
    sha256 = plan.pipeline.sources[name].sha256
    if sha256 and name not in typed:
        return {"location": location, "sha256": sha256}
    return location


def _frozen_stage(plan: Plan, bound: BoundStage) -> dict[str, Any]:
    stage = plan.pipeline.stage(bound.name)
    code = (
        {"image": stage.image}
        if stage.image
        else {"component": stage.component, "version": plan.version_of(bound).digest}
    )
    resources = msgspec.to_builtins(stage.resources) if stage.resources else {}
    limits = {name: amount for name, amount in resources.items() if amount}
    return {
        "name": bound.name,
        **code,
        "params": dict(bound.parameters),
        "needs": [*(SOURCE_NEED + name for name in bound.sources if name), *bound.needs],
        **({"refresh": stage.refresh} if stage.refresh else {}),
        **({"resources": limits} if limits else {}),
    }


def braceless_json(value: Any) -> str:
    """JSON for people in which no brace stands in a string, and no two braces meet."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _JSON_STRING.sub(lambda match: match[0].translate(_ESCAPED), text)
