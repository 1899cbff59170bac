"""A component as a template of a Workflow: its image, its own command line, what it reads and where its output goes."""

from __future__ import annotations

from collections.abc import Mapping

from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.arguments import flag, is_plain, written
from daintree.argo.container import OUTPUT_ARTIFACT, STAGE_VOLUMES, input_places
from daintree.argo.names import distinct_names, label_value
from daintree.argo.places import location_template
from daintree.argo.pods import (
    container_security,
    mounts,
    resources,
    stage_environment,
)
from daintree.argo.submission import SubmittedSource, SubmittedStage
from daintree.runners.container import OUTPUT
from daintree.spec.values import as_argument

STAGE, STAGE_KEY = names.STAGE_PARAMETER, names.STAGE_KEY_PARAMETER
# Attempts after the first, where the cluster failed and not the stage.
RETRIES = 2
_LONGEST_PARAMETER = 100


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
