"""`doit history`, `doit show`, `doit diff` and `doit path`: runs of the past."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from daintree.commands.command import (
    DaintreeCommand,
    fixed_address,
    option,
    plan_request,
    print_json,
    print_result,
    request_of,
    shared,
)
from daintree.errors import UsageError, nearest
from daintree.pipeline.addresses import Address, find_output, find_run, parse_address, pipeline_of
from daintree.pipeline.decisions import Hit
from daintree.pipeline.output_directory import Origin, origins_of
from daintree.pipeline.reasons import reason
from daintree.pipeline.run_diff import Change, FileChange, RunDifference, difference, number
from daintree.settings import find_project
from daintree.spec.component import word
from daintree.spec.pipeline import component_hint
from daintree.store.layout import LOG
from daintree.store.records import HistoryEntry, RunManifest, index_record_of, short_run
from daintree.store.store import Store, open_store
from daintree.terminal import columns, count, duration, fitted, one_line, say, screen_width, size

MOST_LOG_LINES = 200

# A list shows summaries, a page a record; both describe a run by the same names.
Summary = HistoryEntry | RunManifest


def history_table(runs: Sequence[Summary], width: int | None = None) -> list[str]:
    """One row per run, with its short id, the minute (UTC) it began, and the parameters in which the runs of one stage differ, cut to a `width`."""
    head = ["run", "began", "stage", "result", "took", "parameters", "reason", "by", "commit"]
    varied = _varied(runs)
    rows = [
        [
            short_run(run.run),
            run.started[:16].replace("T", " "),
            f"{run.pipeline}:{run.stage}",
            "ok" if run.result == "succeeded" else "FAILED",
            duration(run.seconds),
            _parameters(run, varied[run.pipeline, run.stage]),
            run.failure or run.reason,
            f"{run.user}@{run.host}",
            _commit(run),
        ]
        for run in runs
    ]
    return fitted(columns([head, *rows], indent=""), width)


def _varied(runs: Sequence[Summary]) -> dict[tuple[str, str], list[str]]:
    """For each stage the parameters that do not have one value in all its runs, sorted."""
    values: dict[tuple[str, str], dict[str, set[str]]] = {}
    for run in runs:
        seen = values.setdefault((run.pipeline, run.stage), {})
        for name, value in run.parameters.items():
            seen.setdefault(name, set()).add(word(value))
    return {
        stage: sorted(name for name, words in seen.items() if len(words) > 1)
        for stage, seen in values.items()
    }


def _parameters(run: Summary, names: Sequence[str]) -> str:
    given = [f"{name}={word(run.parameters[name])}" for name in names if name in run.parameters]
    return " ".join(given) or "-"


def _commit(run: Summary) -> str:
    return (run.commit[:8] + ("+" if run.dirty else "")) or "-"


def run_as_json(run: Summary, store: Store) -> dict[str, Any]:
    """The run's record, or its summary, with the paths of its output and log."""
    table: dict[str, Any] = {
        name: msgspec.to_builtins(getattr(run, name))
        for name in run.__struct_fields__
        if name not in ("record", "sketch", "measured")
    }
    table["path"] = store.address(run.location) if run.output else None
    table["log"] = store.address(run.location, LOG)
    return table


def run_page(run: RunManifest, store: Store) -> list[str]:
    """Everything about one run, for reading."""
    facts = [
        ["run", run.run],
        ["stage", f"{run.pipeline}:{run.stage}"],
        ["result", "succeeded" if run.result == "succeeded" else f"failed: it {run.failure}"],
        ["why", run.reason],
        ["when", f"{run.started} to {run.finished} ({duration(run.seconds)})"],
        ["where", ", ".join(filter(None, (run.host, f"runner {run.runner}", run.environment)))],
        ["by", run.user or "-"],
        ["project", run.project or "-"],
        ["commit", (run.commit or "-") + (" with changes on top" if run.dirty else "")],
        ["component", f"{run.component} at {run.version}"],
        ["memory", size(run.peak_memory) if run.peak_memory else "-"],
        *([["image", run.image]] if run.image else []),
        *([["refresh", run.refresh]] if run.refresh else []),
        *([["variables", ", ".join(run.env)]] if run.env else []),
        ["recipe key", run.keys.recipe],
        ["content key", run.keys.content],
    ]
    lines = columns(facts, indent="")
    lines += ["parameters", *columns([[n, word(v)] for n, v in sorted(run.parameters.items())])]
    lines += ["inputs", *columns([[i.label, i.digest, i.origin] for i in run.inputs])]
    if run.output:
        what = f"{count(len(run.output.files), 'file')}, {size(run.output.bytes)}"
        collection = store.collected(run.location)
        place = f"collected: {collection.when} by {collection.by}" if collection else ""
        place = place or store.address(run.location)
        lines += [f"output {run.output.digest} ({what})", f"  {place}"]
        lines += columns([[e.path, size(e.size), e.sha256] for e in run.output.files])
    return lines + _log(run, store)


def _log(run: RunManifest, store: Store) -> list[str]:
    path = store.log_path(run.location)
    fault = store.log_fault(run)
    if fault and os.path.lexists(path):
        say(f"warning: run {run.run}: {fault}")
    content = store.read_log(run.location)
    if not isinstance(content, bytes):
        return [f"log ({'unreadable' if content else 'missing'}: {path})"]
    lines_written = content.decode(errors="replace").splitlines()
    lines = [f"log {path}"]
    if len(lines_written) > MOST_LOG_LINES:
        lines.append(f"  … {len(lines_written) - MOST_LOG_LINES} lines before these")
    return lines + [f"  {line}" for line in lines_written[-MOST_LOG_LINES:]]


LIMIT = 20


class History(DaintreeCommand):
    """Lists runs, newest first."""

    doc_usage = "[PIPELINE[:STAGE]] [--limit N] [--json]"
    doc_description = "Newest first. A stage that was a hit has not run, so it is not listed again."
    cmd_options = (
        option(
            "limit",
            f"how many runs at most (default {LIMIT}, 0: all)",
            type=int,
            short="l",
            default=LIMIT,
        ),
        *shared("json"),
    )
    names = (0, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        limit = options["limit"]
        if limit < 0:
            raise UsageError(f"--limit {limit}: expected 0 or more", hint="0 lists all runs")
        store = open_store(self.settings)
        pipeline, _, stage = (names[0] if names else "").partition(":")
        runs = list(islice(runs_of(store, pipeline, stage, limit), limit or None))
        if options["json"]:
            print_json({"runs": [run_as_json(run, store) for run in runs]})
        elif runs:
            print("\n".join(history_table(runs, screen_width())))
        else:
            print("no run recorded")


def runs_of(store: Store, pipeline: str, stage: str, expected: int = 1) -> Iterator[HistoryEntry]:
    """The runs of a pipeline ("" for all) or of one of its stages, newest first, read as they are taken, the first `expected` together.

    Raises UsageError for a pipeline or stage without a run.
    """
    if stage or "/" in pipeline:
        check_recorded(store, pipeline, stage)
    runs = store.history(pipeline, stage, expected)
    first = next(runs, None)
    if first is not None:
        return chain([first], runs)
    # Whoever finds something need not ask a bucket for the names again.
    check_recorded(store, pipeline, stage)
    return runs


def check_recorded(store: Store, pipeline: str, stage: str) -> None:
    """Raise UsageError for a pipeline ("" for all) or a stage without a run."""
    is_component = "/" in pipeline
    pairs = [] if is_component else store.records.stages_with_history(pipeline or None)
    if pipeline and not pairs:
        known = sorted({name for name, _ in store.records.stages_with_history()})
        raise UsageError(
            f"no run of a pipeline {pipeline!r} is recorded",
            hint=(is_component and component_hint(find_project(Path.cwd()), pipeline))
            or nearest(pipeline, known),
        )
    if stage and (pipeline, stage) not in pairs:
        raise UsageError(
            f"no run of a stage {stage!r} of {pipeline} is recorded",
            hint=nearest(stage, [name for _, name in pairs]),
        )


def _show_directory(
    directory: str, origins: Mapping[str, Origin], intact: bool, store: Store, *, as_json: bool
) -> None:
    if as_json:
        runs = {name: msgspec.to_builtins(origin) for name, origin in origins.items()}
        print_json({"directory": directory, "changed": not intact, "runs": runs})
        return
    if not intact:
        say(f"warning: files in {directory} have changed since they were copied")
    for place, (name, origin) in enumerate(sorted(origins.items())):
        run = store.read_run(origin.location)
        page = run_page(run, store) if run else _origin_page(origin)
        swept = [[name, word(value)] for name, value in origin.combination.items()]
        page = [*(["combination", *columns(swept)] if swept else []), *page]
        print("\n".join([*[""][:place], f"{Path(directory, name)} is the output of", *page]))


def _origin_page(origin: Origin) -> list[str]:
    """The run as the directory's marker has it: the store here has not."""
    facts = [
        ["run", f"{origin.run} (which this store does not have)"],
        ["stage", f"{origin.pipeline}:{origin.stage}"],
        ["commit", (origin.commit or "-") + (" with changes on top" if origin.dirty else "")],
    ]
    parameters = [[name, word(value)] for name, value in sorted(origin.parameters.items())]
    return [*columns(facts, indent=""), "parameters", *columns(parameters)]


class Show(DaintreeCommand):
    """Shows one run whole."""

    doc_usage = "RUN | PIPELINE:STAGE | PIPELINE[:STAGE]@NAME | DIRECTORY [--json]"
    doc_description = (
        "RUN is a run id, as `doit history` lists them, or its beginning; PIPELINE:STAGE is its latest run; "
        "@NAME the run that has the name, of the pipeline's last stage if none is given; "
        "DIRECTORY one that a run's output was copied to, such as output/churn: the runs that it is of."
    )
    cmd_options = shared("json")
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        store = open_store(self.settings)
        directory = Path(names[0])
        origins, intact = origins_of(directory)
        if not origins and directory.name != names[0]:
            raise UsageError(
                f"no run's output was copied to {directory}",
                hint=component_hint(self.root, names[0])
                or "`doit history` lists the runs that can be shown",
            )
        if origins:
            _show_directory(names[0], origins, intact, store, as_json=options["json"])
            return
        address = parse_address(names[0])
        run = find_run(store, address, pipeline_of(self.root, address))
        if options["json"]:
            collection = store.collected(run.location)
            table = run_as_json(run, store)
            if collection:
                table["path"] = None
                table["collected"] = {"when": collection.when, "by": collection.by}
            print_json(table)
        else:
            print("\n".join(run_page(run, store)))


class OutputPath(DaintreeCommand):
    """Prints the path of a stage's output."""

    name = "path"
    doc_usage = "PIPELINE[:STAGE][@NAME] | RUN [--set stage.parameter=value …]"
    doc_description = (
        "Prints one path alone: where the output lies that the plan finds for the stage (default: the last one); "
        "with @NAME that of the run that has the name, of RUN, a run id or its beginning, that run's, whatever the plan says."
    )
    cmd_options = shared("source", "set", "runner", "verify")
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        target, *words = names
        request = request_of(target.partition(":")[0], options, words)
        if address := fixed_address(self.root, target, request):
            store = open_store(self.settings, verify=request.verify)
            run = find_output(store, address, pipeline_of(self.root, address))
            print(store.output_path(index_record_of(run)))
            return
        stage = target.partition(":")[2]
        session, plan = plan_request(self.settings, request)
        bound = plan.stage(stage) if stage else plan.stages[-1]
        decision = plan.decisions[bound.name]
        if not isinstance(decision, Hit):
            raise UsageError(
                f"{request.pipeline}:{bound.name} has no output in the store now: {reason(session, plan, bound, decision)}",
                hint=f"doit run {request.pipeline}:{bound.name}",
            )
        print(session.store.output_path(decision.record))


def diff_lines(diff: RunDifference, *, patches: bool) -> list[str]:
    """The difference for reading: a heading for each kind that differs; with `patches` the component's files line by line."""
    first, second = short_run(diff.first), short_run(diff.second)
    lines = [f"{diff.stages[0]} {first} → {diff.stages[1]} {second}"]
    sections: dict[str, list[list[str]]] = {
        "run": [_row(change) for change in diff.facts],
        "parameters": [_row(change) for change in diff.parameters],
        "component files": [[change.path, change.change] for change in diff.files],
        "libraries": [[change.path, change.change] for change in diff.libraries],
        "locked packages": [_row(change) for change in diff.packages],
        "base image": [_row(change) for change in diff.bases],
        "inputs": [
            [change.name or "source", "differs: " + ("; ".join(change.causes) or "other bytes")]
            for change in diff.inputs
        ],
        "outputs": [_output_row(change) for change in diff.outputs],
        "metrics": [_metric_row(change) for change in diff.metrics],
    }
    for title, rows in sections.items():
        if rows:
            lines += [title, *columns(rows)]
    if any(change.name == "result" for change in diff.facts):
        lines.append("a run that failed has no output: outputs and metrics are not compared")
    if len(lines) == 1:
        one = diff.first == diff.second
        lines.append("both are this run" if one else "nothing differs but when they ran")
    before, after = diff.seconds
    lines.append(f"took {duration(before)} → {duration(after)}")
    if patches:
        for change in (*diff.files, *diff.libraries):
            lines += [one_line(line) for line in change.patch]
    return lines


def _row(change: Change) -> list[str]:
    return [change.name, f"{_value(change.before)} → {_value(change.after)}"]


def _value(value: object) -> str:
    if isinstance(value, str):
        return value or "-"
    return word(value) if isinstance(value, bool | int | float) else "-"


def _metric_row(change: Change) -> list[str]:
    before, after = change.before, change.after
    gained = ""
    if isinstance(before, int | float) and isinstance(after, int | float):
        gained = f" ({number(after - before, '+')})"
    return [change.name, f"{_value(before)} → {_value(after)}{gained}"]


def _output_row(change: FileChange) -> list[str]:
    sizes = [size(bytes) if bytes is not None else "-" for bytes in (change.before, change.after)]
    parts = [f"{sizes[0]} → {sizes[1]}"]
    if change.rows_before is not None and change.rows_after is not None:
        parts.append(f"{change.rows_before} → {count(change.rows_after, 'row')}")
    parts += [f"+{name}" for name in change.columns_added]
    parts += [f"-{name}" for name in change.columns_removed]
    return [change.path, change.change, ", ".join(parts)]


class Diff(DaintreeCommand):
    """Compares two runs: what went into them, what came out, and what before them differs."""

    doc_usage = "RUN RUN | PIPELINE:STAGE [--patch] [--json]"
    doc_description = (
        "RUN is a run id or its beginning, PIPELINE:STAGE its latest run, or PIPELINE[:STAGE]@NAME; PIPELINE:STAGE alone compares that stage's "
        "last two runs. Shown is what differs: parameters, the component's files, libraries, locked packages and base image, inputs down to the first "
        "stage that differs, output files (rows and columns of CSV), metrics, seconds."
    )
    cmd_options = (
        option(
            "patch", "print the changed files of the component line by line", type=bool, short="p"
        ),
        *shared("json"),
    )
    names = (1, 2)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        store = open_store(self.settings)
        addresses = [parse_address(text, self.root) for text in names]
        if len(addresses) == 1:
            first, second = self._last_two(store, addresses[0])
        else:
            first, second = (find_run(store, a, pipeline_of(self.root, a)) for a in addresses)
        diff = difference(store, self.settings, first, second)
        print_result(
            options["json"],
            lambda: msgspec.to_builtins(diff),
            lambda: diff_lines(diff, patches=options["patch"]),
        )

    def _last_two(self, store: Store, address: Address) -> list[RunManifest]:
        if not address.stage or address.name:
            raise UsageError(
                f"doit diff {address}: with which run?",
                hint=f"doit diff {address} RUN, or PIPELINE:STAGE for its last two",
            )
        entries = islice(store.history(address.subject, address.stage), 2)
        runs = [store.read_run(entry.location) for entry in entries]
        last_two = [run for run in reversed(runs) if run is not None]
        if len(last_two) < 2:
            raise UsageError(
                f"{address} has no two runs to compare",
                hint=f"doit history {address} lists its runs",
            )
        return last_two
