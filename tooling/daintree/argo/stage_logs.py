"""What the pods of a Workflow's stages say: all at once, or as they say it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import msgspec

from daintree.argo import names
from daintree.argo.cluster import Cluster, Object
from daintree.argo.workflow_status import read_nodes, read_status
from daintree.argo.workflows import KIND, has_ended, stages_of
from daintree.errors import ClusterMissing, DaintreeError, UsageError
from daintree.terminal import nearest

# Argo's own name for the container that does a pod's work.
CONTAINER = "main"
_WAITING = "pending"


class StagePod(msgspec.Struct, frozen=True):
    """A pod of a stage, the stage's latest if there were several attempts; `record` is the exit handler's stage."""

    stage: str
    pod: str
    begun: bool


def stage_pods(workflow: Object) -> list[StagePod]:
    """The latest pod of each stage that has one, in the order in which they began, the exit handler's last."""
    stages, status = stages_of(workflow), read_status(workflow)
    pods = [
        StagePod(stages.get(task.name, task.name), last.pod, last.state != _WAITING)
        for task in status.tasks.values()
        for last in task.attempts[-1:]
        if not last.memoized
    ]
    return [*pods, *_record_pods(workflow)]


def check_stage(workflow: Object, stage: str) -> None:
    """Raise UsageError for a stage that the Workflow does not compute."""
    known = [*stages_of(workflow).values(), names.RECORD]
    if stage not in known:
        raise UsageError(
            f"the Workflow {workflow['metadata']['name']} computes no stage {stage!r}",
            hint=nearest(stage, known),
        )


def read_logs(
    cluster: Cluster, namespace: str, workflow: Object, stage: str, show: Callable[[str, str], None]
) -> None:
    """Give `show` each line that the stage has said, all stages for "", by stage and line.

    Raises ClusterMissing where no pod has begun, or none is there any more; ClusterError as asking does.
    """
    chosen = _chosen(workflow, stage)
    if not chosen:
        begun = f"{stage} has not begun" if stage else "no stage has begun"
        raise ClusterMissing(
            f"{begun} in the Workflow {workflow['metadata']['name']}",
            hint="--follow waits for it",
        )
    gone = 0
    for pod in chosen:
        try:
            for line in cluster.log(namespace, pod.pod, CONTAINER, follow=False):
                show(pod.stage, line)
        except ClusterMissing:
            gone += 1
    if gone == len(chosen):
        raise ClusterMissing(
            f"the pods of the Workflow {workflow['metadata']['name']} are gone, and what they said with them",
            hint="those of one that succeeded are removed at its end: doit show PIPELINE:STAGE has what was recorded",
        )


def follow_logs(
    cluster: Cluster, namespace: str, name: str, stage: str, show: Callable[[str, str], None]
) -> None:
    """Give `show` what the stage says as it says it, all stages for "", until the Workflow has ended or the stage's pod has.

    `show` is called from several threads. Raises ClusterError as asking does.
    """
    followers: dict[str, threading.Thread] = {}
    failures: list[DaintreeError] = []

    def follow(pod: StagePod) -> None:
        try:
            for line in cluster.log(namespace, pod.pod, CONTAINER, follow=True):
                show(pod.stage, line)
        except DaintreeError as error:
            failures.append(error)

    for workflow in cluster.watch(KIND, namespace, name):
        for pod in _chosen(workflow, stage):
            if pod.pod not in followers:
                followers[pod.pod] = threading.Thread(target=follow, args=[pod], daemon=True)
                followers[pod.pod].start()
        if has_ended(workflow) or _is_done(workflow, stage):
            break
    for follower in followers.values():
        follower.join()
    if failures:
        raise failures[0]


def _chosen(workflow: Object, stage: str) -> list[StagePod]:
    return [pod for pod in stage_pods(workflow) if pod.begun and stage in ("", pod.stage)]


def _is_done(workflow: Object, stage: str) -> bool:
    """Whether the one stage that is followed says no more."""
    tasks = {name: task for task, name in stages_of(workflow).items()}
    task = read_status(workflow).tasks.get(tasks.get(stage, ""))
    return task is not None and task.state not in (_WAITING, "running")


def _record_pods(workflow: Object) -> Iterator[StagePod]:
    nodes = read_nodes(workflow)
    handler = f"{nodes.metadata.name}.onExit"
    pods = [
        node
        for node in nodes.by_id.values()
        if node.type == "Pod" and node.name.partition("(")[0] == handler
    ]
    for node in sorted(pods, key=lambda node: (str(node.started_at or "~"), node.name))[-1:]:
        yield StagePod(names.RECORD, nodes.pod(node), node.phase not in ("", "Pending"))
