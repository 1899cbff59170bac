"""Whether a stage ran as it was submitted: a manifest edited by hand must not become a hit under a key that says otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daintree.argo.arguments import received
from daintree.argo.container import (
    OUTPUT_ARTIFACT,
    STAGE_VOLUMES,
    InputPlace,
    input_places,
    stage_variables,
)
from daintree.argo.node_status import Attempt
from daintree.argo.nodes import Place
from daintree.argo.submission import SubmittedSource, SubmittedStage
from daintree.cluster.protocol import Object
from daintree.runners.container import OUTPUT

# What runs beside the container, in its place, or makes another of it.
_ELSE = (
    *("script", "containerSet", "resource", "http", "plugin", "data", "dag", "steps", "suspend"),
    *("initContainers", "sidecars", "podSpecPatch", "daemon", "memoize"),
)
_CONTAINER_ELSE = ("envFrom", "workingDir", "lifecycle", "volumeDevices")


def edited(
    workflow: Object,
    stage: SubmittedStage,
    source: SubmittedSource,
    attempt: Attempt,
    inputs: Mapping[str, Place],
) -> str:
    """What of a stage's attempt is not as it was submitted, in words; "" where all is.

    `inputs` is where the stage's inputs are, by need ("" for the source).
    """
    spec = _spec(workflow)
    templates = {str(one["name"]): one for one in _list(spec, "templates")}
    template = templates.get(stage.template)
    if template is None or attempt.template != stage.template:
        return f"it ran the template {attempt.template!r} and not {stage.template!r}"
    if attempt.memoized:
        return "its output is one that Argo has memoized"
    differences = (
        *_else(spec, template),
        *_container(spec, template, stage, attempt),
        *_inputs(template, input_places(stage, source), attempt, inputs),
    )
    return next(iter(differences), "")


def _else(spec: Object, template: Object) -> Iterator[str]:
    """What could have made the pod another one."""
    defaults = spec.get("templateDefaults") or {}
    yield from (f"its template has {name}" for name in _ELSE if template.get(name))
    if spec.get("podSpecPatch"):
        yield "its Workflow has podSpecPatch"
    for name in ("container", *_ELSE):
        if defaults.get(name):
            yield f"its Workflow's templateDefaults have {name}"


def _container(
    spec: Object, template: Object, stage: SubmittedStage, attempt: Attempt
) -> Iterator[str]:
    container = template.get("container") or {}
    written = [*_list(container, "command"), *_list(container, "args")]
    variables = {one["name"]: one.get("value") for one in _list(container, "env")}
    if container.get("image") != stage.image:
        yield f"its image is {container.get('image')}"
    if variables != stage_variables(written):
        yield "its environment is another"
    for words, wanted, what in (
        (_list(container, "command"), stage.command, "command"),
        (_list(container, "args"), stage.arguments, "arguments"),
    ):
        got = tuple(received(word, attempt.parameters, stage_variables(written)) for word in words)
        if got != wanted:
            yield f"its {what} {_difference(got, wanted)}"
    yield from (f"its container has {name}" for name in _CONTAINER_ELSE if container.get(name))
    mounted = {one["name"]: one["mountPath"] for one in _list(container, "volumeMounts")}
    volumes = [*_list(spec, "volumes"), *_list(template, "volumes")]
    kept = [one["name"] for one in volumes if "emptyDir" not in one]
    if mounted != STAGE_VOLUMES or {*kept} & {*mounted}:
        yield "its volumes are others"


def _inputs(
    template: Object,
    places: Mapping[str, InputPlace],
    attempt: Attempt,
    inputs: Mapping[str, Place],
) -> Iterator[str]:
    paths = {
        one["name"]: one.get("path") for one in _list(template.get("inputs") or {}, "artifacts")
    }
    outputs = _list(template.get("outputs") or {}, "artifacts")
    for need, place in places.items():
        whose = f"its input from {need}" if need else "its source"
        if paths.get(place.artifact) != place.path:
            yield f"{whose} is at {paths.get(place.artifact)}"
        if _bare(attempt.artifacts.get(place.artifact, Place())) != _bare(inputs[need]):
            yield f"{whose} was read from elsewhere"
    for name in sorted(attempt.artifacts.keys() - {place.artifact for place in places.values()}):
        yield f"it has the further input {name}"
    if {one["name"]: one.get("path") for one in outputs}.get(OUTPUT_ARTIFACT) != OUTPUT:
        yield f"its output is not taken from {OUTPUT}"


def _bare(place: Place) -> Place:
    """A slash at the end of a key does not matter to Argo."""
    return Place(place.key.rstrip("/"), place.bucket)


def _difference(got: Sequence[str], wanted: Sequence[str]) -> str:
    for one, other in zip(got, wanted, strict=False):
        if one != other:
            return f"had {one!r} where {other!r} was submitted"
    return f"had {len(got)} words where {len(wanted)} were submitted"


def _spec(workflow: Object) -> Object:
    """The specification it runs by: where it refers to a WorkflowTemplate, Argo keeps what it has made of both."""
    status: Object = workflow.get("status") or {}
    spec: Object = status.get("storedWorkflowTemplateSpec") or workflow.get("spec") or {}
    return spec


def _list(holder: Object, name: str) -> list[Any]:
    return list(holder.get(name) or ())
