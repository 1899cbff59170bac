"""Submitting: one Workflow for each plan, whoever submits it and however often."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from daintree.argo.cluster import Cluster, Object
from daintree.argo.submission import Order, Submission
from daintree.argo.workflows import FAILURES, KIND, has_ended, is_of, is_stopped, phase
from daintree.errors import ClusterConflict, ClusterMissing, SourceError
from daintree.pipeline.decisions import Hit, inputs_of
from daintree.pipeline.plan import Plan
from daintree.pipeline.session import Session
from daintree.store.bucket import Bucket
from daintree.store.integrity import hash_artifact
from daintree.store.records import encode
from daintree.store.remote import RemoteRuns
from daintree.store.s3 import read_s3_access

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


def share_hits(session: Session, plan: Plan) -> bool:
    """Publish the hits that only this machine knows, inputs first; True where there was one, and the plan has to be made anew.

    Raises StoreError as publishing does.
    """
    shared = False
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        if isinstance(decision, Hit) and not session.store.holds(decision.record):
            inputs = inputs_of(stage, plan.decisions, plan.identity)
            assert inputs is not None
            session.store.share(stage.content(inputs), stage.recipe, decision.record)
            shared = True
    return shared


def hand_over(order: Order, say: Callable[[str], None]) -> None:
    """Put the source and the submission into the store, each unless it is there; `say` gets a line before a copy.

    Raises StoreError as publishing does, SourceError for a source that has changed since the plan.
    """
    hand_over_source(order, say)
    bucket = Bucket(order.session.settings.store, read_s3_access())
    bucket.create(order.submission.place, encode(order.submission))


def hand_over_source(order: Order, say: Callable[[str], None]) -> None:
    """Put the source that stages of an order read into the store, unless it is there. Raises as `hand_over` does."""
    if not order.submission.source.url and _reads_source(order):
        bucket = Bucket(order.session.settings.store, read_s3_access())
        _hand_over_source(order.session, order.plan, RemoteRuns(bucket), say)


def _reads_source(order: Order) -> bool:
    return any(not stage.needs for stage in order.submission.stages)


def _hand_over_source(
    session: Session, plan: Plan, remote: RemoteRuns, say: Callable[[str], None]
) -> None:
    digest = plan.identity.digest
    assert digest is not None
    if remote.has_source(digest):
        return
    say(f"putting the source {plan.identity.origin} into {session.store.url}")
    with session.store.stage(f"source-{os.urandom(8).hex()}") as staging:
        _copy(session, staging.scratch, staging.output)
        artifact = hash_artifact(staging.output)
        if artifact.digest != digest:
            raise SourceError(
                f"the source {plan.identity.origin} changed while it was read",
                hint="run it again when whatever writes it is done",
            )
        session.store.add_source(staging, artifact)


def _copy(session: Session, links: Path, target: Path) -> None:
    """Fill `target` with the source's files, which `links` gets links to."""
    session.source.files(links)
    shutil.copytree(links, target, dirs_exist_ok=True)
