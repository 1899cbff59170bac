"""How a Workflow ended: nothing to say, or one error that names what failed."""

from __future__ import annotations

from daintree.argo import names
from daintree.argo.node_status import Task, read_status
from daintree.argo.workflows import SUCCEEDED, is_stopped, stages_of
from daintree.cluster.protocol import Object
from daintree.errors import StageFailed

_FAILED = ("failed", "error")


def check_ending(workflow: Object) -> None:
    """Return for a Workflow that succeeded. Raises StageFailed for any other, with the stage that failed first and why."""
    status = read_status(workflow)
    if status.phase == SUCCEEDED:
        return
    if is_stopped(workflow):
        raise StageFailed(
            f"the Workflow {status.name} was stopped",
            hint="what had succeeded is recorded; doit submit goes on from there",
        )
    failed = [task for task in status.tasks.values() if task.state in _FAILED]
    if not failed:
        raise StageFailed(
            f"the Workflow {status.name} ended with {status.phase}: {status.message or 'it gives no reason'}",
            hint=f"doit logs {status.name}:{names.RECORD}; doit record {status.name} records its results by hand",
        )
    first = min(failed, key=lambda task: (task.finished is None, task.finished, task.name))
    stage = stages_of(workflow).get(first.name, first.name)
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    raise StageFailed(
        f"{stage} failed in the Workflow {status.name}: {reason(first)}{more}",
        hint=f"doit logs {status.name}:{stage}",
    )


def reason(task: Task) -> str:
    """Why a task failed: what its last attempt says, in Argo's words."""
    last = task.attempts[-1] if task.attempts else None
    said = (last.message if last else "") or task.message
    if last and last.exit_code and f"exit code {last.exit_code}" not in said:
        return f"exit code {last.exit_code}" + (f": {said}" if said else "")
    return said or task.state
