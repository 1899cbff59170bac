"""A submission as a Workflow: the pipeline's stages as tasks in their order, one template a component, a record step at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.access import ClusterAccess
from daintree.argo.escaping import BRACE_VARIABLES, flag, is_plain, needs_brace, written
from daintree.argo.names import distinct_names, label_value
from daintree.argo.submission import (
    PIPELINE_TEMPLATE,
    RECORD_TEMPLATE,
    Submission,
    SubmittedSource,
    SubmittedStage,
    location_template,
)
from daintree.digest import short
from daintree.runners.container import INPUT, OUTPUT, SCRATCH, TEMPORARY
from daintree.runners.variables import container_variables
from daintree.settings import Settings
from daintree.spec.component import Resources
from daintree.spec.parameters import as_argument

INPUT_ARTIFACT, OUTPUT_ARTIFACT = "input", "output"
# The volumes of a stage's pod, each empty and gone with it, and where they are mounted.
STAGE_VOLUMES = {"output": OUTPUT, "scratch": SCRATCH, "temporary": TEMPORARY}
_LONGEST_ARTIFACT = 100


class InputPlace(msgspec.Struct, frozen=True):
    """An input artifact: its name, and the path at which the container has it."""

    artifact: str
    path: str


def input_places(stage: SubmittedStage, source: SubmittedSource) -> dict[str, InputPlace]:
    """The stage's inputs by need ("" for the source)."""
    if len(stage.needs) > 1:
        artifacts = distinct_names(stage.needs, _LONGEST_ARTIFACT)
        return {need: InputPlace(name, f"{INPUT}/{need}") for need, name in artifacts.items()}
    if stage.needs:
        return {stage.needs[0]: InputPlace(INPUT_ARTIFACT, INPUT)}
    return {"": InputPlace(INPUT_ARTIFACT, f"{INPUT}/{source.file}".rstrip("/"))}


def stage_variables(texts: Iterable[str]) -> dict[str, str]:
    """The container's variables, as in every runner; `texts` are its command and arguments as they are written."""
    variables = container_variables({}, home=TEMPORARY, scratch=SCRATCH, network=False)
    return {**variables, **(BRACE_VARIABLES if needs_brace(tuple(texts)) else {})}


# Any user but root: what a pod writes is read by the executor, which runs as the same one.
USER = 1000

# The volumes of a pod of the tooling, as STAGE_VOLUMES are a stage's.
TOOLING_VOLUMES = {"temporary": TEMPORARY}


def pod_security() -> m.PodSecurityContext:
    """Of every pod of a Workflow, its executor's containers included: these write the inputs, readable for their owner alone."""
    return m.PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER,
        run_as_group=USER,
        fs_group=USER,
        seccomp_profile=m.SeccompProfile(type="RuntimeDefault"),
    )


def container_security() -> m.SecurityContext:
    """Of the container that does the work."""
    return m.SecurityContext(
        allow_privilege_escalation=False,
        capabilities=m.Capabilities(drop=["ALL"]),
        read_only_root_filesystem=True,
    )


def volumes() -> list[m.Volume]:
    """The volumes that pods mount, each pod its own."""
    return [m.Volume(name=name, empty_dir=m.EmptyDirVolumeSource()) for name in STAGE_VOLUMES]


def mounts(chosen: Mapping[str, str]) -> list[m.VolumeMount]:
    """Where a container has its volumes."""
    return [m.VolumeMount(name=name, mount_path=path) for name, path in chosen.items()]


def stage_environment(texts: Iterable[str]) -> list[m.EnvVar]:
    """What a stage's container gets, as in every runner; `texts` are its arguments as they are written."""
    return environment(stage_variables(texts))


def environment(variables: Mapping[str, str]) -> list[m.EnvVar]:
    """Variables, sorted by name."""
    return [m.EnvVar(name=name, value=value) for name, value in sorted(variables.items())]


def store_environment(settings: Settings, endpoint: str, region: str) -> list[m.EnvVar]:
    """How the tooling in a pod reaches the store and the cluster's namespace; the keys come from a secret."""
    variables = {
        "DAINTREE_STORE": settings.store,
        "DAINTREE_PREFIX": settings.prefix,
        "DAINTREE_ARGO_NAMESPACE": "{{workflow.namespace}}",
        "HOME": TEMPORARY,
        **({"MINIO_ENDPOINT": endpoint} if endpoint else {}),
        **({"AWS_REGION": region} if region else {}),
    }
    keys = {"MINIO_ACCESS_KEY": names.ACCESS_KEY, "MINIO_SECRET_KEY": names.SECRET_KEY}
    return [*environment(variables), *(_secret(name, key) for name, key in keys.items())]


def _secret(variable: str, key: str) -> m.EnvVar:
    source = m.SecretKeySelector(name=names.STORE_SECRET, key=key)
    return m.EnvVar(name=variable, value_from=m.EnvVarSource(secret_key_ref=source))


def resources(wanted: Resources) -> m.ResourceRequirements | None:
    """Requests that are the limits as well, so that a stage gets what it may use; None for a stage that says nothing."""
    amounts: dict[str, m.Quantity] = {}
    if wanted.cpu:
        amounts["cpu"] = m.Quantity(root=_cores(wanted.cpu))
    if wanted.memory:
        amounts["memory"] = m.Quantity(root=wanted.memory)
    return m.ResourceRequirements(limits=amounts, requests=amounts) if amounts else None


def _cores(cpu: float) -> str:
    """Kubernetes counts in thousandths of a core, and takes no smaller part."""
    return f"{cpu:g}" if float(cpu).is_integer() else f"{max(1, round(cpu * 1000))}m"


STAGE, STAGE_KEY = names.STAGE_PARAMETER, names.STAGE_KEY_PARAMETER
# Attempts after the first, where the cluster failed and not the stage.
RETRIES = 2


def input_artifacts(stage: SubmittedStage, source: SubmittedSource) -> dict[str, m.Artifact]:
    """The stage's input artifacts by need ("" for the source), each with the path where the container has it."""
    places = input_places(stage, source)
    return {need: m.Artifact(name=at.artifact, path=at.path) for need, at in places.items()}


def parameter_names(stage: SubmittedStage) -> dict[str, str]:
    """The template's own name for each parameter that passes through Argo; any other value stands in the template."""
    passed = [name for name, value in sorted(stage.parameters.items()) if is_plain(value)]
    return distinct_names(passed, _LONGEST_PARAMETER, (STAGE, STAGE_KEY))


def stage_template(
    stage: SubmittedStage,
    *,
    prefix: str,
    source: SubmittedSource,
    commit: str,
    below: str,
) -> m.Template:
    """The template of a stage and of those that share it; outputs go `below` a directory of the bucket ("" or "path/")."""
    parameters = parameter_names(stage)
    arguments = _arguments(stage, parameters)
    place = location_template(prefix, stage.component, stage.version, _parameter(STAGE))
    return m.Template(
        name=stage.template,
        metadata=_metadata(stage, commit),
        inputs=m.Inputs(
            parameters=[m.Parameter(name=n) for n in (STAGE, STAGE_KEY, *parameters.values())],
            artifacts=[*input_artifacts(stage, source).values()],
        ),
        outputs=m.Outputs(artifacts=[_output(f"{below}{place}/output")]),
        retry_strategy=retries("OnError", RETRIES),
        container=m.Container(
            image=stage.image,
            command=[written(word) for word in stage.command],
            args=arguments,
            env=stage_environment((*stage.command, *arguments)),
            resources=resources(stage.resources),
            security_context=container_security(),
            volume_mounts=mounts(STAGE_VOLUMES),
        ),
    )


def stage_parameters(stage: SubmittedStage) -> dict[str, str]:
    """What a task gives its template, but for the component's parameters."""
    return {STAGE: stage.name, STAGE_KEY: stage.recipe}


def retries(policy: str, limit: int) -> m.RetryStrategy:
    """So many attempts more, each after a longer wait."""
    backoff = m.Backoff(duration="10s", factor=m.IntOrString(root=2))
    return m.RetryStrategy(limit=m.IntOrString(root=limit), retry_policy=policy, backoff=backoff)


def _arguments(stage: SubmittedStage, parameters: Mapping[str, str]) -> list[str]:
    """The stage's own arguments, with what passes through Argo left to it."""
    passed = {flag(name, as_argument(stage.parameters[name])): name for name in parameters}
    return [
        flag(passed[word], _parameter(parameters[passed[word]]))
        if word in passed
        else written(word)
        for word in stage.arguments
    ]


def _parameter(name: str) -> str:
    return "{{inputs.parameters." + name + "}}"


def _output(key: str) -> m.Artifact:
    return m.Artifact(
        name=OUTPUT_ARTIFACT,
        path=OUTPUT,
        archive=m.ArchiveStrategy(none=m.NoneStrategy()),
        s3=m.S3Artifact(key=key),
    )


def _metadata(stage: SubmittedStage, commit: str) -> m.Metadata:
    """Labels to select pods by, and annotations with the full values."""
    full = {
        names.STAGE: _parameter(STAGE),
        names.STAGE_KEY: _parameter(STAGE_KEY),
        names.COMPONENT: stage.component,
        names.VERSION: stage.version,
        **({names.COMMIT: commit} if commit else {}),
    }
    short = {
        names.COMPONENT: label_value(stage.component),
        names.VERSION: label_value(stage.version.removeprefix("sha256:")[:20]),
    }
    return m.Metadata(labels=short, annotations=full)


API_VERSION = "argoproj.io/v1alpha1"
DAY = 24 * 60 * 60
# A Workflow's object stays so long after its end: long enough to look at what failed.
KEPT_SECONDS = {"success": DAY, "failure": 7 * DAY}
RECORD_RETRIES = 3
_LONGEST_PARAMETER = 120


def workflow_manifest(
    submission: Submission, access: ClusterAccess, attempt: int = 1
) -> dict[str, Any]:
    """The Workflow that computes a submission, as the API takes it; equal submissions give equal manifests.

    Raises ValueError for one that computes nothing, SourceError for a source that pods cannot read.
    """
    if not submission.stages:
        raise ValueError("every stage is a hit")
    given = workflow_parameters(submission)
    workflow = m.Workflow(
        api_version=API_VERSION,
        kind="Workflow",
        metadata=m.ObjectMeta(
            name=submission.workflow(attempt),
            namespace=access.namespace,
            labels=_labels(submission),
            annotations=_annotations(submission),
        ),
        spec=_spec(submission, access, given),
    )
    return plain(workflow)


def plain(model: Any) -> dict[str, Any]:
    """A model of hera's as its API takes it: what is not set is not there."""
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def workflow_parameters(submission: Submission) -> dict[tuple[str, str], str]:
    """The Workflow's own name for each plain parameter, by stage and parameter."""
    keys = {
        f"{stage.task}/{parameter}": (stage.name, parameter)
        for stage in submission.stages
        for parameter in parameter_names(stage)
    }
    return {keys[key]: name for key, name in distinct_names(keys, _LONGEST_PARAMETER).items()}


def _spec(
    submission: Submission, access: ClusterAccess, given: Mapping[tuple[str, str], str]
) -> m.WorkflowSpec:
    return m.WorkflowSpec(
        entrypoint=PIPELINE_TEMPLATE,
        on_exit=RECORD_TEMPLATE,
        arguments=_workflow_arguments(submission, given),
        service_account_name=names.EXECUTOR_ACCOUNT,
        artifact_repository_ref=m.ArtifactRepositoryRef(
            config_map=names.REPOSITORIES, key=names.REPOSITORY
        ),
        pod_metadata=m.Metadata(labels=_labels(submission)),
        security_context=pod_security(),
        image_pull_secrets=access.pull_secrets,
        node_selector=dict(access.node_selector) or None,
        active_deadline_seconds=access.deadline,
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess"),
        ttl_strategy=m.TTLStrategy(
            seconds_after_success=KEPT_SECONDS["success"],
            seconds_after_failure=KEPT_SECONDS["failure"],
        ),
        volumes=volumes(),
        templates=[
            _pipeline_template(submission, access, given),
            *_stage_templates(submission, access),
            _record_template(access),
        ],
    )


def _workflow_arguments(
    submission: Submission, given: Mapping[tuple[str, str], str]
) -> m.Arguments | None:
    values = {stage.name: stage.parameters for stage in submission.stages}
    parameters = [
        m.Parameter(name=name, value=as_argument(values[stage][parameter]))
        for (stage, parameter), name in given.items()
    ]
    return m.Arguments(parameters=parameters) if parameters else None


def _pipeline_template(
    submission: Submission, access: ClusterAccess, given: Mapping[tuple[str, str], str]
) -> m.Template:
    tasks = [_task(submission, stage, access, given) for stage in submission.stages]
    return m.Template(name=PIPELINE_TEMPLATE, dag=m.DAGTemplate(tasks=tasks))


def _task(
    submission: Submission,
    stage: SubmittedStage,
    access: ClusterAccess,
    given: Mapping[tuple[str, str], str],
) -> m.DAGTask:
    running = {other.name: other.task for other in submission.stages}
    values = stage_parameters(stage)
    for parameter, name in parameter_names(stage).items():
        values[name] = "{{workflow.parameters." + given[stage.name, parameter] + "}}"
    return m.DAGTask(
        name=stage.task,
        template=stage.template,
        dependencies=[running[need] for need in stage.needs if need in running] or None,
        arguments=m.Arguments(
            parameters=[m.Parameter(name=name, value=value) for name, value in values.items()],
            artifacts=_task_artifacts(submission, stage, access, running),
        ),
    )


def _task_artifacts(
    submission: Submission,
    stage: SubmittedStage,
    access: ClusterAccess,
    running: Mapping[str, str],
) -> list[m.Artifact]:
    """Where a task's inputs are: another task's output, a run in the store, or the source."""
    hits = {hit.name: hit.location for hit in submission.hits}
    artifacts = []
    for need, artifact in input_artifacts(stage, submission.source).items():
        if need in running:
            output = f"tasks.{running[need]}.outputs.artifacts.{OUTPUT_ARTIFACT}"
            place: dict[str, Any] = {"from_": "{{" + output + "}}"}
        elif need:
            place = {"s3": m.S3Artifact(key=access.key(f"{hits[need]}/output"))}
        else:
            place = {"s3": access.source(submission.source)}
        artifacts.append(m.Artifact(name=artifact.name, **place))
    return artifacts


def _stage_templates(submission: Submission, access: ClusterAccess) -> list[m.Template]:
    """One for each name, in the order of the first stage that has it."""
    first = {stage.template: stage for stage in reversed(submission.stages)}
    return [
        stage_template(
            stage,
            prefix=submission.prefix,
            source=submission.source,
            commit=submission.commit,
            below=access.key(""),
        )
        for stage in sorted(first.values(), key=submission.stages.index)
    ]


def _record_template(access: ClusterAccess) -> m.Template:
    return m.Template(
        name=RECORD_TEMPLATE,
        service_account_name=names.RECORD_ACCOUNT,
        retry_strategy=retries("Always", RECORD_RETRIES),
        container=m.Container(
            image=access.tooling_image,
            command=["doit"],
            args=["record", "{{workflow.name}}"],
            env=store_environment(access.settings, access.endpoint, access.region),
            security_context=container_security(),
            volume_mounts=mounts(TOOLING_VOLUMES),
        ),
    )


def _labels(submission: Submission) -> dict[str, str]:
    labels = {names.PIPELINE: label_value(submission.pipeline)}
    if submission.commit:
        labels[names.COMMIT] = short(submission.commit)
    return labels


def _annotations(submission: Submission) -> dict[str, str]:
    annotations = {
        names.PIPELINE: submission.pipeline,
        names.SUBMISSION: submission.digest,
        names.SOURCE: submission.source.origin,
    }
    if submission.commit:
        annotations[names.COMMIT] = submission.commit
    return annotations
