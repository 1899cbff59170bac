"""The Workflows in a cluster: submitting one for each plan, finding, following, stopping it, and reading its logs."""

from __future__ import annotations

import os
import re
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeAlias

import msgspec

from daintree.argo import names
from daintree.argo.cluster import Cluster, Object
from daintree.argo.submission import Submission
from daintree.argo.workflow_status import (
    FAILED,
    FAILURES,
    KIND,
    SUCCEEDED,
    Node,
    Task,
    WorkflowNodes,
    annotation,
    has_ended,
    is_stopped,
    phase,
    read_nodes,
    read_status,
    stages_of,
)
from daintree.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterMissing,
    DaintreeError,
    StageFailed,
    UsageError,
    nearest,
)
from daintree.runners.child_process import Lines

# So long a Workflow may be without a phase before that is said: a controller takes it at once.
UNTAKEN_SECONDS = 10.0
# How often a name may be taken and be free again before that is believed to be no coincidence.
MOST_CONFLICTS = 5


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The Workflow that computes a submission. `attached`: it was there; `phase` is then its own, in Argo's words, else ""."""

    name: str
    attached: bool
    attempt: int
    phase: str = ""


def submit(
    cluster: Cluster,
    submission: Submission,
    make_manifest: Callable[[int], Object],
    prepare: Callable[[], None],
) -> Submitted:
    """The submission's Workflow: the one that runs or has succeeded, else a new one.

    One that failed or was stopped is followed by another attempt, under a name of its own. `make_manifest` gives an attempt's
    manifest; `prepare` puts into the store what pods read, and is called before a Workflow is made, not where one is there.
    Raises ClusterError as the cluster does, ClusterConflict for a Workflow of that name that computes something else,
    ClusterMissing for variables that their Secret is seen to lack.
    """
    attempt, conflicts = 1, 0
    while True:
        existing = cluster.find(KIND, submission.workflow(attempt))
        # It will compute no more than it has, and lacks something.
        if existing is not None and (phase(existing) in FAILURES or is_stopped(existing)):
            attempt += 1
            continue
        if existing is not None:
            name = _name(cluster, existing, submission)
            return Submitted(name=name, attached=True, attempt=attempt, phase=phase(existing))
        _check_variables(cluster, submission)
        prepare()
        try:
            made = cluster.create(KIND, make_manifest(attempt))
        except ClusterConflict:
            # Somebody else has submitted the same plan in between.
            conflicts += 1
            if conflicts == MOST_CONFLICTS:
                raise
            continue
        return Submitted(name=made["metadata"]["name"], attached=False, attempt=attempt)


def _check_variables(cluster: Cluster, submission: Submission) -> None:
    """Check that the Secret has what stages need, where this account may read it: a pod would wait for that without end."""
    variables = {name for stage in submission.stages for name in stage.env}
    if not variables:
        return
    try:
        secret = cluster.find("Secret", submission.secret)
    except ClusterForbidden:
        return
    present = {key for key, value in ((secret or {}).get("data") or {}).items() if value}
    missing = ", ".join(sorted(variables - present))
    if missing:
        place = f"the Secret {submission.secret} of the namespace {cluster.namespace}"
        lack = f"{place} has no value for" if secret else f"{place} is not there; it has to hold"
        raise ClusterMissing(
            f"{lack} {missing}, which stages get", hint="whoever runs the cluster can put it there"
        )


def follow(
    cluster: Cluster,
    name: str,
    seen: Callable[[Object], None],
    untaken: Callable[[], None],
    seconds: float = UNTAKEN_SECONDS,
) -> Object:
    """The Workflow at its end, its exit handler's included; `seen` gets it each time that it has changed.

    `untaken` is called where no controller has taken the Workflow after so many seconds. Raises ClusterMissing when it is deleted
    meanwhile, ClusterError as watching does.
    """
    timer = threading.Timer(seconds, untaken)
    timer.daemon = True
    timer.start()
    try:
        for workflow in cluster.watch(KIND, name):
            if phase(workflow):
                timer.cancel()
            seen(workflow)
            if has_ended(workflow):
                return workflow
    finally:
        timer.cancel()
    raise ClusterMissing(
        f"the Workflow {name} in the namespace {cluster.namespace} is gone: somebody has deleted it, or its time was over",
        hint="doit plan shows what of it was recorded",
    )


def _name(cluster: Cluster, workflow: Object, submission: Submission) -> str:
    name = str(workflow["metadata"]["name"])
    if annotation(workflow, names.SUBMISSION) != submission.digest:
        raise ClusterConflict(
            f"the Workflow {name} in the namespace {cluster.namespace} does not say that it computes this plan",
            hint="who made it by hand? Give it another name, or delete it",
        )
    return name


def find_workflow(cluster: Cluster, name: str, *, pipeline: bool) -> Object:
    """The Workflow of this name, or the newest of the `pipeline` of this name.

    Raises ClusterMissing where there is none, ClusterError as asking does.
    """
    if not pipeline:
        existing = cluster.find(KIND, name)
        if existing is None:
            raise ClusterMissing(
                f"there is no Workflow {name} in the namespace {cluster.namespace} of {cluster.address}",
                hint="a Workflow is kept for some days; --namespace looks in another namespace",
            )
        return existing
    workflows = workflows_of(cluster, name)
    if not workflows:
        raise ClusterMissing(
            f"there is no Workflow of {name} in the namespace {cluster.namespace} of {cluster.address}",
            hint=f"doit submit {name} makes one; --namespace looks in another namespace",
        )
    return workflows[-1]


def workflows_of(cluster: Cluster, pipeline: str) -> list[Object]:
    """The Workflows that compute a pipeline, oldest first; those that only submit one are not among them."""
    label = f"{names.PIPELINE}={names.label_value(pipeline)}"
    existing = [
        workflow
        for workflow in cluster.list(KIND, labels=label)
        if annotation(workflow, names.PIPELINE) == pipeline
        and annotation(workflow, names.SUBMISSION)
    ]
    return sorted(existing, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))


def stop(cluster: Cluster, workflow: Object) -> None:
    """End a Workflow as Argo's *stop* does: its pods end, and its exit handler records what has succeeded.

    Raises UsageError for one that has ended.
    """
    name = workflow["metadata"]["name"]
    if has_ended(workflow):
        raise UsageError(
            f"the Workflow {name} has ended already: {phase(workflow)}",
            hint="only one that runs can be stopped",
        )
    if not is_stopped(workflow):
        cluster.merge(KIND, name, {"spec": {"shutdown": "Stop"}})


# Argo's own name for the container that does a pod's work.
CONTAINER = "main"
# A line that Argo's executor writes between the container's own.
_EXECUTOR_LINE = re.compile(
    r"time=\S+ level=\S+ msg=.* argo=true(?: .*)?\s*"
    r'|\{"time":"[^"]+","level":"[^"]+","msg":.*,"argo":true[,}].*\s*'
)


# When a container began and ended.
Times: TypeAlias = tuple[datetime, datetime]


def container_times(cluster: Cluster, pod: str) -> Times | None:
    """When a pod's container began and ended; None where that is not known, the pod is gone, or this account may not read it."""
    try:
        status = (cluster.find("Pod", pod) or {}).get("status") or {}
    except ClusterError:
        return None
    for one in status.get("containerStatuses") or ():
        ended = (one.get("state") or {}).get("terminated") or {}
        # Of a container that was lost with its node, the cluster knows no times.
        began, finished = ended.get("startedAt"), ended.get("finishedAt")
        if one.get("name") == CONTAINER and began and finished:
            return datetime.fromisoformat(began), datetime.fromisoformat(finished)
    return None


def stage_log(
    cluster: Cluster, pod: str, *, follow: bool, secrets: Iterable[str] = ()
) -> Iterator[str]:
    """The lines of a stage's container, without `secrets` and those of Argo's executor. Raises ClusterError as asking does."""
    lines = Lines(secrets=secrets)
    for line in cluster.log(pod, CONTAINER, follow=follow):
        if not _EXECUTOR_LINE.fullmatch(line):
            yield from lines.feed(f"{line}\n".encode())
    yield from lines.finish()


def secret_values(cluster: Cluster, workflow: Object) -> list[str] | None:
    """The values that a Workflow's stages get from Secrets, for its logs to be without them; None where this account cannot have them.

    The pod that records has them as variables.
    """
    variables = (
        variable.get("valueFrom", {}).get("secretKeyRef")
        for template in workflow["spec"].get("templates", ())
        for variable in template.get("container", {}).get("env", ())
    )
    references = {(one["name"], one["key"]) for one in variables if one}
    values = []
    try:
        for name, key in references:
            if name == names.STORE_SECRET:
                continue
            value = os.environ.get(f"{names.MASKED}{key}")
            if value is None:
                content = (cluster.find("Secret", name) or {}).get("data") or {}
                value = b64decode(content.get(key) or "").decode("utf-8", "surrogateescape")
            values.append(value)
    except ClusterForbidden:
        return None
    return values


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
    cluster: Cluster, workflow: Object, stage: str, show: Callable[[str, str], None]
) -> None:
    """Give `show` each line that the stage has said, all stages for "", by stage and line.

    Raises ClusterMissing where no pod has begun, or none is there any more; ClusterError as asking does.
    """
    chosen = _chosen(workflow, stage)
    if not chosen:
        begun = f"{stage} has not begun" if stage else "no stage has begun"
        raise ClusterMissing(
            f"{begun} in the Workflow {workflow['metadata']['name']}", hint="--follow waits for it"
        )
    gone, secrets = 0, secret_values(cluster, workflow) or ()
    for pod in chosen:
        try:
            for line in stage_log(cluster, pod.pod, follow=False, secrets=secrets):
                show(pod.stage, line)
        except ClusterMissing:
            gone += 1
    if gone == len(chosen):
        raise ClusterMissing(
            f"the pods of the Workflow {workflow['metadata']['name']} are gone, and what they said with them",
            hint="those of one that succeeded are removed at its end: doit show PIPELINE:STAGE has what was recorded",
        )


def follow_logs(cluster: Cluster, name: str, stage: str, show: Callable[[str, str], None]) -> None:
    """Give `show` what the stage says as it says it, all stages for "", until the Workflow has ended or the stage's pod has.

    `show` is called from several threads. Raises ClusterError as asking does.
    """
    followers: dict[str, threading.Thread] = {}
    failures: list[DaintreeError] = []

    def follow(pod: StagePod, secrets: Iterable[str]) -> None:
        try:
            for line in stage_log(cluster, pod.pod, follow=True, secrets=secrets):
                show(pod.stage, line)
        except DaintreeError as error:
            failures.append(error)

    for workflow in cluster.watch(KIND, name):
        for pod in _chosen(workflow, stage):
            if pod.pod not in followers:
                secrets = secret_values(cluster, workflow) or ()
                followers[pod.pod] = threading.Thread(
                    target=follow, args=[pod, secrets], daemon=True
                )
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
    """True when the one stage that is followed says no more."""
    tasks = {name: task for task, name in stages_of(workflow).items()}
    task = read_status(workflow).tasks.get(tasks.get(stage, ""))
    return task is not None and task.state not in (_WAITING, "running")


def _record_pods(workflow: Object) -> Iterator[StagePod]:
    nodes = read_nodes(workflow)
    for node in _record_nodes(nodes):
        yield StagePod(names.RECORD, nodes.pod(node), node.phase not in ("", "Pending"))


def _record_nodes(nodes: WorkflowNodes) -> list[Node]:
    """The node of the exit handler's latest pod, if it has one."""
    handler = f"{nodes.metadata.name}.onExit"
    pods = [
        node
        for node in nodes.by_id.values()
        if node.type == "Pod" and node.name.partition("(")[0] == handler
    ]
    return sorted(pods, key=lambda node: (str(node.started_at or "~"), node.name))[-1:]


def check_outcome(workflow: Object) -> None:
    """Return for a Workflow that succeeded. Raises StageFailed for any other, with the stage that failed first and why."""
    status = read_status(workflow)
    if status.phase == SUCCEEDED:
        return
    if is_stopped(workflow):
        raise StageFailed(
            f"the Workflow {status.name} was stopped",
            hint="what had succeeded is recorded; doit submit goes on from there",
        )
    failed = [task for task in status.tasks.values() if task.state in FAILED]
    if not failed:
        # The Workflow's own message is then Argo's of its retries.
        messages = [node.message for node in _record_nodes(read_nodes(workflow))]
        reason_given = next(filter(None, (*messages, status.message)), "it gives no reason")
        raise StageFailed(
            f"the Workflow {status.name} ended with {status.phase}: {reason_given}",
            hint=f"doit logs {status.name}:{names.RECORD}; doit record {status.name} records its results by hand",
        )
    first = min(failed, key=lambda task: (task.finished is None, task.finished, task.name))
    stage = stages_of(workflow).get(first.name, first.name)
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    refused = first.state == "error" and not any(one.host for one in first.attempts)
    doctor = "no pod of it ran; `doit doctor --runner argo` looks at what the cluster lets start"
    raise StageFailed(
        f"{stage} failed in the Workflow {status.name}: {reason(first)}{more}",
        hint=doctor if refused else f"doit logs {status.name}:{stage}",
    )


def reason(task: Task) -> str:
    """Reason that a task failed: what its last attempt says, in Argo's words."""
    last = task.attempts[-1] if task.attempts else None
    message = (last.message if last else "") or task.message
    if last and last.exit_code and f"exit code {last.exit_code}" not in message:
        return f"exit code {last.exit_code}" + (f": {message}" if message else "")
    return message or task.state
