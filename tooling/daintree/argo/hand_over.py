"""What has to be in the store before a cluster can begin: hits that only this machine has, the source, the submission."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from daintree.argo.order import Order
from daintree.errors import SourceError
from daintree.manifest import encode
from daintree.plan import Hit, inputs_of
from daintree.run.planning import Plan
from daintree.s3_access import read_s3_access
from daintree.store.artifact import hash_artifact
from daintree.store.bucket import Bucket
from daintree.store.remote import RemoteRuns


def share_hits(plan: Plan) -> bool:
    """Publish the hits that only this machine knows, inputs first; True where there was one, and the plan has to be made anew.

    Raises StoreError as publishing does.
    """
    shared = False
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        if isinstance(decision, Hit) and not plan.store.holds(decision.record):
            inputs = inputs_of(stage, plan.decisions, plan.identity)
            assert inputs is not None
            plan.store.share(stage.content(inputs), stage.recipe, decision.record)
            shared = True
    return shared


def hand_over(order: Order, say: Callable[[str], None]) -> None:
    """Put the source and the submission into the store, each unless it is there; `say` gets a line before a copy.

    Raises StoreError as publishing does, SourceError for a source that has changed since the plan.
    """
    hand_over_source(order, say)
    bucket = Bucket(order.plan.settings.store, read_s3_access())
    bucket.create(order.submission.place, encode(order.submission))


def hand_over_source(order: Order, say: Callable[[str], None]) -> None:
    """Put the source that stages of an order read into the store, unless it is there. Raises as `hand_over` does."""
    if not order.submission.source.url and _reads_source(order):
        bucket = Bucket(order.plan.settings.store, read_s3_access())
        _hand_over_source(order.plan, RemoteRuns(bucket), say)


def _reads_source(order: Order) -> bool:
    return any(not stage.needs for stage in order.submission.stages)


def _hand_over_source(plan: Plan, remote: RemoteRuns, say: Callable[[str], None]) -> None:
    digest = plan.identity.digest
    assert digest is not None
    if remote.has_source(digest):
        return
    say(f"putting the source {plan.identity.origin} into {plan.store.url}")
    with plan.store.stage(f"source-{os.urandom(8).hex()}") as staging:
        _copy(plan, staging.scratch, staging.output)
        artifact = hash_artifact(staging.output)
        if artifact.digest != digest:
            raise SourceError(
                f"the source {plan.identity.origin} changed while it was read",
                hint="run it again when whatever writes it is done",
            )
        plan.store.add_source(staging, artifact)


def _copy(plan: Plan, links: Path, target: Path) -> None:
    """Fill `target` with the source's files, which `links` gets links to."""
    plan.source.files(links)
    shutil.copytree(links, target, dirs_exist_ok=True)
