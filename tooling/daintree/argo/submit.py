"""Submitting: one Workflow for each plan, whoever submits it and however often."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from daintree.argo.submission import Submission
from daintree.argo.workflows import FAILURES, KIND, has_ended, is_of, is_stopped, phase
from daintree.cluster.protocol import Cluster, Object
from daintree.errors import ClusterConflict, ClusterMissing

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
    namespace: str,
    submission: Submission,
    make_manifest: Callable[[int], Object],
    prepare: Callable[[], None],
) -> Submitted:
    """The submission's Workflow: the one that runs or has succeeded, else a new one.

    One that failed or was stopped is followed by another attempt, under a name of its own. `make_manifest` gives an attempt's
    manifest; `prepare` puts into the store what pods read, and is called before a Workflow is made, not where one is there.
    Raises ClusterError as the cluster does, ClusterConflict for a Workflow of that name that computes something else.
    """
    attempt, conflicts = 1, 0
    while True:
        standing = cluster.find(KIND, namespace, submission.workflow(attempt))
        if standing is not None and _is_over(standing):
            attempt += 1
            continue
        if standing is not None:
            name = _name(standing, submission, namespace)
            return Submitted(name=name, attached=True, attempt=attempt, phase=phase(standing))
        prepare()
        try:
            made = cluster.create(KIND, namespace, make_manifest(attempt))
        except ClusterConflict:
            # Somebody else has submitted the same plan in between.
            conflicts += 1
            if conflicts == MOST_CONFLICTS:
                raise
            continue
        return Submitted(name=made["metadata"]["name"], attached=False, attempt=attempt)


def follow(cluster: Cluster, namespace: str, name: str, seen: Callable[[Object], None]) -> Object:
    """The Workflow at its end, its exit handler's included; `seen` gets it each time that it has changed.

    Raises ClusterMissing when it is deleted meanwhile, ClusterError as watching does.
    """
    for workflow in cluster.watch(KIND, namespace, name):
        seen(workflow)
        if has_ended(workflow):
            return workflow
    raise ClusterMissing(
        f"the Workflow {name} in the namespace {namespace} is gone: somebody has deleted it, or its time was over",
        hint="doit plan shows what of it was recorded",
    )


def _is_over(workflow: Object) -> bool:
    """Whether it will compute no more than it has, and lacks something."""
    return phase(workflow) in FAILURES or is_stopped(workflow)


def _name(workflow: Object, submission: Submission, namespace: str) -> str:
    name = str(workflow["metadata"]["name"])
    if not is_of(workflow, submission.digest):
        raise ClusterConflict(
            f"the Workflow {name} in the namespace {namespace} does not say that it computes this plan",
            hint="who made it by hand? Give it another name, or delete it",
        )
    return name
