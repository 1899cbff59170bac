"""What became of a Workflow's tasks, from the Workflow as the cluster's API returns it. Pure.

Argo keeps a flat map of nodes. The entrypoint's DAG has the Workflow's own name; a task's node is named after both. Where its
template has a `retryStrategy`, that node is of type Retry and has a child of type Pod for each attempt, `task(0)`, `task(1)` …; else
it is the Pod itself. A task that never began has a node of type Skipped, or none.

What Argo puts into `{{workflow.failures}}` are some fields of these nodes, the DAG's among them: nothing is read from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from daintree.argo.container import OUTPUT_ARTIFACT
from daintree.argo.nodes import Metadata, Node, Place, Values, read_nodes
from daintree.cluster.protocol import Object

State: TypeAlias = Literal[
    "pending", "running", "succeeded", "failed", "error", "omitted", "skipped"
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
_ENDED = frozenset(_STATES.values()) - {"pending", "running"}
_ATTEMPT = re.compile(r"\(([0-9]+)\)\Z")
_EXIT_CODE = re.compile(r"-?[0-9]+")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One pod of a task; `number` counts from 0, as `{{retries}}` does.

    `output` is where its output artifact `output` lies, if it has put one out; `artifacts` are its inputs, by name. `exit_code` is
    None where Argo tells none; `memoized` says that no pod ran and the outputs are another's. `node` is the node's id, `host`
    the cluster's node ("" before it is known).
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
    output: Place
    parameters: Mapping[str, str]
    artifacts: Mapping[str, Place]
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


def read_status(workflow: Object) -> WorkflowStatus:
    """What the Workflow says of itself and its tasks.

    Raises ClusterError for a status that the controller keeps in a database of its own, and for one that cannot be read.
    """
    metadata, status, nodes = read_nodes(workflow)
    root = nodes.get(metadata.name)
    phases = [status.phase, *([root.phase] if root else [])]
    return WorkflowStatus(
        name=metadata.name,
        created=metadata.creation_timestamp,
        phase=status.phase,
        message=status.message,
        started=status.started_at,
        finished=status.finished_at,
        settled=any(_STATES.get(phase) in _ENDED for phase in phases),
        tasks={task.name: task for task in _tasks(metadata, nodes, root.id)} if root else {},
    )


def _tasks(metadata: Metadata, nodes: Mapping[str, Node], root: str) -> Iterator[Task]:
    """The tasks of the DAG with that id, in the order in which they began."""
    inside = [node for node in nodes.values() if node.boundary == root and not node.hooked]
    retries = [node for node in inside if node.type == "Retry"]
    attempts = {child for node in retries for child in node.children or ()}
    tasks = [node for node in inside if node.id not in attempts]
    for node in sorted(tasks, key=lambda node: (str(node.started_at or "~"), node.name)):
        yield Task(
            name=node.name.removeprefix(f"{root}."),
            state=_state(node),
            message=node.message,
            started=node.started_at,
            finished=node.finished_at,
            attempts=tuple(_attempts(metadata, node, nodes)),
        )


def _attempts(metadata: Metadata, task: Node, nodes: Mapping[str, Node]) -> Iterator[Attempt]:
    if task.type == "Pod":
        yield _attempt(metadata, task, 0)
    if task.type == "Retry":
        children = [nodes[child] for child in task.children or () if child in nodes]
        numbered = [
            (int(found[1]), child)
            for child in children
            if child.type == "Pod" and not child.hooked and (found := _ATTEMPT.search(child.name))
        ]
        for number, child in sorted(numbered, key=lambda pair: pair[0]):
            yield _attempt(metadata, child, number)


def _attempt(metadata: Metadata, node: Node, number: int) -> Attempt:
    inputs, outputs = node.inputs or Values(), node.outputs or Values()
    code = outputs.exit_code or ""
    return Attempt(
        number=number,
        node=node.id,
        pod=metadata.pod(node),
        template=node.template,
        state=_state(node),
        message=node.message,
        started=node.started_at,
        finished=node.finished_at,
        host=node.host_node_name,
        exit_code=int(code) if _EXIT_CODE.fullmatch(code) else None,
        output=outputs.places(metadata.endpoints).get(OUTPUT_ARTIFACT, Place()),
        parameters=inputs.texts,
        artifacts=inputs.places(metadata.endpoints),
        memoized=node.memoized,
    )


def _state(node: Node) -> State:
    """The node's phase; a pod that has ended is running until Argo has its outputs, as Argo itself sees it."""
    state = _STATES[node.phase]
    unknown = node.type == "Pod" and node.task_result_synced is False
    return "running" if unknown and state in _ENDED else state
