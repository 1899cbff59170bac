"""The record step: what a Workflow's successful stages have put out becomes runs in the store, and hits of the next plan."""

from __future__ import annotations

from collections import deque

from daintree.argo.node_status import read_status
from daintree.argo.recording import Recording
from daintree.argo.submitted import submission_of
from daintree.cluster.protocol import Cluster
from daintree.errors import ClusterError, ClusterMissing, UsageError
from daintree.store.reach import prove
from daintree.store.remote import RemoteRuns

# Argo's own name for the container that does a pod's work.
CONTAINER = "main"
# Of what a stage has said, the last so many bytes are kept.
MOST_LOG_BYTES = 16 << 20


def recording_of(cluster: Cluster, namespace: str, remote: RemoteRuns, name: str) -> Recording:
    """What records the stages of the Workflow of this name; done twice, it does nothing twice.

    Raises UsageError while the Workflow's stages run, and for one that was not submitted from here; ClusterError and StoreError as
    asking for it and for its submission do.
    """
    workflow = cluster.find("Workflow", namespace, name)
    if workflow is None:
        raise ClusterMissing(
            f"there is no Workflow {name} in the namespace {namespace} of {cluster.address}",
            hint="a Workflow is kept for some days; without it nobody knows which of its stages succeeded",
        )
    status = read_status(workflow)
    if not status.settled:
        raise UsageError(
            f"the Workflow {name} still runs: what its stages put out is recorded when it ends",
            hint=f"doit cancel {name} stops it",
        )
    submission = submission_of(workflow, remote.bucket)
    prove(remote.bucket)
    return Recording(
        workflow, status, submission, remote, lambda pod: _log(cluster, namespace, pod)
    )


def _log(cluster: Cluster, namespace: str, pod: str) -> bytes | None:
    """What a pod has said; None where it is gone or this account may not read it."""
    kept: deque[bytes] = deque()
    size = 0
    try:
        for line in cluster.log(namespace, pod, CONTAINER, follow=False):
            kept.append(line.rstrip("\n").encode("utf-8", "replace") + b"\n")
            size += len(kept[-1])
            while size > MOST_LOG_BYTES and len(kept) > 1:
                size -= len(kept.popleft())
    except ClusterError:
        return None
    return b"".join(kept)
