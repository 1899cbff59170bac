"""Runs as pages show them: a table to filter and sort, one run with where it came from, and numbers over time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from daintree.pages.project import Fault
from daintree.pipeline.reasons import word
from daintree.store.layout import LOG
from daintree.store.records import HistoryEntry, InputRecord, RunManifest, short_run
from daintree.store.store import Store

ROWS = 100
MOST_COLUMNS = 4
LOG_HEAD, LOG_TAIL = 64, 200
LOG_HEAD_BYTES, LOG_TAIL_BYTES = 16 << 10, 64 << 10

_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*")


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Words that choose runs: each a stage, a result, or a part of the person, commit or run id; or conditions on parameters and metrics.

    `where` has conditions such as `epochs=20` or `test.hr@10>=0.5`, separated by spaces.
    """

    stage: str = ""
    result: str = ""
    by: str = ""
    commit: str = ""
    where: str = ""
    sort: str = "-time"
    page: int = 1

    @property
    def conditions(self) -> tuple[tuple[str, str, str], ...]:
        """Each condition as its name, operator and value; a word without an operator is left out."""
        matches = (_CONDITION.fullmatch(part) for part in self.where.split())
        return tuple((m[1], m[2], m[3]) for m in matches if m)


class RunTable(msgspec.Struct, frozen=True, kw_only=True):
    """The page of a table of runs: the rows, all that match, and the columns that are worth showing."""

    rows: tuple[HistoryEntry, ...]
    matching: int
    total: int
    pages: int
    parameters: tuple[str, ...]
    metrics: tuple[str, ...]
    stages: tuple[str, ...]


def run_table(runs: Sequence[HistoryEntry], chosen: Filter, rows: int = ROWS) -> RunTable:
    """The runs that the filter lets through, sorted, and the page of them that it asks for."""
    matching = [run for run in runs if _matches(run, chosen)]
    descending = chosen.sort.startswith("-")
    column = chosen.sort.lstrip("-")
    key = _sort_key(column)
    there = [run for run in matching if key(run) is not None]
    there.sort(key=lambda run: key(run), reverse=descending)  # type: ignore[arg-type, return-value]
    ordered = there + [run for run in matching if key(run) is None]
    pages = max(1, -(-len(ordered) // rows))
    page = min(max(1, chosen.page), pages)
    shown = ordered[(page - 1) * rows : page * rows]
    return RunTable(
        rows=tuple(shown),
        matching=len(ordered),
        total=len(runs),
        pages=pages,
        parameters=tuple(varied_parameters(matching)[:6]),
        metrics=tuple(_usual_metrics(matching)),
        stages=tuple(sorted({run.stage for run in runs})),
    )


def varied_parameters(runs: Iterable[HistoryEntry]) -> list[str]:
    """The names of parameters that do not have one value in all runs of a stage, sorted."""
    values: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for name, value in run.parameters.items():
            values.setdefault((run.stage, name), set()).add(word(value))
    return sorted({name for (_, name), words in values.items() if len(words) > 1})


def _usual_metrics(runs: Iterable[HistoryEntry]) -> list[str]:
    """A few metrics for columns: the least nested, then those that most runs have."""
    counts: dict[str, int] = {}
    for run in runs:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (name.count("."), -counts[name], name))[:MOST_COLUMNS]


def _matches(run: HistoryEntry, chosen: Filter) -> bool:
    plain = (
        (not chosen.stage or run.stage == chosen.stage)
        and (not chosen.result or run.result == chosen.result)
        and chosen.by.lower() in f"{run.user}@{run.host}".lower()
        and run.commit.startswith(chosen.commit.strip().lower())
    )
    return plain and all(_holds(run, *condition) for condition in chosen.conditions)


def _holds(run: HistoryEntry, name: str, operator: str, value: str) -> bool:
    name = name.removeprefix(f"{run.stage}.")
    measured = run.metrics.get(name, run.parameters.get(name))
    if measured is None:
        return operator == "!="
    try:
        left, right = float(measured), float(value)
    except (TypeError, ValueError):
        same = value in (word(measured), str(measured))
        return same if operator == "=" else not same if operator == "!=" else False
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }[operator]


def _sort_key(column: str) -> Callable[[HistoryEntry], float | str | None]:
    plain: dict[str, Callable[[HistoryEntry], float | str | None]] = {
        "time": lambda run: run.run,
        "stage": lambda run: run.stage,
        "result": lambda run: run.result,
        "took": lambda run: run.seconds,
        "by": lambda run: run.user,
        "commit": lambda run: run.commit,
    }
    if column in plain:
        return plain[column]

    def value(run: HistoryEntry) -> float | str | None:
        number = run.metrics.get(column, run.parameters.get(column))
        return float(number) if isinstance(number, int | float) else None

    return value


class Parent(msgspec.Struct, frozen=True):
    """An input of a run: its label, its digest, its origin, and the run it came from ("" for none)."""

    name: str
    digest: str
    origin: str
    run: str = ""


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run with the runs around it: those it came from, those that read its output, and its log's first and last lines.

    `place` is where its output lies, `commands` reopen it.
    """

    run: RunManifest
    parents: tuple[Parent, ...]
    readers: tuple[HistoryEntry, ...]
    log: tuple[str, ...]
    log_end: tuple[str, ...]
    log_left_out: int
    log_fault: str
    place: str
    commands: tuple[tuple[str, str], ...]


def run_view(store: Store, run: RunManifest, history: Sequence[HistoryEntry]) -> RunView:
    """The run as its page shows it, with its pipeline's history. Raises StoreError."""
    head, tail, left_out, fault = read_log(store, run)
    return RunView(
        run=run,
        parents=tuple(_parent(store, record) for record in run.inputs),
        readers=tuple(_readers(run, history)),
        log=tuple(head),
        log_end=tuple(tail),
        log_left_out=left_out,
        log_fault=fault,
        place=store.address(run.location),
        commands=_commands(run),
    )


def _parent(store: Store, record: InputRecord) -> Parent:
    manifest = None if record.is_source else store.read_run(record.origin)
    run = manifest.run if manifest else ""
    return Parent(record.label, record.digest, record.origin, run)


def _readers(run: RunManifest, history: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """The runs of the history that read this run's output."""
    if run.output is None:
        return []
    return [
        entry
        for entry in history
        if any(record.origin == run.location for record in entry.inputs if not record.is_source)
    ]


def _commands(run: RunManifest) -> tuple[tuple[str, str], ...]:
    target = f"{run.pipeline}:{run.stage}"
    commands = [("show it in a terminal", f"doit show {short_run(run.run)}")]
    if run.output:
        commands.append(("copy its inputs and output out of the store", f"doit pull {target}"))
    commands.append(("open its environment on its inputs", f"doit shell {target}"))
    if run.commit and not run.dirty:
        commands.append(("go to the files that it ran", f"git checkout {run.commit[:12]}"))
    commands.append(("see the runs of this stage", f"doit history {target}"))
    return tuple(commands)


def read_log(store: Store, run: RunManifest) -> tuple[list[str], list[str], int, str]:
    """The first and the last lines of a run's log, bounded; the bytes left out between; and what is wrong with it ("": nothing)."""
    path = store.log_path(run.location)
    try:
        with open(path, "rb") as file:
            length = file.seek(0, 2)
            file.seek(0)
            head = file.read(LOG_HEAD_BYTES)
            start = max(len(head), length - LOG_TAIL_BYTES)
            file.seek(start)
            tail = file.read(LOG_TAIL_BYTES)
    except OSError:
        return [], [], 0, f"its {LOG} is missing"
    fault = store.log_fault(run) if length < (8 << 20) else ""
    if start == len(head):
        lines = _lines(head + tail)
        if len(lines) <= LOG_HEAD + LOG_TAIL:
            return lines, [], 0, fault
        left_out = lines[LOG_HEAD:-LOG_TAIL]
        return lines[:LOG_HEAD], lines[-LOG_TAIL:], sum(map(len, left_out)), fault
    first, last = _lines(head)[:LOG_HEAD], _lines(tail)[-LOG_TAIL:]
    shown = sum(len(line.encode("utf-8", "replace")) + 1 for line in [*first, *last])
    return first, last, max(0, length - shown), fault


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a chart: its name, where it goes along and up, and a text for each point."""

    name: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    text: tuple[str, ...] = ()


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart: its title, the axis along, and its lines."""

    title: str
    along: str
    series: tuple[Series, ...]
    fault: Fault | None = None


def metric_charts(runs: Sequence[HistoryEntry]) -> list[Chart]:
    """A chart over time for each stage's metric, oldest run first; of runs that measured something."""
    points: dict[str, dict[str, list[HistoryEntry]]] = {}
    for run in sorted(runs, key=lambda run: run.run):
        for name in run.metrics:
            points.setdefault(name, {}).setdefault(run.stage, []).append(run)
    varied = varied_parameters(runs)
    return [
        Chart(
            title=name,
            along="time",
            series=tuple(
                Series(
                    name=stage,
                    x=tuple(run.finished for run in measured),
                    y=tuple(run.metrics[name] for run in measured),
                    text=tuple(_point(run, varied) for run in measured),
                )
                for stage, measured in sorted(stages.items())
            ),
        )
        for name, stages in sorted(points.items(), key=lambda item: (item[0].count("."), item[0]))
    ]


def _point(run: HistoryEntry, varied: Sequence[str]) -> str:
    settings = [f"{n} {word(run.parameters[n])}" for n in varied if n in run.parameters]
    return ", ".join([short_run(run.run), *([run.commit[:8]] if run.commit else []), *settings])


def curve_charts(tables: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> list[Chart]:
    """Charts of tables that several runs wrote: for each file and column one, with a line for each run.

    `tables` are by file and column-joined header, then by run: the columns, the first of which goes along.
    """
    charts = []
    for title, by_run in sorted(tables.items()):
        file, along, *names = title.split("\n")
        for place, name in enumerate(names, 1):
            series = tuple(
                Series(name=run, x=tuple(columns[0]), y=tuple(columns[place]))
                for run, columns in by_run.items()
            )
            charts.append(Chart(title=f"{name} ({file})", along=along, series=series))
    return charts
