"""The Workflows of a pipeline in the cluster: finding the newest, naming its stages, stopping it."""

from __future__ import annotations

from daintree.argo import names
from daintree.argo.cluster import Cluster, Object
from daintree.errors import ClusterMissing, UsageError

KIND = "Workflow"
# Argo's phases of a Workflow that has ended, its exit handler included.
SUCCEEDED = "Succeeded"
FAILURES = frozenset({"Failed", "Error"})
ENDED = FAILURES | {SUCCEEDED}


def phase(workflow: Object) -> str:
    """Its phase, in Argo's words; "" before Argo has seen it."""
    status = workflow.get("status") or {}
    return str(status.get("phase") or "")


def has_ended(workflow: Object) -> bool:
    """Whether nothing of it runs any more, its exit handler included."""
    return phase(workflow) in ENDED


def is_stopped(workflow: Object) -> bool:
    """Whether somebody has stopped or terminated it, whether or not it has ended."""
    spec = workflow.get("spec") or {}
    return bool(spec.get("shutdown"))


def find_workflow(cluster: Cluster, namespace: str, name: str, *, pipeline: bool) -> Object:
    """The Workflow of this name, or the newest of the `pipeline` of this name.

    Raises ClusterMissing where there is none, ClusterError as asking does.
    """
    if not pipeline:
        found = cluster.find(KIND, namespace, name)
        if found is None:
            raise ClusterMissing(
                f"there is no Workflow {name} in the namespace {namespace} of {cluster.address}",
                hint="a Workflow is kept for some days; --namespace looks in another namespace",
            )
        return found
    workflows = workflows_of(cluster, namespace, name)
    if not workflows:
        raise ClusterMissing(
            f"there is no Workflow of {name} in the namespace {namespace} of {cluster.address}",
            hint=f"doit submit {name} makes one; --namespace looks in another namespace",
        )
    return workflows[-1]


def workflows_of(cluster: Cluster, namespace: str, pipeline: str) -> list[Object]:
    """The Workflows that compute a pipeline, oldest first; those that only submit one are not among them."""
    label = f"{names.PIPELINE}={names.label_value(pipeline)}"
    found = [
        workflow
        for workflow in cluster.list(KIND, namespace, labels=label)
        if _annotation(workflow, names.PIPELINE) == pipeline
        and _annotation(workflow, names.SUBMISSION)
    ]
    return sorted(found, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))


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


def stop(cluster: Cluster, namespace: str, workflow: Object) -> None:
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
        cluster.merge(KIND, namespace, name, {"spec": {"shutdown": "Stop"}})


def is_of(workflow: Object, submission: str) -> bool:
    """Whether it computes the submission of this digest."""
    return _annotation(workflow, names.SUBMISSION) == submission


def _annotation(workflow: Object, name: str) -> str:
    return str((workflow["metadata"].get("annotations") or {}).get(name, ""))


def _parameter(task: Object, name: str) -> str:
    parameters = (task.get("arguments") or {}).get("parameters") or ()
    return next((str(p.get("value", "")) for p in parameters if p.get("name") == name), "")
