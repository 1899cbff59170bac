"""Causes of a miss beyond the stage's last run: the nearest run of anyone, and the chain of stages down to the first cause."""

from __future__ import annotations

import msgspec

from daintree.pipeline.decisions import BoundStage, Hit, Miss, Pending, inputs_of
from daintree.pipeline.plan import Plan, reason
from daintree.pipeline.reasons import miss_reason
from daintree.pipeline.run_diff import causes_between
from daintree.pipeline.session import Session
from daintree.store.records import HistoryEntry, short_run

MOST_RUNS_COMPARED = 64


class Link(msgspec.Struct, frozen=True):
    """One link of the chain: how deep it is, the stage, its status ("" for a run of the past), and the reason. `first`: nothing is behind it."""

    depth: int
    stage: str
    status: str
    reason: str
    first: bool


def nearest_run(session: Session, plan: Plan, stage: BoundStage) -> str:
    """The nearest successful run of anyone, in words: that which differs in the fewest things, where it is not the stage's last run; else "".

    Among the latest MOST_RUNS_COMPARED runs of the stage.
    """
    inputs = inputs_of(stage, plan.decisions, plan.identities) or {}
    last = session.last_run(stage.name)
    if last is None:
        return ""
    nearest: HistoryEntry | None = None
    fewest = 1 << 30
    for number, entry in enumerate(session.store.history(plan.pipeline.name, stage.name)):
        if number == MOST_RUNS_COMPARED:
            break
        differences = _differences(entry, stage, inputs)
        if entry.result == "succeeded" and differences < fewest:
            nearest, fewest = entry, differences
    if nearest is None or nearest.run == last.run:
        return ""
    run = session.store.read_run(nearest.location)
    if run is None:
        return ""
    owner = f" of {run.user}" if run.user else ""
    words = miss_reason(stage, inputs or None, run)
    return f"nearest run {short_run(run.run)}{owner}: {words}"


def _differences(entry: HistoryEntry, stage: BoundStage, inputs: dict[str, str]) -> int:
    """The number of things in which a run is not what the stage would be now."""
    before = {n: v for n, v in entry.parameters.items() if n not in entry.ineffective}
    now = stage.effective_parameters
    read = {record.name: record.digest for record in entry.inputs}
    return (
        (entry.version != stage.version)
        + (entry.environment != stage.environment)
        + sum(before.get(name) != now.get(name) for name in before.keys() | now.keys())
        + sum(read.get(name) != digest for name, digest in inputs.items())
    )


def chain_of_causes(session: Session, plan: Plan, name: str) -> list[Link]:
    """The chain from a stage down to the first causes: through the stages it waits for, and those whose outputs are not what its last run read.

    Each stage stands once. Raises UsageError for an unknown stage.
    """
    links: list[Link] = []
    seen: set[str] = set()

    def follow(stage: BoundStage, depth: int) -> None:
        if stage.name in seen:
            return
        seen.add(stage.name)
        decision = plan.decisions[stage.name]
        words = reason(session, plan, stage, decision)
        before = _origins_of_changes(session, plan, stage) if isinstance(decision, Miss) else []
        behind = bool(before) or isinstance(decision, Pending)
        first = not behind and isinstance(decision, Miss)
        links.append(Link(depth, stage.name, decision.status, words, first))
        if isinstance(decision, Pending):
            for need in decision.on:
                follow(plan.stage(need), depth + 1)
        for old, new in before:
            for cause in causes_between(session.store, old, new):
                earlier, _, text = cause.partition(": ")
                links.append(Link(depth + 1, earlier, "", text or cause, True))

    follow(plan.stage(name), 0)
    return links


def _origins_of_changes(session: Session, plan: Plan, stage: BoundStage) -> list[tuple[str, str]]:
    """The runs (locations) that the stage's last run read and that it would read now, of each need whose output is another."""
    last = session.last_run(stage.name)
    if last is None:
        return []
    now = {n: d.record for n in stage.needs if isinstance(d := plan.decisions[n], Hit)}
    return [
        (record.origin, now[record.name].location)
        for record in last.inputs
        if record.name in now and now[record.name].digest != record.digest
    ]
