"""Outcomes of a Workflow's tasks, from the Workflow as the cluster's API returns it. Pure.

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
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from daintree.argo import names
from daintree.argo.cluster import Object
from daintree.errors import ClusterError

KIND = "Workflow"
_POD_NAMES = "workflows.argoproj.io/pod-name-format"
# Argo cuts what stands before a pod's number.
_LONGEST_POD_STEM = 242


class ObjectKey(msgspec.Struct, frozen=True):
    """The key of an artifact in a bucket, or, without one, in the Workflow's own repository; no key: in no bucket."""

    key: str = ""
    bucket: str = ""


class _S3(msgspec.Struct, frozen=True):
    key: str = ""
    bucket: str = ""
    endpoint: str = ""

    def place(self, endpoints: Collection[str]) -> ObjectKey:
        """Argo looks at a bucket only where an endpoint stands beside it; one that is none of `endpoints` is the repository's.

        A slash at the end of a key does not matter to Argo.
        """
        return ObjectKey(self.key.rstrip("/"), self.bucket if self.endpoint in endpoints else "")


class _Artifact(msgspec.Struct, frozen=True):
    name: str
    s3: _S3 | None = None


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    value: Any = None


class Values(msgspec.Struct, frozen=True, rename="camel"):
    """A node's `inputs` or `outputs`."""

    parameters: tuple[_Parameter, ...] | None = None
    artifacts: tuple[_Artifact, ...] | None = None
    exit_code: str | None = None

    @property
    def texts(self) -> dict[str, str]:
        """The parameters' values; "" for one without."""
        match = {one.name: one.value for one in self.parameters or ()}
        return {name: "" if value is None else str(value) for name, value in match.items()}

    def places(self, endpoints: Collection[str]) -> dict[str, ObjectKey]:
        """Location of the artifacts; `endpoints` are those that the manifest names."""
        return {
            one.name: one.s3.place(endpoints) if one.s3 else ObjectKey()
            for one in self.artifacts or ()
        }


class TemplateRef(msgspec.Struct, frozen=True):
    """The WorkflowTemplate that a node's template comes from."""

    name: str = ""
    template: str = ""


class Node(msgspec.Struct, frozen=True, rename="camel"):
    """One node of a status. `boundary` is the id of the DAG that it belongs to."""

    id: str
    name: str
    type: str = ""
    phase: Literal[
        "", "Pending", "Running", "Succeeded", "Failed", "Error", "Omitted", "Skipped"
    ] = ""
    template_name: str = ""
    template_ref: TemplateRef | None = None
    boundary: str = msgspec.field(default="", name="boundaryID")
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    node_flag: dict[str, bool] | None = None
    inputs: Values | None = None
    outputs: Values | None = None
    children: tuple[str, ...] | None = None
    host_node_name: str = ""
    memoization_status: dict[str, Any] | None = None
    task_result_synced: bool | None = None

    @property
    def hooked(self) -> bool:
        """True of a node that a hook or the exit handler made."""
        return bool((self.node_flag or {}).get("hooked"))

    @property
    def memoized(self) -> bool:
        """True of a node whose outputs are another's."""
        return bool((self.memoization_status or {}).get("hit"))


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """A Workflow's metadata."""

    name: str
    creation_timestamp: datetime
    uid: str = ""
    annotations: dict[str, str] | None = None


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """A Workflow's status; its nodes stand in one of three places."""

    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    nodes: dict[str, Node] | None = None
    compressed_nodes: str = ""
    offload_node_status_version: str = ""


class _Workflow(msgspec.Struct, frozen=True):
    metadata: Metadata
    status: Status | None = None


class WorkflowNodes(msgspec.Struct, frozen=True, kw_only=True):
    """A Workflow's nodes by id, with what all of them share; `root` stands for its tasks as a whole.

    `endpoints` are those of S3 servers that its specification names: a controller may write its repository's own beside each
    artifact, which nobody has chosen for this artifact.
    """

    metadata: Metadata
    status: Status
    by_id: Mapping[str, Node]
    endpoints: frozenset[str]
    stopped: bool

    @property
    def root(self) -> Node | None:
        """The entrypoint's node; None before Argo has seen the Workflow."""
        return self.by_id.get(self.metadata.name)

    def pod(self, node: Node) -> str:
        """The name of a node's pod: `<Workflow>-<template>-<number>`, the number being that of the node's id."""
        name = self.metadata.name
        if (self.metadata.annotations or {}).get(_POD_NAMES) == "v1" or node.id == name:
            return node.id
        template = node.template_ref.template if node.template_ref else node.template_name
        stem = "-".join(part for part in (name, template) if part)
        return f"{stem[:_LONGEST_POD_STEM]}-{node.id.rpartition('-')[2]}"

    def inputs(self, node: Node) -> Mapping[str, ObjectKey]:
        return node.inputs.places(self.endpoints) if node.inputs else {}

    def outputs(self, node: Node) -> Mapping[str, ObjectKey]:
        return node.outputs.places(self.endpoints) if node.outputs else {}

    def parameters(self, node: Node) -> Mapping[str, str]:
        return node.inputs.texts if node.inputs else {}


def read_nodes(workflow: Object) -> WorkflowNodes:
    """The nodes of a Workflow.

    Raises ClusterError for nodes that the controller keeps in a database of its own, and for what cannot be read.
    """
    try:
        read = msgspec.convert(workflow, type=_Workflow, strict=False)
        status = read.status or Status()
        return WorkflowNodes(
            metadata=read.metadata,
            status=status,
            by_id=_nodes(read.metadata.name, status),
            endpoints=frozenset(_endpoints(_specifications(workflow))),
            stopped=is_stopped(workflow),
        )
    except msgspec.DecodeError as error:
        raise ClusterError(
            f"the status of the Workflow {_name(workflow)} cannot be read: {error}",
            hint="does the cluster run a version of Argo Workflows that this tooling does not know?",
        ) from None


def _specifications(workflow: Object) -> list[Any]:
    """The submitted Workflow, and what Argo has made of it and of the WorkflowTemplate that it refers to."""
    status = workflow.get("status") or {}
    return [workflow.get("spec"), status.get("storedWorkflowTemplateSpec")]


def _endpoints(part: Any) -> Iterator[str]:
    """Every endpoint that stands in a part of a specification."""
    if isinstance(part, Mapping):
        if isinstance(endpoint := part.get("endpoint"), str) and endpoint:
            yield endpoint
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _endpoints(one)


def _nodes(workflow: str, status: Status) -> dict[str, Node]:
    if status.nodes:
        return status.nodes
    if status.compressed_nodes:
        return msgspec.json.decode(_unpacked(workflow, status), type=dict[str, Node], strict=False)
    if status.offload_node_status_version:
        raise ClusterError(
            f"the status of the Workflow {workflow} is not in the cluster's API: its controller keeps it in a database",
            hint="switch nodeStatusOffLoad off in the controller's configuration; then its status is compressed",
        )
    return {}


def _unpacked(workflow: str, status: Status) -> bytes:
    try:
        return gzip.decompress(base64.b64decode(status.compressed_nodes, validate=True))
    except (binascii.Error, OSError, EOFError, zlib.error):
        raise ClusterError(
            f"the compressed status of the Workflow {workflow} cannot be read: it is no gzip",
            hint="the controller's environment may name another algorithm; gzip is Argo's own choice",
        ) from None


def _name(workflow: Object) -> str:
    metadata = workflow.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""


State: TypeAlias = Literal[
    "pending", "running", "succeeded", "failed", "error", "cancelled", "omitted", "skipped"
]

_STATES: Mapping[str, State] = {
    "": "pending",
    "Pending": "pending",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Error": "error",
    "Omitted": "omitted",
    "Skipped": "skipped",
}
FAILED = ("failed", "error")
_ENDED = frozenset(_STATES.values()) - {"pending", "running"}
# Argo's messages of a pod that it ended, and the exit codes of a container that was told to end.
_SHUTDOWN = re.compile(r"shutdown|[Ss]topped with strategy|[Tt]erminated")
_ENDED_CODES = ("143", "137")
_ATTEMPT = re.compile(r"\(([0-9]+)\)\Z")
_EXIT_CODE = re.compile(r"-?[0-9]+")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One pod of a task.

    `output` is where its output artifact `output` lies, if it has put one out; `artifacts` are its inputs, by name. `exit_code` is
    None where Argo tells none; `memoized` says that no pod ran and the outputs are another's. `node` is the node's id, `host`
    the cluster's node ("" before it is known).
    """

    node: str
    pod: str
    template: str
    state: State
    message: str
    started: datetime | None
    finished: datetime | None
    host: str
    exit_code: int | None
    output: ObjectKey
    parameters: Mapping[str, str]
    artifacts: Mapping[str, ObjectKey]
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
    uid: str
    created: datetime
    phase: str
    message: str
    started: datetime | None
    finished: datetime | None
    settled: bool
    tasks: Mapping[str, Task]


def read_status(workflow: Object) -> WorkflowStatus:
    """State of the Workflow and its tasks.

    Raises ClusterError for a status that the controller keeps in a database of its own, and for one that cannot be read.
    """
    nodes = read_nodes(workflow)
    root, status = nodes.root, nodes.status
    phases = [status.phase, *([root.phase] if root else [])]
    return WorkflowStatus(
        name=nodes.metadata.name,
        uid=nodes.metadata.uid,
        created=nodes.metadata.creation_timestamp,
        phase=status.phase,
        message=status.message,
        started=status.started_at,
        finished=status.finished_at,
        settled=any(_STATES.get(phase) in _ENDED for phase in phases),
        tasks={task.name: task for task in _tasks(nodes, root.id)} if root else {},
    )


def _tasks(nodes: WorkflowNodes, root: str) -> Iterator[Task]:
    """The tasks of the DAG with that id, in the order in which they began."""
    inside = [node for node in nodes.by_id.values() if node.boundary == root and not node.hooked]
    retries = [node for node in inside if node.type == "Retry"]
    attempts = {child for node in retries for child in node.children or ()}
    tasks = [node for node in inside if node.id not in attempts]
    for node in sorted(tasks, key=lambda node: (str(node.started_at or "~"), node.name)):
        yield Task(
            name=node.name.removeprefix(f"{root}."),
            state=_state(node, nodes.stopped),
            message=node.message,
            started=node.started_at,
            finished=node.finished_at,
            attempts=tuple(_attempts(nodes, node)),
        )


def _attempts(nodes: WorkflowNodes, task: Node) -> Iterator[Attempt]:
    if task.type == "Pod":
        yield _attempt(nodes, task)
    if task.type == "Retry":
        children = [nodes.by_id[child] for child in task.children or () if child in nodes.by_id]
        numbers = {
            int(match[1]): child
            for child in children
            if child.type == "Pod" and not child.hooked and (match := _ATTEMPT.search(child.name))
        }
        for number in sorted(numbers):
            yield _attempt(nodes, numbers[number])


def _attempt(nodes: WorkflowNodes, node: Node) -> Attempt:
    code = (node.outputs and node.outputs.exit_code) or ""
    reference = node.template_ref
    return Attempt(
        node=node.id,
        pod=nodes.pod(node),
        template=f"{reference.name}/{reference.template}" if reference else node.template_name,
        state=_state(node, nodes.stopped),
        message=node.message,
        started=node.started_at,
        finished=node.finished_at,
        host=node.host_node_name,
        exit_code=int(code) if _EXIT_CODE.fullmatch(code) else None,
        output=nodes.outputs(node).get(names.OUTPUT_ARTIFACT, ObjectKey()),
        parameters=nodes.parameters(node),
        artifacts=nodes.inputs(node),
        memoized=node.memoized,
    )


def _state(node: Node, stopped: bool) -> State:
    """The node's phase; a pod that has ended is running until Argo has its outputs, as Argo itself sees it."""
    state = _STATES[node.phase]
    if node.type == "Pod" and node.task_result_synced is False and state in _ENDED:
        return "running"
    code = node.outputs.exit_code if node.outputs else ""
    ended = code in _ENDED_CODES or _SHUTDOWN.search(node.message)
    return "cancelled" if stopped and state in FAILED and ended else state


# Argo's phases of a Workflow that has ended, its exit handler included.
SUCCEEDED = "Succeeded"
FAILURES = frozenset({"Failed", "Error"})
ENDED = FAILURES | {SUCCEEDED}


def phase(workflow: Object) -> str:
    """Its phase, in Argo's words; "" before Argo has seen it."""
    status = workflow.get("status") or {}
    return str(status.get("phase") or "")


def has_ended(workflow: Object) -> bool:
    """True when nothing of it runs any more, its exit handler included."""
    return phase(workflow) in ENDED


def is_stopped(workflow: Object) -> bool:
    """True when somebody has stopped or terminated it, whether or not it has ended."""
    spec = workflow.get("spec") or {}
    return bool(spec.get("shutdown"))


def stages_of(workflow: Object) -> dict[str, str]:
    """The stages that it computes, in their order, by the names of their tasks."""
    spec = workflow.get("spec") or {}
    tasks = [
        task
        for template in spec.get("templates") or ()
        if template.get("name") == spec.get("entrypoint")
        for task in (template.get("dag") or {}).get("tasks") or ()
    ]
    return {task["name"]: _parameter(task, names.STAGE_PARAMETER) or task["name"] for task in tasks}


def annotation(workflow: Object, name: str) -> str:
    """An annotation of a Workflow; "" for none."""
    return str((workflow["metadata"].get("annotations") or {}).get(name, ""))


def _parameter(task: Object, name: str) -> str:
    parameters = (task.get("arguments") or {}).get("parameters") or ()
    return next((str(p.get("value", "")) for p in parameters if p.get("name") == name), "")
