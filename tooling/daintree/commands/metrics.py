"""`doit metrics`: numbers that runs measured, side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from daintree.commands.command import DaintreeCommand, option, print_json, shared
from daintree.commands.history import Summary, check_recorded
from daintree.digest import short
from daintree.errors import StoreError, UsageError, nearest
from daintree.settings import Settings
from daintree.spec.component import Scalar, as_argument, word
from daintree.store.records import METRICS as METRICS_FILE
from daintree.store.records import (
    HistoryEntry,
    IndexRecord,
    RunManifest,
    index_record_of,
    numbers_in,
    short_run,
)
from daintree.store.store import Store, open_store
from daintree.terminal import columns, fitted, say, screen_width

if TYPE_CHECKING:
    from daintree.store.run_index import RunIndex

Metrics = dict[str, float]
# In the place of a run, where a sweep's combination has none.
NO_OUTPUT = "no output"
# Reads the run at a location, if it is there.
Read = Callable[[str], Summary | None]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A run with what it measured, and what decided it: the stages before it count as well.

    `parameters` are named `stage.parameter`, `versions` by stage. `previous` is the earlier run of the stage that differs
    in the fewest of all that decides ("" for the first), `difference` what each metric that both have gained on it.
    """

    run: str
    stage: str
    metrics: Metrics
    previous: str = ""
    difference: Metrics = {}
    parameters: dict[str, Scalar] = {}
    versions: dict[str, str] = {}
    source: str = ""
    commit: str = ""
    dirty: bool = False
    finished: str = ""


def read_metrics(run: HistoryEntry, store: Store) -> Metrics | None:
    """The numbers in the `metrics.json` of a run's output, by dotted names such as `test.hr@10`; from its history entry if they are there.

    Lists and whatever is no number are left out. None where the run has no such file. Raises ValueError when
    it is no JSON object or a number is too large, ArtifactDamaged or OSError when it cannot be read.
    """
    if not run.measured:
        return None
    if run.metrics and not run.abridged:
        return run.metrics
    record = store.read_run(run.location)
    if record is None or record.output is None:
        raise StoreError("the run's record is not readable")
    return numbers_in((store.output_path(index_record_of(record)) / METRICS_FILE).read_bytes())


def measured(
    runs: Sequence[tuple[Summary, Metrics]], store: Store, index: RunIndex | None = None
) -> list[Measured]:
    """The runs, newest first, with all that decided them and the difference to the earlier run that is most like each.

    The runs before them are read from the index, as far as it knows them.
    """

    @cache
    def read(location: str) -> Summary | None:
        entry = index.at(location) if index else None
        return store.read_run(location) if entry is None or entry.abridged else entry

    rows = [_with_upstream(run, metrics, read) for run, metrics in runs]
    return [_compared(row, rows[place + 1 :]) for place, row in enumerate(rows)]


def _with_upstream(run: Summary, metrics: Metrics, read: Read) -> Measured:
    upstream = _upstream(run, read)
    sources = {i.origin for stage in upstream for i in stage.inputs if i.is_source}
    return Measured(
        run=run.run,
        stage=run.stage,
        metrics=metrics,
        parameters={f"{s.stage}.{n}": v for s in upstream for n, v in s.parameters.items()},
        versions={stage.stage: stage.version for stage in upstream},
        source=", ".join(sorted(sources)),
        commit=run.commit,
        dirty=run.dirty,
        finished=run.finished,
    )


def _compared(row: Measured, earlier: Sequence[Measured]) -> Measured:
    """The row beside the earlier run of its stage that differs in the fewest parameters, versions and sources.

    Of several that differ in as few, it is the latest.
    """
    facts = _deciding(row)

    def differences(other: Measured) -> int:
        others = _deciding(other)
        return sum(facts.get(name) != others.get(name) for name in facts.keys() | others.keys())

    nearest_run = min(
        (other for other in earlier if other.stage == row.stage), key=differences, default=None
    )
    if nearest_run is None:
        return row
    before = nearest_run.metrics
    gained = {n: round(v - before[n], 9) for n, v in row.metrics.items() if n in before}
    return msgspec.structs.replace(row, previous=nearest_run.run, difference=gained)


def _upstream(run: Summary, read: Read) -> list[Summary]:
    """The run and those that its inputs came from, as far as the store still has them; each stage once."""
    runs: dict[str, Summary] = {run.location: run}
    waiting: list[Summary] = [run]
    while waiting:
        for record in waiting.pop().inputs:
            if not record.is_source and record.origin not in runs:
                origin = read(record.origin)
                if origin is not None:
                    runs[record.origin] = origin
                    waiting.append(origin)
    return list(runs.values())


def sweep_table(
    records: Sequence[IndexRecord],
    store: Store,
    missing: Sequence[tuple[str, dict[str, Scalar]]],
    swept: Sequence[str],
    wanted: Sequence[str],
    *,
    lowest: bool,
) -> list[str]:
    """The metrics of these runs, best first by those wanted, with the values of the parameters that were `swept`; then the stages that are `missing`, with their values.

    [] where no run has metrics and none is missing. Raises UsageError for a metric that no run has.
    """
    runs: list[tuple[RunManifest, Metrics]] = []
    newest_first = sorted(records, key=lambda record: record.run, reverse=True)
    for location in dict.fromkeys(record.location for record in newest_first):
        run = store.read_run(location)
        files = {entry.path for entry in run.output.files} if run and run.output else set()
        if run and METRICS_FILE in files:
            path = store.output_path(index_record_of(run)) / METRICS_FILE
            runs.append((run, numbers_in(path.read_bytes())))
    rows = measured(runs, store)
    chosen = chosen_metrics(rows, wanted) if any(row.metrics for row in rows) else []
    rows = best_first(rows, chosen, lowest=lowest) if chosen else []
    rows += [
        Measured(run=NO_OUTPUT, stage=stage, metrics={}, parameters=values)
        for stage, values in missing
    ]
    return metrics_table(rows, chosen, screen_width(), swept) if rows else []


def best_first(rows: Sequence[Measured], metrics: Sequence[str], *, lowest: bool) -> list[Measured]:
    """The runs by the first metric, equal ones by the next; those without it last, and those equal in all in the order given."""

    def place(row: Measured) -> list[tuple[bool, float]]:
        values = [(name not in row.metrics, row.metrics.get(name, 0.0)) for name in metrics]
        return [(missing, value if lowest else -value) for missing, value in values]

    return sorted(rows, key=place)


def metrics_table(
    rows: Sequence[Measured],
    chosen: Sequence[str],
    width: int | None = None,
    always: Collection[str] = (),
) -> list[str]:
    """One row per run: the chosen metrics, each with its difference to the run most like it, what differs among the runs, and the parameters `always` shown.

    Values have four digits behind the point, or as many as it takes to tell them apart; whole numbers none. With a `width`, lines are cut to it.
    """
    facts = varied_facts(rows, always)
    places = {
        name: _places([r.metrics[name] for r in rows if name in r.metrics]) for name in chosen
    }
    head = ["run", "stage", *chosen, "commit", "differs in"]
    table = [
        [
            row.run if row.run == NO_OUTPUT else short_run(row.run),
            row.stage,
            *(_cell(row, name, places[name]) for name in chosen),
            (row.commit[:8] + ("+" if row.dirty else "")) or "-",
            " ".join(f"{name}={text}" for name, text in varied.items()) or "-",
        ]
        for row, varied in zip(rows, facts, strict=True)
    ]
    lines = columns([head, *table], indent="")
    return fitted(lines, width)


def metrics_csv(rows: Sequence[Measured]) -> str:
    """The runs as CSV: every metric, and every parameter, version and source, with all its digits; `dirty`: with changes on top of the commit."""
    import csv
    import io

    facts = [_deciding(row, as_argument) for row in rows]
    metrics = sorted({name for row in rows for name in row.metrics})
    names = sorted({name for row in facts for name in row})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "stage", *metrics, *names, "commit", "dirty", "finished"])
    for row, deciding in zip(rows, facts, strict=True):
        values = [repr(row.metrics[name]) if name in row.metrics else "" for name in metrics]
        cells = [deciding.get(name, "") for name in names]
        dirty = as_argument(row.dirty)
        writer.writerow([row.run, row.stage, *values, *cells, row.commit, dirty, row.finished])
    return text.getvalue()


def varied_facts(rows: Sequence[Measured], always: Collection[str] = ()) -> list[dict[str, str]]:
    """For each run those facts that decide it and are not the same for all, and those that are `always` told."""
    deciding = [_deciding(row) for row in rows]
    names = sorted({name for facts in deciding for name in facts})
    runs = [facts for row, facts in zip(rows, deciding, strict=True) if row.run != NO_OUTPUT]
    varied = [
        name for name in names if name in always or len({facts.get(name) for facts in runs}) > 1
    ]
    return [{name: facts[name] for name in varied if name in facts} for facts in deciding]


# Digits behind the point: as few and as many.
FEWEST_PLACES, MOST_PLACES = 4, 12


def _places(values: Sequence[float]) -> int:
    """The digits behind the point that tell different values apart; none where all are whole."""
    if all(map(float.is_integer, map(float, values))):
        return 0
    different = len(set(values))
    for places in range(FEWEST_PLACES, MOST_PLACES):
        if len({f"{value:.{places}f}" for value in values}) == different:
            return places
    return MOST_PLACES


def _deciding(row: Measured, text: Callable[[Scalar], str] = word) -> dict[str, str]:
    facts = {name: text(value) for name, value in row.parameters.items()}
    facts |= {f"{stage}@version": short(version, 8) for stage, version in row.versions.items()}
    return facts | ({"source": text(row.source)} if row.source else {})


def _cell(row: Measured, name: str, places: int) -> str:
    if name not in row.metrics:
        return "-"
    gained = row.difference.get(name)
    difference = f" ({gained:+.{places}f})" if gained is not None else ""
    return f"{row.metrics[name]:.{places}f}{difference}"


# Ranked by validation: who picks the best of many runs by the test purchases has no test any more.
USUAL = ("valid.ndcg@10", "test.hr@10", "test.ndcg@10")
MOST_COLUMNS = 4


class MetricsCommand(DaintreeCommand):
    """Tables the metrics of past runs."""

    name = "metrics"
    doc_usage = "PIPELINE[:STAGE] [--metric NAME …] [--lowest] [--json | --csv]"
    doc_description = (
        f"Reads the `{METRICS_FILE}` in the outputs of past runs. Best first by the first metric, with the difference to the "
        "earlier run that differs in the fewest parameters in brackets, and with the parameters, component versions and sources in which the runs differ."
    )
    cmd_options = (
        *shared("metric", "lowest"),
        option("csv", "print every metric and parameter as CSV, for spreadsheets", type=bool),
        *shared("json"),
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        rows = measured_runs(self.settings, names[0])
        chosen = chosen_metrics(rows, options["metric"])
        rows = best_first(rows, chosen, lowest=options["lowest"])
        if options["csv"]:
            print(metrics_csv(rows), end="")
        elif options["json"]:
            print_json({"by": chosen[0], "runs": [_as_json(row) for row in rows]})
        else:
            print("\n".join(metrics_table(rows, chosen, screen_width())))


def measured_runs(settings: Settings, target: str) -> list[Measured]:
    """The runs of a pipeline or stage that have metrics, newest first, with them. Raises UsageError where there are none."""
    from daintree.store.run_index import Query, opened

    store = open_store(settings)
    pipeline, _, stage = target.partition(":")
    check_recorded(store, pipeline, stage)
    with opened(store, settings.cache) as index:
        index.refresh(pipeline)
        chosen = index.find(Query(pipeline=pipeline, stage=stage, measured=True, limit=0))
        if index.is_lost:
            say(f"note: the index of runs cannot be written below {settings.cache}")
        read = [(run, _read(run, store)) for run in chosen.runs]
        rows = measured(
            [(run, numbers) for run, numbers in read if numbers is not None], store, index
        )
    if not rows:
        raise UsageError(
            f"no run of {target} has metrics",
            hint=f"a stage's metrics are a file {METRICS_FILE} in its output: one JSON object",
        )
    return rows


def _read(run: HistoryEntry, store: Store) -> Metrics | None:
    """The run's metrics; None, and a word on stderr, where they cannot be read: one lost output hides no other."""
    try:
        return read_metrics(run, store)
    except (StoreError, OSError, ValueError) as error:
        say(f"warning: {run.pipeline}:{run.stage} {run.run}: {METRICS_FILE}: {error}")
        return None


def chosen_metrics(rows: Sequence[Measured], wanted: Sequence[str]) -> list[str]:
    """The metrics to show: those wanted, else the usual ones, else the first few.

    Raises UsageError for one that no run has, and when no run has any number.
    """
    known = sorted({name for row in rows for name in row.metrics})
    for name in wanted:
        if name not in known:
            raise UsageError(f"no run has a metric {name!r}", hint=nearest(name, known))
    usual = [name for name in USUAL if name in known]
    chosen = [*dict.fromkeys(wanted)] or usual or known[:MOST_COLUMNS]
    if not chosen:
        raise UsageError(f"no {METRICS_FILE} holds a number")
    return chosen


def _as_json(row: Measured) -> dict[str, Any]:
    table: dict[str, Any] = msgspec.to_builtins(row)
    return {**table, "previous": row.previous or None}
