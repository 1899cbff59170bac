"""A submission as a Workflow: plain dicts that read like the YAML they become.

The pipeline's stages are tasks in their order, with one template a component and a record step at the end. What a stage's task and
template say follows from the submission and the store's address alone, so that recording can make them anew and compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from daintree.argo import names
from daintree.argo.submission import (
    PIPELINE_TEMPLATE,
    POD_NAME,
    RECORD_TEMPLATE,
    WORKFLOW_UID,
    Submission,
    SubmittedSource,
    SubmittedStage,
    location,
    pod_address,
)
from daintree.digest import short
from daintree.errors import SettingsError, SourceError
from daintree.images.registry import is_loopback
from daintree.pipeline.decisions import words_of
from daintree.runners.container import INPUT, OUTPUT, SCRATCH, TEMPORARY, container_variables
from daintree.settings import Settings
from daintree.spec.component import Resources, as_argument
from daintree.store.layout import source_location
from daintree.store.s3 import ObjectAddress, S3Access, object_address, read_s3_access

Manifest: TypeAlias = dict[str, Any]

API_VERSION = "argoproj.io/v1alpha1"
DAY = 24 * 60 * 60
INPUT_ARTIFACT = "input"
# The volumes of a stage's pod, each empty and gone with it, and where they are mounted; and those of a pod of the tooling.
EMPTY_VOLUME = "empty"
STAGE_VOLUMES = {"output": OUTPUT, "scratch": SCRATCH, "temporary": TEMPORARY}
TOOLING_VOLUMES = {"temporary": TEMPORARY}
# Any user but root: what a pod writes is read by the executor, which runs as the same one.
USER = 1000
RECORD_COMMAND = {"command": ["doit"], "args": ["record", "{{workflow.name}}"]}
# Exit codes: of a container that was told to end, as a drained node and a preemption do; of what may do when it is tried again.
TERMINATED, TEMPORARY_FAILURE = 143, 75
# The words for a pod whose node shuts down, is full, takes no pod or restarts, and for a container that outlived its grace: what ran out of memory is OOMKilled in place of Error.
NODE_ENDED = "imminent node shutdown|low on resource|^Preempted in order to admit|^Pod was rejected|^main: (Error|ContainerStatusUnknown) .exit code 137|^main: Unknown .exit code 255"
STAGE_RETRIES, RECORD_RETRIES = 3, 3
_LONGEST_ARTIFACT, _LONGEST_PARAMETER = 100, 120


class ClusterAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Access of pods to what a manifest names; `store` is the store's address as pods reach it."""

    settings: Settings
    namespace: str
    store: ObjectAddress
    tooling_image: str


def cluster_access(
    settings: Settings, tooling_image: str, namespace: str = "", access: S3Access | None = None
) -> ClusterAccess:
    """The access that the settings describe; `namespace` wins over theirs, `access` to the store is by default this process's.

    Raises SettingsError for a store's server that only this machine reaches.
    """
    store = pod_address(settings.store, settings, access or read_s3_access())
    if store.endpoint and is_loopback(store.host):
        raise SettingsError(
            f"pods cannot reach the store's server at {store.endpoint}, which is this machine's own address",
            hint="argo_endpoint in [tool.daintree], or DAINTREE_ARGO_ENDPOINT, says where the cluster finds it,"
            " such as http://minio.minio:9000",
        )
    return ClusterAccess(
        settings=settings,
        namespace=namespace or settings.argo_namespace,
        store=store,
        tooling_image=tooling_image,
    )


def workflow_manifest(submission: Submission, access: ClusterAccess, attempt: int = 1) -> Manifest:
    """The Workflow that computes a submission; equal submissions give equal manifests.

    Raises ValueError for a submission that computes nothing, SourceError for a source that pods cannot read.
    """
    if not submission.stages:
        raise ValueError("every stage is a hit")
    labels = _labels(submission)
    arguments = _workflow_arguments(submission)
    tasks, templates = stage_manifests(submission, access.store)
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {
            "name": submission.workflow(attempt),
            "namespace": access.namespace,
            "labels": labels,
            "annotations": _annotations(submission),
        },
        "spec": {
            "entrypoint": PIPELINE_TEMPLATE,
            "onExit": RECORD_TEMPLATE,
            **({"arguments": {"parameters": arguments}} if arguments else {}),
            "serviceAccountName": names.EXECUTOR_ACCOUNT,
            "artifactRepositoryRef": REPOSITORY_REFERENCE,
            "podMetadata": {"labels": labels},
            **pod_settings(access),
            "activeDeadlineSeconds": access.settings.argo_deadline,
            "volumes": empty_volumes(STAGE_VOLUMES),
            "templates": [
                {"name": PIPELINE_TEMPLATE, "dag": {"tasks": tasks}},
                *templates,
                _record_template(access, submission),
            ],
        },
    }


REPOSITORY_REFERENCE = {"configMap": names.REPOSITORIES, "key": names.REPOSITORY}


def stage_manifests(
    submission: Submission, store: ObjectAddress
) -> tuple[list[Manifest], list[Manifest]]:
    """The tasks of a submission's stages, and their templates, each once, for the store at that address.

    Raises SourceError for a source that pods cannot read.
    """
    parameters = _workflow_parameters(submission)
    tasks = [_task(submission, stage, store, parameters) for stage in submission.stages]
    first = {stage.template: stage for stage in reversed(submission.stages)}
    templates = [
        _stage_template(submission, stage, store)
        for stage in sorted(first.values(), key=submission.stages.index)
    ]
    return tasks, templates


def pod_settings(access: ClusterAccess) -> Manifest:
    """The settings of every pod of a Workflow, and how long the pods and the Workflow's object stay after its end."""
    secret, selector = access.settings.argo_pull_secret, access.settings.argo_node_selector
    return {
        "securityContext": POD_SECURITY,
        **({"imagePullSecrets": [{"name": secret}]} if secret else {}),
        **({"nodeSelector": dict(selector)} if selector else {}),
        "podGC": {"strategy": "OnWorkflowSuccess"},
        "ttlStrategy": {"secondsAfterSuccess": DAY, "secondsAfterFailure": 7 * DAY},
    }


# The executor's containers write the inputs, readable for their owner alone: so the whole pod has one user.
POD_SECURITY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def empty_volumes(volumes: Iterable[str]) -> list[Manifest]:
    """Volumes that are empty when a pod starts, and gone with it."""
    return [{"name": name, "emptyDir": {}} for name in volumes]


def mounts(volumes: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "mountPath": path} for name, path in volumes.items()]


def environment(variables: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def store_environment(access: ClusterAccess) -> list[Manifest]:
    """The variables by which the tooling in a pod reaches the store and its namespace; the keys come from a secret."""
    variables = {
        "DAINTREE_STORE": access.settings.store,
        "DAINTREE_PREFIX": access.settings.prefix,
        "DAINTREE_ARGO_NAMESPACE": "{{workflow.namespace}}",
        "HOME": TEMPORARY,
        **({"MINIO_ENDPOINT": access.store.endpoint} if access.store.endpoint else {}),
        **({"AWS_REGION": access.store.region} if access.store.region else {}),
    }
    keys = {"MINIO_ACCESS_KEY": names.ACCESS_KEY, "MINIO_SECRET_KEY": names.SECRET_KEY}
    return [*environment(variables), *secret_environment(names.STORE_SECRET, keys)]


def secret_environment(secret: str, keys: Mapping[str, str], **more: bool) -> list[Manifest]:
    """Variables whose values are keys of a secret of the cluster; a pod waits for one that is missing, unless `more` is `optional`."""
    more = {"optional": False, **more}
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, **more}}}
        for name, key in keys.items()
    ]


def store_secret(key: str) -> Manifest:
    return {"name": names.STORE_SECRET, "key": key}


def retries(limit: int, *exit_codes: int) -> Manifest:
    """So many attempts more, where the cluster lost or ended a pod, or its container ended with one of these codes.

    There is no backoff: Argo waits it out even where no attempt follows, and a pod takes seconds to start anyway.
    """
    codes = [f"asInt(lastRetry.exitCode) == {code}" for code in exit_codes]
    ended = f"lastRetry.message matches '{NODE_ENDED}'"
    expression = " || ".join(["lastRetry.status == 'Error'", *codes, ended])
    return {"limit": limit, "retryPolicy": "Always", "expression": expression}


def resource_requirements(wanted: Resources) -> Manifest:
    """Requests that are the limits as well, so that a stage gets what it may use; nothing for a stage that sets none."""
    amounts: dict[str, str] = {}
    if wanted.cpu:
        # Kubernetes counts in thousandths of a core, and takes no smaller part.
        whole = float(wanted.cpu).is_integer()
        amounts["cpu"] = f"{wanted.cpu:g}" if whole else f"{max(1, round(wanted.cpu * 1000))}m"
    if wanted.memory:
        amounts["memory"] = wanted.memory
    if wanted.gpu:
        amounts["nvidia.com/gpu"] = str(wanted.gpu)
    return {"resources": {"limits": amounts, "requests": amounts}} if amounts else {}


class InputPath(msgspec.Struct, frozen=True):
    """An input artifact: its name, and the path at which the container has it."""

    artifact: str
    path: str


def input_paths(submission: Submission, stage: SubmittedStage) -> dict[str, InputPath]:
    """The stage's inputs by source and need; several are directories of their names.

    A need without output is none of them: its directory, as that of a stage that reads nothing, is one of `empty_paths`.
    """
    files = {source.name: source.file for source in submission.sources}
    artifacts = (
        names.distinct_names(stage.inputs, _LONGEST_ARTIFACT)
        if len(stage.inputs) > 1
        else dict.fromkeys(stage.inputs, INPUT_ARTIFACT)
    )
    return {
        name: InputPath(artifact, f"{_directory(stage, name)}/{files.get(name, '')}".rstrip("/"))
        for name, artifact in artifacts.items()
        if name not in stage.empty_needs
    }


def empty_paths(stage: SubmittedStage) -> tuple[str, ...]:
    """The directories of the stage's input that are empty."""
    return (
        tuple(_directory(stage, name) for name in stage.empty_needs) if stage.inputs else (INPUT,)
    )


def _directory(stage: SubmittedStage, name: str) -> str:
    return f"{INPUT}/{name}" if len(stage.inputs) > 1 else INPUT


def task_parameters(stage: SubmittedStage) -> dict[str, str]:
    """The values that a stage's template gets, by the template's own names."""
    values = {
        name: as_argument(stage.parameters[n]) for n, name in _template_parameters(stage).items()
    }
    return {names.STAGE_PARAMETER: stage.name, names.STAGE_KEY_PARAMETER: stage.recipe, **values}


def _template_parameters(stage: SubmittedStage) -> dict[str, str]:
    """The template's own name for each parameter that passes through Argo; any other value stands in the template."""
    passed = [name for name, value in sorted(stage.parameters.items()) if names.is_plain(value)]
    taken = (names.STAGE_PARAMETER, names.STAGE_KEY_PARAMETER)
    return names.distinct_names(passed, _LONGEST_PARAMETER, taken)


def _workflow_parameters(submission: Submission) -> dict[tuple[str, str], str]:
    """The Workflow's own name for each parameter that passes through Argo, by stage and parameter."""
    keys = {
        f"{stage.task}/{parameter}": (stage.name, parameter)
        for stage in submission.stages
        for parameter in _template_parameters(stage)
    }
    return {keys[key]: name for key, name in names.distinct_names(keys, _LONGEST_PARAMETER).items()}


def _workflow_arguments(submission: Submission) -> list[Manifest]:
    values = {stage.name: stage.parameters for stage in submission.stages}
    return [
        {"name": name, "value": as_argument(values[stage][parameter])}
        for (stage, parameter), name in _workflow_parameters(submission).items()
    ]


def _task(
    submission: Submission,
    stage: SubmittedStage,
    store: ObjectAddress,
    parameters: Mapping[tuple[str, str], str],
) -> Manifest:
    running = {other.name: other.task for other in submission.stages}
    dependencies = [running[need] for need in stage.needs if need in running]
    values = task_parameters(stage)
    for parameter, name in _template_parameters(stage).items():
        values[name] = "{{workflow.parameters." + parameters[stage.name, parameter] + "}}"
    return {
        "name": stage.task,
        "template": stage.template,
        **({"dependencies": dependencies} if dependencies else {}),
        "arguments": {
            "parameters": [{"name": name, "value": value} for name, value in values.items()],
            "artifacts": _task_artifacts(submission, stage, store, running),
        },
    }


def _task_artifacts(
    submission: Submission, stage: SubmittedStage, store: ObjectAddress, running: Mapping[str, str]
) -> list[Manifest]:
    hits = {hit.name: hit.location for hit in submission.hits}
    sources = {source.name: source for source in submission.sources}
    artifacts: list[Manifest] = []
    for name, at in input_paths(submission, stage).items():
        if name in running:
            output = f"tasks.{running[name]}.outputs.artifacts.{names.OUTPUT_ARTIFACT}"
            artifacts.append({"name": at.artifact, "from": "{{" + output + "}}"})
        elif name in sources:
            artifacts.append({"name": at.artifact, "s3": _source_object(sources[name], store)})
        else:
            key = store.below(f"{hits[name]}/output").key
            artifacts.append({"name": at.artifact, "s3": {"key": key}})
    return artifacts


def _source_object(source: SubmittedSource, store: ObjectAddress) -> Manifest:
    """The source's objects: in the store, or in place.

    In another bucket it needs all that says where, since Argo ignores a bucket without its server.
    Raises SourceError for a whole bucket.
    """
    if not source.url:
        return {"key": store.below(f"{source_location(source.digest)}/output").key}
    address = object_address(source.url, source.endpoint, source.region)
    if not address.key:
        raise SourceError(
            f"the source {source.url} is a whole bucket, which pods cannot read",
            hint=f"name a prefix: {source.url}/…",
        )
    if address.bucket == store.bucket:
        return {"key": address.key}
    return {
        "endpoint": address.host,
        "insecure": address.insecure,
        "bucket": address.bucket,
        "key": address.key,
        **({"region": source.region} if source.region else {}),
        "accessKeySecret": store_secret(names.ACCESS_KEY),
        "secretKeySecret": store_secret(names.SECRET_KEY),
    }


def _stage_template(
    submission: Submission, stage: SubmittedStage, store: ObjectAddress
) -> Manifest:
    """The template of a stage and of those that share it."""
    parameters = _template_parameters(stage)
    command, arguments = [names.escape(w) for w in stage.command], _arguments(stage, parameters)
    # The same for every stage that shares the template.
    place = location(submission, stage, WORKFLOW_UID, POD_NAME)
    inputs, empty = input_paths(submission, stage).values(), empty_paths(stage)
    names_of_inputs = (names.STAGE_PARAMETER, names.STAGE_KEY_PARAMETER, *parameters.values())
    return {
        "name": stage.template,
        "metadata": _stage_metadata(stage, submission.commit),
        "inputs": {
            "parameters": [{"name": name} for name in names_of_inputs],
            "artifacts": [{"name": at.artifact, "path": at.path} for at in inputs],
        },
        "outputs": {
            "artifacts": [
                {
                    "name": names.OUTPUT_ARTIFACT,
                    "path": OUTPUT,
                    "archive": {"none": {}},
                    **({"optional": True} if stage.receipt else {}),
                    "s3": {"key": store.below(f"{place}/output").key},
                }
            ]
        },
        "retryStrategy": retries(STAGE_RETRIES, TERMINATED),
        **({"volumes": empty_volumes([EMPTY_VOLUME])} if empty else {}),
        "container": {
            "image": stage.image,
            "command": command,
            "args": arguments,
            "env": [
                *environment(stage_variables((*command, *arguments))),
                *secret_environment(submission.secret, {name: name for name in stage.env}),
            ],
            **resource_requirements(stage.resources),
            "securityContext": CONTAINER_SECURITY,
            "volumeMounts": [
                *mounts(STAGE_VOLUMES),
                *({"name": EMPTY_VOLUME, "mountPath": path, "readOnly": True} for path in empty),
            ],
        },
    }


def stage_variables(texts: Iterable[str]) -> dict[str, str]:
    """The container's variables, as in every runner; `texts` are its escaped command and arguments."""
    variables = container_variables({}, network=False)
    return {**variables, **(names.BRACE_VARIABLES if names.needs_brace(texts) else {})}


def _arguments(stage: SubmittedStage, parameters: Mapping[str, str]) -> list[str]:
    """The stage's own arguments, with those that pass through Argo as its parameters."""
    passed = {names.flag(name, stage.parameters[name]): name for name in parameters}
    return [
        names.flag(passed[word], _input_parameter(parameters[passed[word]]))
        if word in passed
        else names.escape(word)
        for word in stage.arguments
    ]


def _input_parameter(name: str) -> str:
    return "{{inputs.parameters." + name + "}}"


def _stage_metadata(stage: SubmittedStage, commit: str) -> Manifest:
    return {
        "labels": {
            names.COMPONENT: names.label_value(stage.component),
            names.VERSION: names.label_value(short(stage.version)),
        },
        "annotations": {
            names.STAGE: _input_parameter(names.STAGE_PARAMETER),
            names.STAGE_KEY: _input_parameter(names.STAGE_KEY_PARAMETER),
            names.COMPONENT: stage.component,
            names.VERSION: stage.version,
            **({names.COMMIT: commit} if commit else {}),
        },
    }


def _record_template(access: ClusterAccess, submission: Submission) -> Manifest:
    named = {f"{names.MASKED}{name}": name for one in submission.stages for name in one.env}
    masked = secret_environment(submission.secret, named, optional=True)
    return {
        "name": RECORD_TEMPLATE,
        "serviceAccountName": names.RECORD_ACCOUNT,
        "retryStrategy": retries(RECORD_RETRIES, TERMINATED, TEMPORARY_FAILURE),
        "container": {
            "image": access.tooling_image,
            **RECORD_COMMAND,
            "env": [*store_environment(access), *masked],
            "securityContext": CONTAINER_SECURITY,
            "volumeMounts": mounts(TOOLING_VOLUMES),
        },
    }


def _labels(submission: Submission) -> dict[str, str]:
    commit = {names.COMMIT: short(submission.commit)} if submission.commit else {}
    return {names.PIPELINE: names.label_value(submission.pipeline), **commit}


def _annotations(submission: Submission) -> dict[str, str]:
    return {
        names.PIPELINE: submission.pipeline,
        names.SUBMISSION: submission.digest,
        names.PLANNED: submission.planned,
        names.SOURCE: words_of({source.name: source.origin for source in submission.sources}),
        **({names.COMMIT: submission.commit} if submission.commit else {}),
    }
