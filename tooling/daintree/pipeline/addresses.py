"""Addresses of runs, as people type them: RUN, PIPELINE, PIPELINE:STAGE, and either of these with @NAME behind it.

One parser for every command and for sources. RUN is a run id or its beginning, PIPELINE:STAGE the stage's latest run, @NAME the run
that has the name, or whose id begins so.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from daintree.errors import StoreError, UsageError, nearest
from daintree.spec.pipeline import Pipeline, component_hint, load_pipeline, pipeline_files
from daintree.store.layout import FEWEST_DIGITS, MOST_BYTES, execution_note, is_identifier
from daintree.store.records import NameRecord, RunManifest, index_record_of, run_record_digest
from daintree.store.store import Store

FORM = "RUN, PIPELINE, PIPELINE:STAGE or PIPELINE[:STAGE]@NAME"
_NAMED = re.compile(r"[A-Za-z0-9][\w.-]*(:[A-Za-z0-9][\w.-]*)?@[A-Za-z0-9][\w.-]*", re.ASCII)
_RUN = re.compile(r"\d{8}T[\w-]*|[0-9a-f]{6,8}", re.ASCII)


class Address(msgspec.Struct, frozen=True):
    """The parts of an address: a pipeline or, without stage and name, perhaps a run; "" for what was not typed."""

    subject: str
    stage: str = ""
    name: str = ""

    def __str__(self) -> str:
        stage, name = self.stage and f":{self.stage}", self.name and f"@{self.name}"
        return f"{self.subject}{stage}{name}"


def parse_address(text: str, root: Path | None = None) -> Address:
    """The parts of an address. Raises UsageError for another form; of a component of the project at `root` it names the stages."""
    subject, at, name = text.partition("@")
    pipeline, colon, stage = subject.partition(":")
    parts = [pipeline, *([stage] if colon else []), *([name] if at else [])]
    if not all(map(is_identifier, parts)):
        hint = component_hint(root, pipeline) if root else ""
        raise UsageError(f"{text!r} cannot be read", hint=hint or f"write {FORM}")
    return Address(pipeline, stage, name)


def check_name(name: str) -> str:
    """The name of runs. Raises UsageError for one that no runs can have."""
    if not is_identifier(name):
        raise UsageError(
            f"{name!r} cannot be a name",
            hint=f"a letter or digit, then letters, digits, `.`, `_` and `-`; {MOST_BYTES} at most",
        )
    return name


def is_named(text: str) -> bool:
    """True for PIPELINE[:STAGE]@NAME."""
    return bool(_NAMED.fullmatch(text))


def is_run(root: Path, text: str) -> bool:
    """True for what looks like a run's id, its beginning or its end, where no pipeline of the project is called so."""
    return bool(_RUN.fullmatch(text)) and text not in pipeline_files(root)


def find_run(store: Store, address: Address, pipeline: Pipeline | None = None) -> RunManifest:
    """The run at an address; PIPELINE@NAME is that of the `pipeline`'s last stage.

    Raises UsageError where there is none, StoreError where the run that has the name is gone or damaged.
    """
    if address.name:
        return named_run(store, address, pipeline.stages[-1].name if pipeline else "")
    if address.stage:
        run = store.latest_run(address.subject, address.stage)
    else:
        run = store.records.find_run(address.subject)
    if run is None:
        hint = _nearest_recorded(store, address) or "`doit history` lists the runs"
        raise UsageError(f"there is no run {str(address)!r}", hint=hint)
    return run


def find_output(store: Store, address: Address, pipeline: Pipeline | None = None) -> RunManifest:
    """The run at an address, which has an output. Raises as `find_run` does, and UsageError for a run that failed, or whose output was collected."""
    run = find_run(store, address, pipeline)
    if run.output is None:
        raise UsageError(
            f"run {run.run} failed: it {run.failure}", hint=f"doit show {run.run} has its log"
        )
    # A cache may still have what is gone from the bucket.
    if store.local.damage(index_record_of(run), thorough=False):
        refuse_collected(store, run)
    return run


def refuse_collected(store: Store, run: RunManifest) -> None:
    """Raise UsageError for a run whose output was collected."""
    if record := store.collected(run.location):
        raise UsageError(
            f"the output of run {run.run} was collected {record.when} by {record.by}",
            hint=f"doit run {run.pipeline} computes it again, where its plan still needs it",
        )


def _nearest_recorded(store: Store, address: Address) -> str:
    """A hint at the pipelines, or the stages of one, that have runs; "" for what looks like a run's id."""
    if _RUN.fullmatch(address.subject):
        return ""
    stages: dict[str, list[str]] = {}
    for pipeline, stage in store.records.stages_with_history():
        stages.setdefault(pipeline, []).append(stage)
    if address.subject not in stages:
        return nearest(address.subject, list(stages))
    if address.stage:
        return nearest(address.stage, stages[address.subject])
    return f"of which stage? {address.subject}:" + f", {address.subject}:".join(
        stages[address.subject]
    )


def named_run(store: Store, address: Address, stage: str = "") -> RunManifest:
    """The run that has the name; of the `stage` where the address says none. Raises as `find_run` does.

    A name that nobody has given may be a run's id, or its beginning.
    """
    stage = address.stage or stage
    record = store.records.read_name(address.subject, address.name)
    if (record is None or not record.runs) and len(address.name) >= FEWEST_DIGITS:
        run = store.records.find_run(address.name)
        if run and run.output and (run.pipeline, run.stage) == (address.subject, stage):
            return run
    record = _leading(store, address, record)
    if not stage and len(record.runs) == 1:
        [stage] = record.runs
    if stage not in record.runs:
        raise UsageError(
            f"{record.pipeline}@{record.name} names no run of "
            + (f"a stage {stage!r}" if stage else "a single stage"),
            hint=nearest(stage, list(record.runs)),
        )
    return read_named(store, record, stage)


def named_runs(store: Store, address: Address) -> dict[str, RunManifest]:
    """The runs that have the name, by stage; that of one stage where the address says it. Raises as `find_run` does."""
    if address.stage:
        return {address.stage: named_run(store, address)}
    record = read_name(store, address)
    return {stage: read_named(store, record, stage) for stage in record.runs}


def read_name(store: Store, address: Address) -> NameRecord:
    """The record of a name that leads to runs. Raises UsageError where there is none."""
    return _leading(store, address, store.records.read_name(address.subject, address.name))


def _leading(store: Store, address: Address, record: NameRecord | None) -> NameRecord:
    """The record at an address, which leads to runs. Raises UsageError where it does not."""
    if record is not None and record.runs:
        return record
    known = [record.name for record in store.records.names(address.subject) if record.runs]
    if known:
        hint = nearest(address.name, known, otherwise="`doit name --list` shows the names")
    elif store.records.stages_with_history(address.subject):
        hint = f"doit name {msgspec.structs.replace(address, name='')} {address.name} gives it to "
        hint += "its last run" if address.stage else "its last execution"
    else:
        hint = _nearest_recorded(store, address) or f"doit run {address.subject}"
    raise UsageError(f"no run of {address.subject} has the name {address.name!r}", hint=hint)


def read_named(store: Store, record: NameRecord, stage: str) -> RunManifest:
    """The run record of a stage that has a name: exactly the one that was named. Raises StoreError where it is gone or damaged."""
    named = record.runs[stage]
    run = store.read_run(named.location)
    if run is None or run_record_digest(run) != named.record:
        raise StoreError(
            f"{record.pipeline}:{stage}@{record.name}: run {named.run} is gone from {store.url}, or damaged",
            hint=f"give the name to another run: doit name {record.pipeline}:{stage} {record.name}",
        )
    return run


def pipeline_of(root: Path, address: Address) -> Pipeline | None:
    """The pipeline that a PIPELINE@NAME is of, if this project has it: its last stage is the one that is meant."""
    if not address.name or address.stage:
        return None
    try:
        return load_pipeline(root, address.subject, ())
    except UsageError:
        return None


def last_execution(store: Store, pipeline: Pipeline) -> dict[str, RunManifest]:
    """The runs of a pipeline's last complete execution, by stage: on this machine if it has executed it, else the last in the store.

    Raises UsageError where there is none.
    """
    content = store.read_note(execution_note(pipeline.name), shared=False)
    try:
        locations = msgspec.json.decode(content, type=dict[str, str]) if content else {}
    except msgspec.DecodeError:
        locations = {}
    remembered = {stage: store.read_run(location) for stage, location in locations.items()}
    runs = {stage: run for stage, run in remembered.items() if run is not None}
    if runs and len(runs) == len(remembered):
        return runs
    runs = _recorded_execution(store, pipeline)
    if not runs:
        raise UsageError(
            f"no complete execution of {pipeline.name} is recorded",
            hint=f"doit run {pipeline.name}",
        )
    return runs


MOST_RUNS_LOOKED_AT = 50


def _recorded_execution(store: Store, pipeline: Pipeline) -> dict[str, RunManifest]:
    """The newest runs of the stages that nothing needs, with all that they came from, where these agree; else nothing."""
    needed = {need for stage in pipeline.stages for need in stage.needs}
    runs: dict[str, RunManifest] = {}
    for stage in reversed(pipeline.stages):
        if stage.name in needed:
            continue
        for number, entry in enumerate(store.history(pipeline.name, stage.name)):
            origins = _origins(store, entry.location) if entry.result == "succeeded" else {}
            agrees = all(runs.get(name, run) == run for name, run in origins.items())
            if origins and agrees:
                runs |= origins
                break
            if number == MOST_RUNS_LOOKED_AT:
                return {}
    return runs if runs.keys() == {stage.name for stage in pipeline.stages} else {}


def _origins(store: Store, location: str) -> dict[str, RunManifest]:
    """The run at a location and those that its inputs came from, by stage; nothing where one is gone, or a stage has two."""
    runs: dict[str, RunManifest] = {}
    waiting = [location]
    while waiting:
        run = store.read_run(waiting.pop())
        if run is None or runs.get(run.stage, run) != run:
            return {}
        if run.stage not in runs:
            runs[run.stage] = run
            waiting += [record.origin for record in run.inputs if not record.is_source]
    return runs
