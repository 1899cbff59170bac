"""`doit submit`, `logs`, `cancel` and `record`: a pipeline's Workflow in the cluster, from its beginning to its end."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from daintree.argo.cluster import Object
from daintree.argo.names import RECORD
from daintree.argo.workflow_status import SUCCEEDED, Task, read_status, stages_of
from daintree.argo.workflows import Submitted, reason
from daintree.commands.argo import (
    access_of,
    planned_submission,
    submission_as_json,
    submission_summary,
)
from daintree.commands.command import (
    DaintreeCommand,
    exit_code_of,
    option,
    print_json,
    request_of,
    shared,
)
from daintree.errors import ClusterError, ClusterMissing, ClusterUnavailable, StoreUnavailable
from daintree.spec.pipeline import pipeline_files
from daintree.terminal import colour, count, duration, say, size

if TYPE_CHECKING:
    from daintree.argo.cluster import Cluster
    from daintree.argo.recording import StageReport
    from daintree.argo.submission import PlannedSubmission


class _ClusterCommand(DaintreeCommand):
    """Commands that ask the cluster."""

    def _cluster(self, namespace: str) -> Cluster:
        """The cluster at this namespace, "" for that of the settings."""
        from daintree.argo.cluster import open_cluster

        return open_cluster(namespace or self.settings.argo_namespace)

    def _workflow(self, cluster: Cluster, name: str) -> Object:
        """The Workflow of this name, or the newest of the pipeline of this name."""
        from daintree.argo.workflows import find_workflow

        pipeline = name in pipeline_files(self.root)
        return find_workflow(cluster, name, pipeline=pipeline)


class Submit(_ClusterCommand):
    """Makes the Workflow of what a pipeline misses in the cluster, or attaches to the one that is there."""

    doc_usage = "PIPELINE [--watch] [--source s3://…] [--set stage.parameter=value …]"
    doc_description = (
        "Plans as `doit argo` does, and hands the Workflow to the cluster of the kubeconfig's current context, or to the one "
        "that this is a pod of. The same plan submitted twice is one Workflow; after one that failed comes another attempt. "
        "With --watch, each change of a stage is a line, the exit code is the Workflow's (0 or 1), and Ctrl-C leaves it running."
    )
    cmd_options = (
        option("watch", "wait for the Workflow's end, and show its stages", type=bool),
        *shared("source", "set", "force"),
        option(
            "as_of",
            "SECONDS/ID: the moment, in seconds since 1970, that `refresh` counts from, and the id that stands for this plan; "
            "a schedule gives its Workflow's (default: now)",
        ),
        *shared("namespace", "json"),
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        cluster = self._cluster(options["namespace"])
        planned = planned_submission(self.settings, request_of(names[0], options))
        say(submission_summary(planned))
        submitted = None
        if planned.submission.stages:
            submitted = self._submit(cluster, planned)
            say(submitted_line(names[0], submitted, cluster.namespace))
        if options["json"]:
            description = submission_as_json(planned, cluster.namespace, "")
            del description["file"]
            print_json({**description, **submitted_as_json(submitted, cluster.namespace)})
            sys.stdout.flush()
        if submitted is None or not options["watch"]:
            return 0
        return _watch(cluster, submitted.name, options["namespace"])

    def _submit(self, cluster: Cluster, planned: PlannedSubmission) -> Submitted:
        from daintree.argo.manifest import workflow_manifest
        from daintree.argo.submission import upload
        from daintree.argo.workflows import submit

        access = access_of(self.settings, cluster.namespace)
        return submit(
            cluster,
            planned.submission,
            lambda attempt: workflow_manifest(planned.submission, access, attempt),
            lambda: upload(planned),
        )


class Logs(_ClusterCommand):
    """Prints what the pods of a Workflow say."""

    doc_usage = "PIPELINE[:STAGE] | WORKFLOW[:STAGE] [--follow]"
    doc_description = (
        "Of a pipeline's newest Workflow, or of the Workflow of that name. With a stage, its lines are printed as they are; the stage "
        "`record` is the exit handler. Pods of a Workflow that succeeded are removed: what they said is in `doit show`."
    )
    cmd_options = (
        option("follow", "go on printing until what is followed has ended", type=bool, short="f"),
        *shared("namespace"),
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Print; 130 where Ctrl-C ended the following."""
        from daintree.argo.workflows import check_stage, follow_logs, read_logs

        cluster = self._cluster(options["namespace"])
        name, _, stage = names[0].partition(":")
        workflow = self._workflow(cluster, name)
        if stage:
            check_stage(workflow, stage)
        show = LogLines(workflow, alone=bool(stage)).show
        if not options["follow"]:
            read_logs(cluster, workflow, stage, show)
            return 0
        try:
            follow_logs(cluster, workflow["metadata"]["name"], stage, show)
        except KeyboardInterrupt as stopped:
            return exit_code_of(stopped)
        return 0


class Cancel(_ClusterCommand):
    """Stops a Workflow; what has succeeded is recorded."""

    doc_usage = "PIPELINE | WORKFLOW"
    doc_description = (
        "Stops a pipeline's newest Workflow, or the Workflow of that name, as Argo's own stop does: its pods end, and its exit "
        "handler records the stages that have succeeded."
    )
    cmd_options = shared("namespace")
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        from daintree.argo.workflows import stop

        cluster = self._cluster(options["namespace"])
        workflow = self._workflow(cluster, names[0])
        stop(cluster, workflow)
        say(f"stopping the Workflow {workflow['metadata']['name']}: what has succeeded is recorded")


class Record(_ClusterCommand):
    """Records a Workflow's stages; exit code 1 when one that succeeded cannot be recorded."""

    doc_usage = "WORKFLOW [--namespace NAMESPACE] [--json]"
    doc_description = (
        "A Workflow's exit handler does it when its stages have ended. By hand it is for a Workflow that was terminated, or whose "
        "exit handler died: what is recorded already is left alone, what was begun is completed."
    )
    cmd_options = shared("namespace", "json")
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Record; in a pod, what may do when it is tried again ends in a code of its own, on which Argo tries again."""
        from daintree.argo.cluster import IN_CLUSTER
        from daintree.argo.manifest import TEMPORARY_FAILURE

        try:
            return self._record(names[0], options["namespace"], as_json=options["json"])
        except (StoreUnavailable, ClusterUnavailable) as error:
            if os.environ.get(IN_CLUSTER):
                error.exit_code = TEMPORARY_FAILURE
            raise

    def _record(self, workflow: str, namespace: str, *, as_json: bool) -> int:
        from daintree.argo.recording import recording_of
        from daintree.store.store import open_store

        runs = open_store(self.settings).published
        cluster = self._cluster(namespace)
        recording = recording_of(cluster, runs, workflow)
        width = max(len(stage.name) for stage in recording.stages)
        reports = []
        for stage in recording.stages:
            reports.append(recording.record(stage))
            if not as_json:
                print(stage_line(reports[-1], width, sys.stdout), flush=True)
        if as_json:
            print_json(record_as_json(workflow, cluster.namespace, reports))
        return 1 if any(report.status == "refused" for report in reports) else 0


def _watch(cluster: Cluster, name: str, typed: str) -> int:
    """Show the Workflow's stages to its end; 0, or 130 or 143 where a signal ended the watching alone. `typed` is the namespace as it was typed.

    Raises StageFailed where it did not succeed.
    """
    from daintree.argo.workflows import check_outcome, follow

    progress = WorkflowProgress()
    try:
        workflow = follow(
            cluster, name, progress.seen, lambda: say(untaken_line(name, cluster.namespace))
        )
    except KeyboardInterrupt as stopped:
        _goes_on(name, typed)
        return exit_code_of(stopped)
    except ClusterMissing:
        raise
    except ClusterError:
        _goes_on(name, typed)
        raise
    check_outcome(workflow)
    progress.ended(workflow)
    return 0


def _goes_on(name: str, typed: str) -> None:
    """Say that only the watching has ended."""
    there = f" --namespace {typed}" if typed else ""
    say(f"the Workflow {name} goes on without being watched")
    say(f"to come back: {shlex.join(['doit', *sys.argv[1:]])}")
    say(f"to stop it: doit cancel {name}{there}")


_SHADES = {
    "run": "yellow",
    "done": "green",
    "failed": "red",
    "cancel": "yellow",
    "wait": "dim",
    "retry": "cyan",
    "skip": "dim",
}
_WIDTH = max(map(len, _SHADES))


def submitted_line(pipeline: str, submitted: Submitted, namespace: str) -> str:
    place = f"the Workflow {submitted.name} in the namespace {namespace}"
    if not submitted.attached:
        return f"{pipeline}: submitted {place}"
    if submitted.phase == SUCCEEDED:
        return f"{pipeline}: {place} has computed this plan, and has succeeded: doit record {submitted.name} records it again"
    return f"{pipeline}: {place} computes this plan already: attached to it"


def submitted_as_json(submitted: Submitted | None, namespace: str) -> dict[str, Any]:
    """Description of the Workflow for `doit submit --json`; its name is null where nothing is to run."""
    if submitted is None:
        return {"workflow": None, "namespace": namespace}
    return {
        "workflow": submitted.name,
        "namespace": namespace,
        "attempt": submitted.attempt,
        "attached": submitted.attached,
        "phase": submitted.phase or "Pending",
    }


def untaken_line(name: str, namespace: str) -> str:
    return (
        f"no controller has taken the Workflow {name}: does Argo's workflow-controller run, and for the namespace {namespace}? "
        "`doit doctor --runner argo` looks"
    )


class WorkflowProgress:
    """Prints a line for each change between one state of a Workflow and the next."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str]] = {}
        self._attempts: dict[str, int] = {}

    def seen(self, workflow: Object) -> None:
        stages = stages_of(workflow)
        width = max(map(len, stages.values()), default=0)
        for task in read_status(workflow).tasks.values():
            name = stages.get(task.name, task.name).ljust(width)
            before = self._attempts.get(task.name, 1)
            self._attempts[task.name] = max(before, len(task.attempts))
            if len(task.attempts) > before:
                _tell(name, "retry", _attempt_before(task))
            change = _change(task)
            before_this = self._last.get(task.name, ("", ""))
            # Argo completes the message of what has ended: it is said once.
            again = (
                change and change[0] == before_this[0] and change[0] in ("failed", "cancel", "skip")
            )
            if change and change != before_this and not again:
                self._last[task.name] = change
                _tell(name, *change)

    def ended(self, workflow: Object) -> None:
        status = read_status(workflow)
        took = _seconds(status.started, status.finished)
        stages = count(len(status.tasks), "stage")
        say(f"the Workflow {status.name} has succeeded: {stages}{f' in {took}' if took else ''}")


class LogLines:
    """Prints what stages say on stdout, line by line from any thread; `alone` without the stage's name."""

    def __init__(self, workflow: Object, *, alone: bool) -> None:
        names = [*stages_of(workflow).values(), RECORD]
        self._width = 0 if alone else max(map(len, names))

    def show(self, stage: str, line: str) -> None:
        begin = f"{stage.ljust(self._width)}  {colour('|', 'dim', sys.stdout)} "
        sys.stdout.write(f"{begin if self._width else ''}{line}\n")
        sys.stdout.flush()


def _tell(stage: str, word: str, text: str) -> None:
    say(f"{stage}  {colour(word.ljust(_WIDTH), _SHADES[word], sys.stderr)}  {text}".rstrip())


def _change(task: Task) -> tuple[str, str] | None:
    """Progress of a task as it is now: a word and a text; None for nothing."""
    last = task.attempts[-1] if task.attempts else None
    if task.state == "succeeded":
        return "done", _seconds(task.started, task.finished)
    if task.state == "cancelled":
        return "cancel", "stopped with its Workflow"
    if task.state in ("failed", "error"):
        return "failed", reason(task)
    if task.state in ("omitted", "skipped"):
        return "skip", task.message or "what it needs has failed"
    if last and last.state == "running":
        return "run", f"on {last.host}" if last.host else ""
    # Without a colon it names a step of every pod's start; with one, what keeps it from starting.
    if last and last.state == "pending" and ": " in last.message:
        return "wait", last.message
    return None


def _attempt_before(task: Task) -> str:
    message = task.attempts[-2].message
    return f"attempt {len(task.attempts)}" + (f", after: {message}" if message else "")


def _seconds(started: datetime | None, finished: datetime | None) -> str:
    if started is None or finished is None:
        return ""
    return duration((finished - started).total_seconds())


_RECORDED_WORDS = {"recorded": "recorded", "known": "known already", "refused": "not recorded"}
_RECORDED_SHADES = {"recorded": "green", "known": "dim", "refused": "red", "absent": "yellow"}


def stage_line(report: StageReport, width: int, stream: TextIO) -> str:
    """One stage on one line; the stages' names are `width` wide."""
    word = _RECORDED_WORDS.get(report.status, report.state)
    output = f"{count(report.files, 'file')}, {size(report.bytes)}" if report.run else ""
    detail = "; ".join(part for part in (output, report.why) if part)
    shown = colour(word, _RECORDED_SHADES[report.status], stream)
    return f"{report.stage.ljust(width)}  {shown}" + (f": {detail}" if detail else "")


def record_as_json(workflow: str, namespace: str, reports: Sequence[StageReport]) -> dict[str, Any]:
    return {"workflow": workflow, "namespace": namespace, "stages": msgspec.to_builtins(reports)}
