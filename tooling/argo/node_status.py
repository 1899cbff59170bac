"""What became of a Workflow's tasks, from the Workflow as the cluster's API returns it. Pure.

Argo keeps a flat map of nodes. The entrypoint's DAG has the Workflow's own name; a task's node is named after both. Where its
template has a `retryStrategy`, that node is of type Retry and has a child of type Pod for each attempt, `task(0)`, `task(1)` …; else
it is the Pod itself. A task that never began has a node of type Skipped, or none.

What Argo puts into `{{workflow.failures}}` are some fields of these nodes, the DAG's among them: nothing is read from there.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tooling.cluster.protocol import Object
from tooling.errors import ClusterError

State: TypeAlias = Literal[
    "pending", "running", "succeeded", "failed", "error", "omitted", "skipped"
]

OUTPUT = "output"

_ENDED: frozenset[str] = frozenset({"succeeded", "failed", "error", "omitted", "skipped"})
_POD_NAMES = "workflows.argoproj.io/pod-name-format"
# Argo cuts what stands before a pod's number.
_LONGEST_POD_STEM = 242
_ATTEMPT = re.compile(r"\((\d+)\)\Z")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One pod of a task; `number` counts from 0, as `{{retries}}` does.

    `output` is the key under which its output artifact `output` lies, `artifacts` those of its input artifacts, by name: as they
    stand in the bucket, or "" for what lies anywhere but in the Workflow's own repository. `exit_code` is None where Argo tells
    none; `memoized` says that no pod ran and the outputs are another's. `host` is the cluster's node ("" before it is known).
    """

    number: int
    node: str
    pod: str
    template: str
    state: State
    message: str
    started: datetime | None
    finished: datetime | None
    host: str
    exit_code: int | None
    output: str
    parameters: Mapping[str, str]
    artifacts: Mapping[str, str]
    memoized: bool


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the Workflow's DAG and its attempts, first to last; none where no pod was asked for."""

    name: str
    state: State
    message: str
    started: datetime | None
    finished: datetime | None
    attempts: tuple[Attempt, ...]

    @property
    def successful(self) -> Attempt | None:
        """The attempt to which the task owes its success; None for a task that has not succeeded."""
        if self.state != "succeeded":
            return None
        return next((one for one in reversed(self.attempts) if one.state == "succeeded"), None)


class WorkflowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A Workflow: when the cluster made it, its phase in Argo's words ("" before Argo has seen it), its tasks by name.

    `settled`: its tasks are what they will be, whether or not its exit handler has run.
    """

    name: str
    created: datetime
    phase: str
    message: str
    started: datetime | None
    finished: datetime | None
    settled: bool
    tasks: Mapping[str, Task]


class _S3(msgspec.Struct, frozen=True):
    key: str = ""
    endpoint: str = ""
    bucket: str = ""


class _Artifact(msgspec.Struct, frozen=True):
    name: str
    s3: _S3 | None = None


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    value: Any = None


class _Values(msgspec.Struct, frozen=True, rename="camel"):
    """A node's `inputs` or `outputs`."""

    parameters: tuple[_Parameter, ...] | None = None
    artifacts: tuple[_Artifact, ...] | None = None
    exit_code: str | None = None

    def keys(self) -> dict[str, str]:
        """By artifact, its key in the Workflow's repository.

        Argo looks at a bucket only where an endpoint stands beside it.
        """
        return {
            artifact.name: artifact.s3.key if artifact.s3 and not artifact.s3.endpoint else ""
            for artifact in self.artifacts or ()
        }


class _Flag(msgspec.Struct, frozen=True):
    hooked: bool = False


class _TemplateRef(msgspec.Struct, frozen=True):
    template: str = ""


class _Memoization(msgspec.Struct, frozen=True):
    hit: bool = False


class _Node(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    name: str
    type: str = ""
    phase: str = ""
    template_name: str = ""
    template_ref: _TemplateRef | None = None
    boundary: str = msgspec.field(default="", name="boundaryID")
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    node_flag: _Flag | None = None
    inputs: _Values | None = None
    outputs: _Values | None = None
    children: tuple[str, ...] | None = None
    host_node_name: str = ""
    memoization_status: _Memoization | None = None
    task_result_synced: bool | None = None

    @property
    def state(self) -> State:
        """Its phase; a pod that has ended is running until Argo has its outputs, as Argo itself sees it."""
        phase = self.phase.lower() or "pending"
        if self.type == "Pod" and self.task_result_synced is False and phase in _ENDED:
            phase = "running"
        state: State = msgspec.convert(phase, type=State)
        return state


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    creation_timestamp: datetime
    annotations: dict[str, str] | None = None


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    nodes: dict[str, _Node] | None = None
    compressed_nodes: str = ""
    offload_node_status_version: str = ""


class _Workflow(msgspec.Struct, frozen=True):
    metadata: _Metadata
    status: _Status | None = None


def read_status(workflow: Object) -> WorkflowStatus:
    """What the Workflow says of itself and its tasks.

    Raises ClusterError for a status that the controller keeps in a database of its own, and for one that cannot be read.
    """
    try:
        read = msgspec.convert(workflow, type=_Workflow, strict=False)
        metadata, status = read.metadata, read.status or _Status()
        nodes = _nodes(metadata.name, status)
        root = nodes.get(metadata.name)
        state = root.state if root else status.phase.lower()
        tasks = _tasks(metadata, nodes, root.id) if root else []
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ClusterError(
            f"the status of the Workflow {_name(workflow)} cannot be read: {error}",
            hint="does the cluster run a version of Argo Workflows that this tooling does not know?",
        ) from None
    return WorkflowStatus(
        name=metadata.name,
        created=metadata.creation_timestamp,
        phase=status.phase,
        message=status.message,
        started=status.started_at,
        finished=status.finished_at,
        settled=state in _ENDED,
        tasks={task.name: task for task in tasks},
    )


def _nodes(workflow: str, status: _Status) -> dict[str, _Node]:
    if status.nodes:
        return status.nodes
    if status.compressed_nodes:
        return msgspec.json.decode(_unpacked(workflow, status), type=dict[str, _Node], strict=False)
    if status.offload_node_status_version:
        raise ClusterError(
            f"the status of the Workflow {workflow} is not in the cluster's API: its controller keeps it in a database",
            hint="switch nodeStatusOffLoad off in the controller's configuration; then its status is compressed",
        )
    return {}


def _unpacked(workflow: str, status: _Status) -> bytes:
    try:
        return gzip.decompress(base64.b64decode(status.compressed_nodes, validate=True))
    except (binascii.Error, OSError, EOFError, zlib.error):
        raise ClusterError(
            f"the compressed status of the Workflow {workflow} cannot be read: it is no gzip",
            hint="the controller's environment may name another algorithm; gzip is Argo's own choice",
        ) from None


def _tasks(metadata: _Metadata, nodes: Mapping[str, _Node], root: str) -> Iterable[Task]:
    """The tasks of the DAG with that id, in the order in which they began."""
    inside = [node for node in nodes.values() if node.boundary == root and not _hooked(node)]
    retries = [node for node in inside if node.type == "Retry"]
    attempts = {child for node in retries for child in node.children or ()}
    tasks = [node for node in inside if node.id not in attempts]
    for node in sorted(tasks, key=lambda node: (str(node.started_at or "~"), node.name)):
        yield Task(
            name=node.name.removeprefix(f"{root}."),
            state=node.state,
            message=node.message,
            started=node.started_at,
            finished=node.finished_at,
            attempts=tuple(_attempts(metadata, node, nodes)),
        )


def _attempts(metadata: _Metadata, task: _Node, nodes: Mapping[str, _Node]) -> Iterable[Attempt]:
    if task.type == "Pod":
        yield _attempt(metadata, task, 0)
    if task.type != "Retry":
        return
    children = [nodes[child] for child in task.children or () if child in nodes]
    numbered = [
        (int(found[1]), child)
        for child in children
        if child.type == "Pod" and (found := _ATTEMPT.search(child.name)) and not _hooked(child)
    ]
    for number, child in sorted(numbered, key=lambda pair: pair[0]):
        yield _attempt(metadata, child, number)


def _attempt(metadata: _Metadata, node: _Node, number: int) -> Attempt:
    inputs, outputs = node.inputs or _Values(), node.outputs or _Values()
    exit_code = outputs.exit_code or ""
    return Attempt(
        number=number,
        node=node.id,
        pod=_pod(metadata, node),
        template=_template(node),
        state=node.state,
        message=node.message,
        started=node.started_at,
        finished=node.finished_at,
        host=node.host_node_name,
        exit_code=int(exit_code) if exit_code.removeprefix("-").isdecimal() else None,
        output=outputs.keys().get(OUTPUT, ""),
        parameters={one.name: _text(one.value) for one in inputs.parameters or ()},
        artifacts=inputs.keys(),
        memoized=bool(node.memoization_status and node.memoization_status.hit),
    )


def _pod(metadata: _Metadata, node: _Node) -> str:
    """The pod's name: `<Workflow>-<template>-<number>`, the number being that of the node's id."""
    if (metadata.annotations or {}).get(_POD_NAMES) == "v1" or node.id == metadata.name:
        return node.id
    stem = "-".join(part for part in (metadata.name, _template(node)) if part)
    return f"{stem[:_LONGEST_POD_STEM]}-{node.id.rpartition('-')[2]}"


def _template(node: _Node) -> str:
    return node.template_ref.template if node.template_ref else node.template_name


def _hooked(node: _Node) -> bool:
    return bool(node.node_flag and node.node_flag.hooked)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _name(workflow: Object) -> str:
    metadata = workflow.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
