"""`doit history`, `doit show` and `doit path`: runs of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from daintree.commands.command import (
    JSON_OPTION,
    PLANNING,
    VERIFY,
    DaintreeCommand,
    option,
    plan_request,
    print_json,
    request_of,
)
from daintree.commands.name import fixed_address
from daintree.errors import UsageError
from daintree.pipeline.addresses import find_output, find_run, parse_address, pipeline_of
from daintree.pipeline.decisions import Hit
from daintree.pipeline.output_directory import Origin, origins_of
from daintree.pipeline.reasons import reason
from daintree.settings import find_project
from daintree.spec.component import word
from daintree.spec.pipeline import component_hint
from daintree.store.layout import LOG
from daintree.store.records import HistoryEntry, RunManifest, index_record_of, short_run
from daintree.store.store import Store, open_store
from daintree.terminal import columns, count, duration, fitted, nearest, say, screen_width, size

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
        ["where", f"{run.host}, runner {run.runner}, {run.environment}"],
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
    if fault and path.exists():
        say(f"warning: run {run.run}: {fault}")
    try:
        lines_written = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [f"log (missing: {path})"]
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
        option("limit", f"how many runs at most (default {LIMIT}, 0: all)", type=int, short="l"),
        JSON_OPTION,
    )
    names = (0, 1)

    def get_options(self) -> list[Any]:
        """With the limit's default."""
        options = super().get_options()
        options[0].set_default(LIMIT)
        return options

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Collect and print. Raises UsageError for a limit below 0."""
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
    """Print which runs a directory's files are of."""
    if as_json:
        runs = {name: msgspec.to_builtins(origin) for name, origin in origins.items()}
        print_json({"directory": directory, "changed": not intact, "runs": runs})
        return
    if not intact:
        say(f"warning: files in {directory} have changed since they were copied")
    for number, (name, origin) in enumerate(sorted(origins.items())):
        run = store.read_run(origin.location)
        page = run_page(run, store) if run else _origin_page(origin)
        swept = [[name, word(value)] for name, value in origin.combination.items()]
        page = [*(["combination", *columns(swept)] if swept else []), *page]
        print("\n".join([*[""][:number], f"{Path(directory, name)} is the output of", *page]))


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
    cmd_options = (JSON_OPTION,)
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Find and print. Raises UsageError for a directory to which no run's output was copied."""
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
    cmd_options = (*PLANNING, VERIFY)
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Plan and print the path. Raises UsageError when the stage has no output now."""
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
