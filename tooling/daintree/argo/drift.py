"""Drift: the difference between a Workflow that ran and the one that its submission makes. Pure.

A stage is recorded only where its task, its template and what decides over all pods are those that are generated anew from the
submission, where its pod got the submitted values and inputs, and where nothing else can have written below its location. What only
decides when and on which node a pod runs may differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from daintree.argo import manifest, names
from daintree.argo.cluster import Object
from daintree.argo.submission import PIPELINE_TEMPLATE, RECORD_TEMPLATE, Submission, SubmittedStage
from daintree.argo.workflow_status import Attempt, Node, ObjectKey, read_nodes
from daintree.store.s3 import ObjectAddress

# Fields that decide when and on which node pods run, or who starts what: of a Workflow's specification, a template, a container.
_SCHEDULING = frozenset(
    (
        *("activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "executor"),
        *("metrics", "nodeSelector", "parallelism", "podResources", "resourceClaims"),
        *("retryStrategy", "schedulerName", "securityContext", "serviceAccountName"),
        *("synchronization", "tolerations"),
    )
)
_SPEC_FREE = _SCHEDULING | {
    *("archiveLogs", "arguments", "entrypoint", "hooks", "imagePullSecrets", "onExit"),
    *("podDisruptionBudget", "podGC", "podMetadata", "podPriorityClassName", "priority"),
    *("shutdown", "suspend", "templates", "ttlStrategy", "volumeClaimGC", "volumes"),
    *("workflowMetadata", "workflowTemplateRef", "artifactRepositoryRef", "templateDefaults"),
}
_TEMPLATE_FREE = _SCHEDULING | {
    *("annotations", "failFast", "metadata", "pendingTimeout", "priorityClassName", "timeout")
}
_CONTAINER_FREE = frozenset(
    (
        *("imagePullPolicy", "name", "ports", "resizePolicy", "resources", "securityContext"),
        *("terminationMessagePath", "terminationMessagePolicy"),
    )
)
# Values that are empty and yet say something.
_SAYING = ("none", "tar", "zip", "emptyDir")
# Types of nodes that stand for others, and write nothing themselves.
_GROUPS = frozenset(("Retry", "DAG", "Steps", "StepGroup", "TaskGroup", "Suspend", "Skipped"))
_TAG = re.compile(r"\{\{([^{}]*)\}\}")
_CREDENTIALS = ("accessKeySecret", "secretKeySecret")


class Drift:
    """Compares the stages of one Workflow, whose store is at that address, with its submission."""

    def __init__(self, workflow: Object, submission: Submission, store: ObjectAddress) -> None:
        self._submission, self._nodes = submission, read_nodes(workflow)
        self._spec, stored = _specification(workflow)
        self._written = {str(one.get("name")): one for one in _items(self._spec, "templates")}
        self._stored = stored
        tasks, templates = manifest.stage_manifests(submission, store)
        self._tasks = {task["name"]: task for task in tasks}
        self._templates = {template["name"]: template for template in templates}
        self._general = next(self._of_all(), "")

    def of_stage(
        self,
        stage: SubmittedStage,
        attempt: Attempt,
        inputs: Mapping[str, ObjectKey],
        output: ObjectKey,
    ) -> str:
        """The first difference of a stage's attempt, in words; "" where there is none.

        `inputs` are the keys of the stage's inputs, by source and need; `output` is that of its own output.
        """
        return self._general or next(self._of_stage(stage, attempt, inputs, output), "")

    def _of_all(self) -> Iterator[str]:
        """Differences that touch every stage."""
        spec = self._spec
        for name in sorted(spec.keys() - _SPEC_FREE):
            if spec[name]:
                yield f"its Workflow has {name}"
        defaults = spec.get("templateDefaults") or {}
        for name in sorted(defaults.keys() - _TEMPLATE_FREE):
            if defaults[name]:
                yield f"its Workflow's templateDefaults have {name}"
        root = self._nodes.root
        if root is None or root.template_name != PIPELINE_TEMPLATE:
            yield f"its Workflow did not begin with the template {PIPELINE_TEMPLATE}"
        if spec.get("artifactRepositoryRef") != manifest.REPOSITORY_REFERENCE:
            yield "its Workflow has another artifact repository"
        volumes = [
            one for one in _items(spec, "volumes") if one.get("name") in manifest.STAGE_VOLUMES
        ]
        if _plain(volumes) != manifest.empty_volumes(manifest.STAGE_VOLUMES):
            yield "its volumes are others"
        others = {k: v for k, v in spec.items() if k != "templates"}
        for holder in (others, *self._written.values(), *self._stored.values()):
            if not _is_record(holder) and _mentions(holder, names.STORE_SECRET):
                yield f"more than its record step gets the secret {names.STORE_SECRET}"

    def _of_stage(
        self,
        stage: SubmittedStage,
        attempt: Attempt,
        inputs: Mapping[str, ObjectKey],
        output: ObjectKey,
    ) -> Iterator[str]:
        template = self._written.get(stage.template)
        if template is None or attempt.template != stage.template:
            yield f"it ran the template {attempt.template!r} and not {stage.template!r}"
            return
        if attempt.memoized:
            yield "its output is one that Argo has memoized"
        tasks = _items(self._written.get(PIPELINE_TEMPLATE, {}).get("dag") or {}, "tasks")
        task: manifest.Manifest = next((one for one in tasks if one.get("name") == stage.task), {})
        yield from _differences("its task", _plain(task), _task(self._tasks[stage.task], task))
        wanted = self._templates[stage.template]
        yield from _differences("its template", _decisive(template), _decisive(wanted))
        parameters = manifest.task_parameters(stage)
        for name in sorted(parameters.keys() | attempt.parameters.keys()):
            if attempt.parameters.get(name) != parameters.get(name):
                got, value = attempt.parameters.get(name), parameters.get(name)
                yield f"it had {name} {got!r} where {value!r} was submitted"
        paths = {
            need: at.artifact for need, at in manifest.input_paths(self._submission, stage).items()
        }
        for need, artifact in paths.items():
            if attempt.artifacts.get(artifact, ObjectKey()) != inputs[need]:
                text = f"source {need}".rstrip() if need in stage.sources else f"input from {need}"
                yield f"its {text} was read from elsewhere"
        for name in sorted(attempt.artifacts.keys() - set(paths.values())):
            yield f"it has the further input {name}"
        if not attempt.output.key and not stage.receipt:
            yield "its Workflow names no output of it"
        elif attempt.output.key and attempt.output != output:
            yield f"its output is at {attempt.output.key}, not at {output.key}"
        for writer in self._writers(output.key, attempt):
            yield f"{writer} may have written where its output is"

    def _writers(self, key: str, attempt: Attempt) -> Iterator[str]:
        """The nodes but this attempt's that may have written below a key, or above it."""
        for node in self._nodes.by_id.values():
            if node.type in _GROUPS:
                continue
            if node.id == attempt.node:
                if sum(_overlap(place, key) for place in self._outputs(node)) > 1:
                    yield "a further output of its own"
            elif any(_overlap(place, key) for place in self._places(node, key)):
                yield node.name

    def _outputs(self, node: Node) -> list[str]:
        return [place.key for place in self._nodes.outputs(node).values() if place.key]

    def _places(self, node: Node, key: str) -> Iterator[str]:
        """The keys below which a node may have written: its status', and those that its template names."""
        yield from self._outputs(node)
        template = self._template(node)
        if template is None:
            # Only of a pod that succeeded does the status name every output.
            if node.phase != "Succeeded":
                yield ""
            return
        scope = self._scope(node)
        for artifact in _items(template.get("outputs") or {}, "artifacts"):
            for value in artifact.values():
                if isinstance(value, Mapping) and "key" in value:
                    yield _filled(str(value["key"]), scope).partition("{{")[0]
        # A container that got the key itself in its words may have written there in its own way.
        if key in _filled(json.dumps(template, ensure_ascii=False), scope):
            yield key

    def _template(self, node: Node) -> manifest.Manifest | None:
        """The template that a node ran; None for one that stands nowhere by its name."""
        reference = node.template_ref
        if reference is None:
            return self._written.get(node.template_name)
        end = f"/{reference.name}/{reference.template}"
        return next((t for name, t in self._stored.items() if name.endswith(end)), None)

    def _scope(self, node: Node) -> dict[str, str]:
        """The values that Argo puts into the tags of a node's template; the zone's own are not among them."""
        metadata = self._nodes.metadata
        parameters = _items(self._spec.get("arguments") or {}, "parameters")
        given = {
            f"workflow.parameters.{one['name']}": str(one.get("value", "")) for one in parameters
        }
        inputs = {f"inputs.parameters.{n}": v for n, v in self._nodes.parameters(node).items()}
        return {
            "workflow.name": metadata.name,
            "workflow.uid": metadata.uid,
            "workflow.creationTimestamp.s": f"{metadata.creation_timestamp.timestamp():.0f}",
            "pod.name": self._nodes.pod(node),
            **given,
            **inputs,
        }


def _specification(workflow: Object) -> tuple[manifest.Manifest, dict[str, manifest.Manifest]]:
    """The specification that a Workflow runs by, and the templates that Argo has stored beside it.

    Where it refers to a WorkflowTemplate, Argo keeps what it has made of both.
    """
    status = workflow.get("status") or {}
    spec = status.get("storedWorkflowTemplateSpec") or workflow.get("spec") or {}
    return dict(spec), dict(status.get("storedTemplates") or {})


def _items(holder: Object, name: str) -> list[Any]:
    return list(holder.get(name) or ())


def _plain(value: Any) -> Any:
    """A value without what is empty: the controller writes empty fields where there were none."""
    if isinstance(value, Mapping):
        items = {name: _plain(item) for name, item in value.items()}
        return {n: v for n, v in items.items() if n in _SAYING or v not in ({}, [], "", None)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _decisive(template: manifest.Manifest) -> manifest.Manifest:
    """A stage's template without what decides nothing of its output; variables in any order."""
    decisive = {name: value for name, value in template.items() if name not in _TEMPLATE_FREE}
    container = decisive.get("container")
    if isinstance(container, Mapping):
        decisive["container"] = {n: v for n, v in container.items() if n not in _CONTAINER_FREE}
    return dict(_plain(decisive))


def _task(wanted: manifest.Manifest, task: manifest.Manifest) -> Any:
    """The generated task; one that waits for further tasks is no other."""
    needed, waited = wanted.get("dependencies", []), task.get("dependencies") or []
    return _plain({**wanted, "dependencies": waited} if set(needed) <= set(waited) else wanted)


def _differences(path: str, got: Any, wanted: Any) -> Iterator[str]:
    """The differences of two values, each named by the fields that lead to it."""
    if isinstance(got, Mapping) and isinstance(wanted, Mapping):
        join = "." if "'s " in path else "'s "
        for name in [*wanted, *(name for name in got if name not in wanted)]:
            if name not in wanted:
                yield f"{path} has {name}"
            else:
                yield from _differences(f"{path}{join}{name}", got.get(name), wanted[name])
    elif isinstance(got, list) and isinstance(wanted, list):
        if len(got) != len(wanted):
            yield f"{path} has {len(got)} items where {len(wanted)} were submitted"
        for index, (one, other) in enumerate(zip(got, wanted, strict=False)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif got != wanted:
        yield f"{path} is {got!r} where {wanted!r} was submitted"


def _is_record(template: manifest.Manifest) -> bool:
    """True of the record step's template: it alone has the keys of the store."""
    container = template.get("container") or {}
    command = {name: container.get(name) for name in manifest.RECORD_COMMAND}
    only = {"name", "container", "inputs", "outputs", *_TEMPLATE_FREE}
    names_all = {name for name, value in template.items() if value}
    return (
        template.get("name") == RECORD_TEMPLATE
        and command == manifest.RECORD_COMMAND
        and names_all <= only
        and not _items(template.get("outputs") or {}, "artifacts")
    )


def _mentions(value: Any, word: str) -> bool:
    """True of a word that stands anywhere in a part of a manifest but where Argo's executor takes an artifact's keys from."""
    if isinstance(value, Mapping):
        return any(_mentions(v, word) for n, v in value.items() if n not in _CREDENTIALS)
    if isinstance(value, list | tuple):
        return any(_mentions(item, word) for item in value)
    return isinstance(value, str) and word in value


def _filled(text: str, scope: Mapping[str, str]) -> str:
    """A text with the tags replaced that are known."""
    return _TAG.sub(lambda match: scope.get(match[1].strip(), match[0]), text)


def _overlap(written: str, key: str) -> bool:
    """True when a file below one of two keys may lie below the other."""
    short, long = sorted((written.rstrip("/"), key.rstrip("/")), key=len)
    return long.startswith(short)
