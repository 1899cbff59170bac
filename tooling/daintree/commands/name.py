"""`doit name`: names for runs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import msgspec

from daintree.commands.command import (
    DaintreeCommand,
    option,
    print_json,
    print_result,
    reserved_names,
    shared,
)
from daintree.errors import UsageError
from daintree.pipeline import addresses
from daintree.spec.pipeline import load_pipeline
from daintree.store.backend import SMALL_RECORD_BYTES
from daintree.store.layout import name_path, timestamp
from daintree.store.records import (
    NameChange,
    NamedRun,
    NameRecord,
    RunManifest,
    current_user,
    encode,
    named_run_of,
    short_run,
)
from daintree.store.store import Store, open_store
from daintree.terminal import columns, one_line

MOST_NOTE = 1000


# The oldest moves are forgotten before a record is too large to be read.
MOST_CHANGES = 1000
NAME_BYTES = SMALL_RECORD_BYTES // 2


class Name(DaintreeCommand):
    """Gives the runs of a pipeline's stages a name, such as production; lists and removes names."""

    doc_usage = "PIPELINE[:STAGE] | RUN NAME [--note TEXT] | --list [PIPELINE [NAME]] | --remove PIPELINE[:STAGE] NAME"
    doc_description = (
        "A pipeline's name leads to the runs of its last complete execution, which move at once; PIPELINE:STAGE names that stage's "
        "last run alone, RUN a run by its id, PIPELINE@OTHER the runs that have another name. What has a name is kept. PIPELINE[:STAGE]@NAME "
        "stands for the runs in path, pull, show, diff, serve and monitor, and as a pipeline's source."
    )
    cmd_options = (
        option("note", "why: kept with who and when", short="m"),
        option("list", "show the names, and how they moved", type=bool, short="l"),
        option("remove", "take the name from the runs; its moves stay to be read", type=bool),
        *shared("json"),
    )
    names = (0, 2)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        store = open_store(self.settings)
        if options["list"]:
            self._list(store, names, options["json"])
            return
        if len(names) != 2:
            raise self.misused("give what to name, and the name")
        address = addresses.parse_address(names[0], self.root)
        name = addresses.check_name(names[1].removeprefix("@"))
        pipeline = address.subject
        runs: dict[str, RunManifest] = {}
        if options["remove"]:
            old: NameRecord | None = addresses.read_name(
                store, addresses.Address(pipeline, name=name)
            )
        else:
            pipeline, runs = self._runs(store, address)
            old = store.records.read_name(pipeline, name)
            for run in runs.values():
                store.local.hold(run.location)
                # What this machine alone still has is nothing that a name can lead others to.
                addresses.refuse_collected(store, run)
        whole = not (address.stage or address.name or pipeline != address.subject)
        new = _renamed(
            old or NameRecord(pipeline=pipeline, name=name),
            {stage: named_run_of(run) for stage, run in runs.items()},
            address.stage if options["remove"] else "",
            keep=not whole,
            note=_note(options["note"]),
        )
        if not store.write_name(new, old):
            raise UsageError(
                f"{pipeline}@{name} was moved meanwhile: {_last_move(store.records.read_name(pipeline, name))}",
                hint=f"doit name --list {pipeline} shows it; then decide again",
            )
        print_result(options["json"], lambda: _as_json(new), lambda: _moved_lines(old, new))

    def _runs(self, store: Store, address: addresses.Address) -> tuple[str, dict[str, RunManifest]]:
        """The pipeline whose name it is, and the runs to be named, by its stages; each has succeeded. Raises UsageError where there is none.

        A stage that was a hit may end with a run of another pipeline: the name is still that of the pipeline that was typed.
        """
        if address.name:
            return address.subject, addresses.named_runs(store, address)
        if not address.stage and not addresses.is_run(self.root, address.subject):
            pipeline = load_pipeline(self.root, address.subject, reserved_names(self.root))
            return address.subject, addresses.last_execution(store, pipeline)
        run = addresses.find_output(store, address)
        return run.pipeline, {run.stage: run}

    def _list(self, store: Store, names: list[str], as_json: bool) -> None:
        pipeline, name = (*names, "", "")[:2]
        records = [
            record
            for record in store.records.names(pipeline)
            if record.name == name or (record.runs and not name)
        ]
        if as_json:
            print_json({"names": [_as_json(record) for record in records]})
        elif not records:
            print(
                f"no run{pipeline and f' of {pipeline}'} has {f'the name {name!r}' if name else 'a name'}"
            )
        elif name:
            print("\n".join(_history_lines(records[0])))
        else:
            print("\n".join(_table(records)))


def _note(text: str) -> str:
    if len(text) > MOST_NOTE:
        raise UsageError(f"--note: {len(text)} characters, {MOST_NOTE} at most")
    return text


def _renamed(
    record: NameRecord, runs: Mapping[str, NamedRun], removed: str, *, keep: bool, note: str
) -> NameRecord:
    """The record once these runs have the name, beside those of other stages where it is to `keep` them; without runs one stage's, or all, are gone."""
    if runs:
        named = {**(record.runs if keep else {}), **runs}
    else:
        named = {stage: run for stage, run in record.runs.items() if removed and stage != removed}
    if not runs and removed and removed not in record.runs:
        raise UsageError(f"no run of {record.pipeline}:{removed} has the name {record.name!r}")
    by = f"{current_user()}@{platform.node()}"
    return moved(record, named, when=timestamp(), by=by, note=note)


def _moved_lines(old: NameRecord | None, new: NameRecord) -> list[str]:
    """The runs that have the name now, and those that had it."""
    before = old.runs if old else {}
    rows = [
        [stage, _id(new.runs.get(stage)), _change(before.get(stage), new.runs.get(stage))]
        for stage in sorted(before.keys() | new.runs.keys())
    ]
    lines = [f"{new.pipeline}@{new.name}", *columns(rows)]
    return lines + ([f"before: {_last_move(old)}"] if old and old.changes else [])


def _change(before: NamedRun | None, now: NamedRun | None) -> str:
    if now is None:
        return f"removed, was {_id(before)}"
    if before is None:
        return "new"
    return "unchanged" if before.run == now.run else f"was {_id(before)}"


def _id(run: NamedRun | None) -> str:
    return short_run(run.run) if run else "-"


def _last_move(record: NameRecord | None) -> str:
    if record is None or not record.changes:
        return "nobody knows by whom"
    change = record.changes[-1]
    verb = "set" if change.runs else "removed"
    return f"{verb} {change.when} by {change.by}" + (
        f" ({one_line(change.note)})" if change.note else ""
    )


def _table(records: list[NameRecord]) -> list[str]:
    head = ["name", "runs", "when", "by", "why"]
    rows = [
        [
            f"{record.pipeline}@{record.name}",
            " ".join(f"{stage}={_id(run)}" for stage, run in sorted(record.runs.items())),
            record.changes[-1].when if record.changes else "-",
            record.changes[-1].by if record.changes else "-",
            (record.changes[-1].note if record.changes else "") or "-",
        ]
        for record in records
    ]
    return columns([head, *rows], indent="")


def _history_lines(record: NameRecord) -> list[str]:
    """One row for each move of a name, the latest first."""
    head = ["when", "by", "runs", "why"]
    rows = [
        [
            change.when,
            change.by,
            " ".join(f"{s}={short_run(run)}" for s, run in change.runs.items()) or "(removed)",
            change.note or "-",
        ]
        for change in reversed(record.changes)
    ]
    return [f"{record.pipeline}@{record.name}", *columns([head, *rows])]


def _as_json(record: NameRecord) -> dict[str, Any]:
    table: dict[str, Any] = msgspec.to_builtins(record)
    return {key: table[key] for key in ("pipeline", "name", "runs", "changes")}


def moved(
    record: NameRecord, runs: Mapping[str, NamedRun], *, when: str, by: str, note: str
) -> NameRecord:
    """The record of a name once it leads to these runs, by stage; none: it is removed. As many moves are kept as fit."""
    change = NameChange(when, by, note, {stage: run.run for stage, run in sorted(runs.items())})
    changes = (*record.changes, change)[-MOST_CHANGES:]
    path = name_path(record.pipeline, record.name)
    while True:
        fresh = msgspec.structs.replace(record, runs=dict(runs), changes=changes)
        if len(encode(fresh, path)) <= NAME_BYTES or len(changes) == 1:
            return fresh
        changes = changes[(len(changes) + 1) // 2 :]
