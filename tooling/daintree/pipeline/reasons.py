"""Reasons in words: why a stage would run or has run, from its last run, the nearest run of anyone, and the stages before it; and what another runner has.

Differences are never guessed: they are between what is known now and what a run has recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import msgspec

from daintree.concurrency import side_by_side
from daintree.digest import short
from daintree.errors import EnvironmentFailed
from daintree.pipeline.decisions import BoundStage, Decision, Hit, Miss, Pending, inputs_of
from daintree.pipeline.plan import Plan, bound_to, decided
from daintree.pipeline.session import AT_ONCE, Session
from daintree.runners import open_runner
from daintree.spec.component import Scalar, word
from daintree.store.layout import differences, sketch_in, sketch_of
from daintree.store.records import InputRecord, RunManifest, short_run
from daintree.store.store import Store

MOST_FILES = 4
# As many as a bucket lists by one request.
MOST_RUNS_COMPARED = 1000


def reason(
    session: Session,
    plan: Plan,
    stage: BoundStage,
    decision: Decision,
    inputs: Mapping[str, str] | None = None,
) -> str:
    """Reason of a stage's `decision`, in words; `inputs` as far as they are known better than to the plan."""
    if isinstance(decision, Hit):
        return "same inputs as an earlier run" if decision.adopt else "unchanged"
    if isinstance(decision, Miss) and not decision.reason:
        known = inputs_of(stage, plan.decisions, plan.identities) if inputs is None else inputs
        content = stage.recipe if known is None else stage.content(known)
        fault = session.store.fault(content) or session.store.fault(stage.recipe)
        return fault or miss_reason(stage, known, session.last_run(stage.name))
    return decision.reason


def miss_reason(
    stage: BoundStage, inputs: Mapping[str, str] | None, last: RunManifest | None
) -> str:
    """The differences from `last`, the latest run of this stage.

    `inputs` are the digests of the stage's inputs as far as they are known.
    """
    if last is None:
        return "no run recorded"
    causes = [*_own_differences(last, stage, stage.files), *_changed_inputs(stage, last, inputs)]
    if causes:
        return "; ".join(causes)
    return "the last run failed" if last.result == "failed" else "its run is gone from the store"


def _own_differences(
    last: RunManifest, now: BoundStage | RunManifest, files: Mapping[str, str]
) -> list[str]:
    """One phrase for each difference of a run from what its stage is now, or from a later run, but for their inputs."""
    words = []
    if last.component != now.component:
        words.append(f"component {last.component} → {now.component}")
    elif last.version != now.version and not (last.version_files and files):
        # One of the two was read from an image, which does not tell its files.
        words.append(
            f"component {now.component} {short(last.version, 8)} → {short(now.version, 8)}"
        )
    elif last.version != now.version:
        changed = changed_files(last.version_files, files)
        detail = changed or "base image, platform or build arguments"
        words.append(f"component {now.component} changed: {detail}")
    if last.component == now.component:
        words += _changed_values(last.effective_parameters, now.effective_parameters)
    if last.environment != now.environment:
        words.append(f"environment {last.environment} → {now.environment}")
    if last.refresh != now.refresh:
        words.append(f"refresh {last.refresh or 'never'} → {now.refresh or 'never'}")
    return words


def differing(before: Mapping[str, Scalar], now: Mapping[str, Scalar]) -> list[str]:
    """The names whose values differ, be it by type alone, sorted."""
    return [
        name
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) or type(before.get(name)) is not type(now.get(name))
    ]


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The files that differ, e.g. "main.py, notes.txt added"; "" when none does."""
    words = []
    for path in differing(before, now):
        change = " added" if path not in before else " deleted" if path not in now else ""
        words.append(path + change)
    more = f" and {len(words) - MOST_FILES} more" if len(words) > MOST_FILES else ""
    return ", ".join(words[:MOST_FILES]) + more


def _changed_values(before: Mapping[str, Scalar], now: Mapping[str, Scalar]) -> list[str]:
    """One phrase for each value that differs, e.g. "params.epochs 50 → 20"."""
    return [
        f"params.{name} {word(before.get(name))} → {word(now.get(name))}"
        for name in differing(before, now)
    ]


def _changed_inputs(
    stage: BoundStage, last: RunManifest, inputs: Mapping[str, str] | None
) -> list[str]:
    if inputs is None:
        return []
    before = {record.name: record.digest for record in last.inputs}
    if before.keys() != inputs.keys():
        return ["other needs: " + (", ".join(filter(None, inputs)) or "the source")]
    return [
        f"the source {name}".rstrip() + " changed"
        if not name or name in stage.sources
        else f"the output of {name} changed"
        for name in sorted(inputs)
        if before[name] != inputs[name]
    ]


# By runner: the runner whose results are of the other kind of environment, and their name.
OTHERS = {
    "local": ("docker", "an image result"),
    "docker": ("local", "a result without an image"),
    "argo": ("local", "a result without an image"),
}


def results_of_other_runner(session: Session, plan: Plan) -> dict[str, str]:
    """A sentence for each stage that misses, but whose output another runner has.

    The store is asked only where there is a miss. The results are never taken: a bare environment's must not
    pass for a container's. Raises StoreError.
    """
    missed = [name for name, decision in plan.decisions.items() if isinstance(decision, Miss)]
    if not missed or plan.runner not in OTHERS:
        return {}
    runner, what = OTHERS[plan.runner]
    try:
        environment_class = open_runner(runner, session.settings).environment_class
        stages = bound_to(
            plan, {stage.name: environment_class(stage.spec) for stage in plan.stages}
        )
    except EnvironmentFailed:
        return {}
    decisions = decided(session.store, stages, plan.identities)[1]
    return {
        name: f"{what} exists: --runner {runner}"
        for name in missed
        if isinstance(decisions[name], Hit)
    }


class Link(msgspec.Struct, frozen=True):
    """One link of the chain: how deep it is, the stage, its status ("" for a run of the past), and the reason. `first`: nothing is behind it."""

    depth: int
    stage: str
    status: str
    reason: str
    first: bool


def nearest_runs(session: Session, plan: Plan) -> dict[str, str]:
    """For each stage whose miss has a nearer run than its last one: that run of anyone, in words.

    It is the one that differs in the fewest things of the latest MOST_RUNS_COMPARED that succeeded. A stage costs a listing, and two reads
    where it is another run; all are asked side by side.
    """
    missing = [
        stage
        for stage in plan.stages
        if isinstance(miss := plan.decisions[stage.name], Miss)
        and not miss.reason
        and session.last_run(stage.name)
    ]
    nearest = side_by_side(lambda stage: _nearest_run(session, plan, stage), missing, AT_ONCE)
    return {stage.name: words for stage, words in zip(missing, nearest, strict=True) if words}


def _nearest_run(session: Session, plan: Plan, stage: BoundStage) -> str:
    inputs, last = inputs_of(stage, plan.decisions, plan.identities), session.last_run(stage.name)
    now = sketch_of(stage.version, stage.environment, stage.effective_parameters, inputs or {})
    records = session.store.records
    paths = records.history_paths(plan.pipeline.name, stage.plain_name)
    comparable = islice(filter(sketch_in, paths), MOST_RUNS_COMPARED)
    nearest = min(comparable, key=lambda path: differences(sketch_in(path), now), default="")
    if not nearest or (last and nearest.endswith(f"-{last.run}")):
        return ""
    run = records.read_entry(nearest)
    if run is None:
        return ""
    owner = f" of {run.user}" if run.user else ""
    return f"nearest run {short_run(run.run)}{owner}: {miss_reason(stage, inputs, run)}"


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
        before = origins_of_changes(session, plan, stage)
        first = not before and isinstance(decision, Miss)
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


def origins_of_changes(session: Session, plan: Plan, stage: BoundStage) -> list[tuple[str, str]]:
    """The runs (locations) that the last run of a stage that misses read and that it would read now, of each need whose output is another."""
    # Of a hit no run is read: a plan in which all is found asks for no history.
    is_miss = isinstance(plan.decisions[stage.name], Miss)
    last = session.last_run(stage.name) if is_miss else None
    if last is None:
        return []
    now = {n: d.record for n in stage.needs if isinstance(d := plan.decisions[n], Hit)}
    return [
        (record.origin, now[record.name].location)
        for record in last.inputs
        if record.name in now and now[record.name].digest != record.digest
    ]


def first_causes(
    store: Store, first: RunManifest, second: RunManifest
) -> dict[str, tuple[str, ...]]:
    """For each input whose bytes differ: the first stages that differ on the way to it, each with its reasons, in words."""
    causes: dict[str, tuple[str, ...]] = {}
    before = {record.name: record for record in first.inputs}
    for record in second.inputs:
        old = before.get(record.name)
        if old is not None and old.digest != record.digest:
            runs = _run_of(old), _run_of(record)
            causes[record.name] = (
                causes_between(store, *runs) if all(runs) else (f"another {record.label}",)
            )
    return causes


def _run_of(record: InputRecord) -> str:
    """Location of the run whose output was read, by need or by a name; "" for any other source."""
    location = record.final_origin if record.is_source else record.origin
    return "" if "://" in location else location


def causes_between(store: Store, old: str, new: str) -> tuple[str, ...]:
    """The first stages that differ on the way to two runs (locations), each with its reasons."""
    first, second = store.read_run(old), store.read_run(new)
    if first is None or second is None:
        return ("a run before it is gone from the store",)
    upstream = first_causes(store, first, second)
    words = _own_differences(first, second, second.version_files)
    own = (f"{second.stage}: {'; '.join(words)}",) if words else ()
    above = [
        f"{second.stage}: {cause}" if cause.startswith("another source") else cause
        for each in upstream.values()
        for cause in each
    ]
    causes = tuple(dict.fromkeys((*above, *own)))
    return causes or (f"{second.stage}: it was computed again, with another result",)
