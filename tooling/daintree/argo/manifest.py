"""A submission as a Workflow: the pipeline's stages as tasks in their order, one template a component, a record step at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.cluster_access import ClusterAccess
from daintree.argo.container import OUTPUT_ARTIFACT
from daintree.argo.names import distinct_names, label_value
from daintree.argo.pods import (
    TOOLING_VOLUMES,
    container_security,
    mounts,
    pod_security,
    store_environment,
    volumes,
)
from daintree.argo.stage_templates import (
    input_artifacts,
    parameter_names,
    retries,
    stage_parameters,
    stage_template,
)
from daintree.argo.submission import Submission, SubmittedStage
from daintree.argo.template_groups import PIPELINE_TEMPLATE, RECORD_TEMPLATE
from daintree.digest import short
from daintree.spec.values import as_argument

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
