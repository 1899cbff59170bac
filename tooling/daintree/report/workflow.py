"""A Workflow in the cluster, for people: what was submitted, and each change of its stages as a line on stderr."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from daintree.argo.endings import reason
from daintree.argo.names import RECORD
from daintree.argo.node_status import Task, read_status
from daintree.argo.submit import Submitted
from daintree.argo.workflows import SUCCEEDED, stages_of
from daintree.cluster.protocol import Object
from daintree.report.text import colour, count, duration, say

_SHADES = {
    "run": "yellow",
    "done": "green",
    "failed": "red",
    "wait": "dim",
    "retry": "cyan",
    "skip": "dim",
}
_WIDTH = max(map(len, _SHADES))


def submitted_line(pipeline: str, submitted: Submitted, namespace: str) -> str:
    """What became of a submission, in one line."""
    place = f"the Workflow {submitted.name} in the namespace {namespace}"
    if not submitted.attached:
        return f"{pipeline}: submitted {place}"
    if submitted.phase == SUCCEEDED:
        return f"{pipeline}: {place} has computed this plan, and has succeeded: doit record {submitted.name} records it again"
    return f"{pipeline}: {place} computes this plan already: attached to it"


def submitted_as_json(submitted: Submitted | None, namespace: str) -> dict[str, Any]:
    """What `doit submit --json` says of the Workflow; its name is null where nothing is to run."""
    if submitted is None:
        return {"workflow": None, "namespace": namespace}
    return {
        "workflow": submitted.name,
        "namespace": namespace,
        "attempt": submitted.attempt,
        "attached": submitted.attached,
        "phase": submitted.phase or "Pending",
    }


class WorkflowProgress:
    """Prints a line for each change between one state of a Workflow and the next."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}
        self._attempts: dict[str, int] = {}

    def seen(self, workflow: Object) -> None:
        """Say what is new."""
        stages = stages_of(workflow)
        width = max(map(len, stages.values()), default=0)
        for task in read_status(workflow).tasks.values():
            name = stages.get(task.name, task.name).ljust(width)
            before = self._attempts.get(task.name, 1)
            self._attempts[task.name] = max(before, len(task.attempts))
            if len(task.attempts) > before:
                _tell(name, "retry", _attempt_before(task))
            told = _change(task)
            if told and self._told.get(task.name) != told:
                self._told[task.name] = told
                _tell(name, *told)

    def ended(self, workflow: Object) -> None:
        """Say that it has succeeded."""
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
        """Print a line of a stage."""
        begin = f"{stage.ljust(self._width)}  {colour('|', 'dim', sys.stdout)} "
        sys.stdout.write(f"{begin if self._width else ''}{line}\n")
        sys.stdout.flush()


def _tell(stage: str, word: str, text: str) -> None:
    say(f"{stage}  {colour(word.ljust(_WIDTH), _SHADES[word], sys.stderr)}  {text}".rstrip())


def _change(task: Task) -> tuple[str, str] | None:
    """What there is to say of a task as it is now: a word and a text; None for nothing."""
    last = task.attempts[-1] if task.attempts else None
    if task.state == "succeeded":
        return "done", _seconds(task.started, task.finished)
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
    said = task.attempts[-2].message
    return f"attempt {len(task.attempts)}" + (f", after: {said}" if said else "")


def _seconds(started: datetime | None, finished: datetime | None) -> str:
    if started is None or finished is None:
        return ""
    return duration((finished - started).total_seconds())
