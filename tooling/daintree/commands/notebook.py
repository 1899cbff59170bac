"""The commands that a notebook calls, as functions of `import daintree`: paths, tables, metrics, runs and plans of the project around it."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from daintree.commands.command import fixed_address, plan_request
from daintree.errors import DaintreeError, UsageError, nearest
from daintree.pipeline.decisions import Hit
from daintree.pipeline.plan import Planned
from daintree.pipeline.reasons import reason
from daintree.pipeline.session import Request
from daintree.settings import Settings, find_project, read_settings
from daintree.spec.component import as_argument
from daintree.store.records import index_record_of, short_run
from daintree.terminal import duration

if TYPE_CHECKING:
    import pandas as pd

    from daintree.pipeline.addresses import Address

P = ParamSpec("P")
R = TypeVar("R")
Row = Mapping[str, Any]
# What all functions raise where the project, or the request, is at fault.
Error = DaintreeError


class Table(Sequence[Row]):
    """Rows with the same columns, which a notebook shows as a table; `frame` makes a DataFrame of them."""

    def __init__(self, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.title = title
        self.columns = [*columns]
        self._rows = [*rows]

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Table: ...
    def __getitem__(self, place: int | slice) -> Row | Table:
        """The row at a place, or a table of those in a slice."""
        if isinstance(place, slice):
            return Table(self.title, self.columns, self._rows[place])
        return self._rows[place]

    def __len__(self) -> int:
        return len(self._rows)

    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame. Raises UsageError where pandas is not installed."""
        return _pandas().DataFrame(self._rows, columns=self.columns)

    def __repr__(self) -> str:
        from daintree.terminal import columns

        return "\n".join([self.title, *columns([self.columns, *self._cells()])])

    def _repr_html_(self) -> str:
        """The table as HTML; whatever the rows hold is text in it."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
            for cells in self._cells()
        )
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self) -> Iterator[list[str]]:
        for row in self._rows:
            yield [_cell(name, row.get(name)) for name in self.columns]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "seconds":
        return duration(value)
    from daintree.pipeline.run_diff import number

    return number(value) if isinstance(value, float) else str(value)


def _with_hint(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function's errors show their hint, too, where a notebook prints them."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except DaintreeError as error:
            if error.hint and not getattr(error, "__notes__", ()):
                error.add_note(f"hint: {error.hint}")
            raise

    return call


@_with_hint
def output(target: str, *, set: Mapping[str, Any] | None = None, source: str = "") -> Path:
    """The directory with the output of `PIPELINE:STAGE` as the project is now, or of the pipeline's last stage.

    `set` holds other values of parameters, `{"train.epochs": 20}`; `source` another source. A stage that runs now would
    compute has none: UsageError says why, and what to run. Raises as planning does for anything else.
    `PIPELINE[:STAGE]@NAME` is the output of the run that has the name, or whose id begins so, whatever the plan says; a run's id that of this run.
    """
    name, stage = _names(target)
    settings, request = _settings(), _request(name, set, source)
    if address := fixed_address(settings.root, target, request, mark=""):
        return _output_of_run(settings, address)
    session, plan = _planned(name, set, source)
    bound = plan.stage(stage) if stage else plan.stages[-1]
    decision = plan.decisions[bound.name]
    if not isinstance(decision, Hit):
        why = reason(session, plan, bound, decision)
        raise UsageError(
            f"{name}:{bound.name} has no output in the store now: {why}",
            hint=f'daintree.run("{name}:{bound.name}"'
            + (f", set={dict(set)!r}" if set else "")
            + (f", source={source!r})" if source else ")"),
        )
    return session.store.output_path(decision.record)


@_with_hint
def read(target: str, file: str = "", **options: Any) -> pd.DataFrame:
    """A table of a stage's output: CSV, JSON lines or Parquet; without `file` the only one that it holds.

    In CSV, columns of numbers become numbers, but ids with leading zeros, and words such as NA, stay as they are. With
    `options` pandas' own reader gets these instead, and decides. Raises UsageError for a file that is not there or no table,
    and where pandas is missing, else as `output` does.
    """
    directory = output(target)
    path = directory / (file or _only_table(directory, target))
    if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
        there = [entry.relative_to(directory).as_posix() for entry in directory.rglob("*")]
        raise UsageError(f"the output of {target} has no file {file!r}", hint=nearest(file, there))
    pandas = _pandas()
    readers = {
        ".csv": pandas.read_csv if options else _read_csv,
        ".jsonl": functools.partial(pandas.read_json, lines=True),
        ".parquet": pandas.read_parquet,
    }
    if path.suffix not in readers:
        raise UsageError(
            f"{path.name} is no table that is known: {', '.join(readers)}",
            hint=f'daintree.output("{target}") / "{file}" is its path',
        )
    table: pd.DataFrame = readers[path.suffix](path, **options)
    return table


@_with_hint
def metrics(target: str, *, by: str = "", lowest: bool = False) -> Table:
    """The metrics of past runs of a pipeline or stage, best first by the metric `by`, with the parameters that differ.

    Raises UsageError where no run has any, or none has `by`.
    """
    from daintree.commands.metrics import best_first, chosen_metrics, measured_runs, varied_facts

    rows = measured_runs(_settings(), target)
    chosen = chosen_metrics(rows, [by] if by else [])
    first, rows = chosen[0], best_first(rows, chosen, lowest=lowest)
    facts = varied_facts(rows)
    names = [first, *sorted({name for row in rows for name in row.metrics} - {first})]
    varied = sorted({name for row in facts for name in row})
    table = [
        {"run": short_run(row.run), "stage": row.stage, **row.metrics, **differing}
        for row, differing in zip(rows, facts, strict=True)
    ]
    return Table(f"metrics of {target}", ["run", "stage", *names, *varied], table)


@_with_hint
def runs(target: str = "", *, limit: int = 20) -> Table:
    """The runs of a pipeline, a stage or ("") the whole project, newest first. Raises UsageError where there is none of that name."""
    from daintree.commands.history import runs_of
    from daintree.store.store import open_store

    store = open_store(_settings())
    table = [
        {
            "run": short_run(run.run),
            "stage": f"{run.pipeline}:{run.stage}",
            "result": run.result,
            "seconds": run.seconds,
            "finished": run.finished,
            "user": run.user,
            "commit": run.commit[:8],
            "parameters": " ".join(f"{n}={v}" for n, v in sorted(run.parameters.items())),
        }
        for run in islice(runs_of(store, *_names(target)), limit)
    ]
    columns = ["run", "stage", "result", "seconds", "finished", "user", "commit", "parameters"]
    return Table(f"runs of {target or 'the project'}", columns, table)


@_with_hint
def plan(target: str, *, set: Mapping[str, Any] | None = None, source: str = "") -> Table:
    """Plan of the pipeline: each stage with its status and the reason; nothing runs. Raises as planning does."""
    from daintree.commands.plan import plan_as_json

    name, stage = _names(target)
    table = [
        {**row, "seconds": row["last_seconds"]}
        for row in plan_as_json(_planned(name, set, source))["stages"]
        if stage in ("", row["name"])
    ]
    return Table(f"plan of {target}", ["name", "status", "seconds", "reason"], table)


@_with_hint
def run(
    target: str,
    *,
    set: Mapping[str, Any] | None = None,
    source: str = "",
    runner: str = "",
    force: bool = False,
) -> Table:
    """Run a pipeline, or one stage with what it needs, as `doit run` does; what is in the store is skipped.

    Returns each stage with its status, run and output. Its lines go to stderr. Raises StageFailed when a stage fails, and
    as planning does.
    """
    from daintree.commands.run import run_plan

    name, stage = _names(target)
    planned = _planned(name, set, source, runner=runner, always=force)
    if stage:
        planned.plan.stage(stage)
    pipeline_run = run_plan(planned, stage=stage)
    store = planned.session.store
    table = [
        {
            "name": name,
            "status": result.status,
            "seconds": result.record.seconds,
            "run": short_run(result.record.run),
            "output": store.output_path(result.record),
        }
        for name, result in pipeline_run.results.items()
    ]
    return Table(f"run of {target}", ["name", "status", "seconds", "run"], table)


def _output_of_run(settings: Settings, address: Address) -> Path:
    from daintree.pipeline.addresses import find_output, pipeline_of
    from daintree.store.store import open_store

    store = open_store(settings)
    return store.output_path(
        index_record_of(find_output(store, address, pipeline_of(settings.root, address)))
    )


def _settings() -> Settings:
    return read_settings(find_project(Path.cwd()))


def _planned(pipeline: str, set: Mapping[str, Any] | None, source: str, **more: Any) -> Planned:
    return plan_request(_settings(), _request(pipeline, set, source, **more), fetch=True)


def _request(pipeline: str, set: Mapping[str, Any] | None, source: str, **more: Any) -> Request:
    return Request(
        pipeline=pipeline,
        directory=Path.cwd(),
        sources=(source,) if source else (),
        set=tuple(f"{name}={as_argument(value)}" for name, value in (set or {}).items()),
        **more,
    )


def _names(target: str) -> tuple[str, str]:
    pipeline, _, stage = target.partition(":")
    return pipeline, stage


def _only_table(directory: Path, target: str) -> str:
    tables = sorted(path.name for path in directory.glob("*.csv"))
    if len(tables) != 1:
        raise UsageError(
            f"which file of the output of {target}? It holds {', '.join(tables) or 'no CSV table'}",
            hint=f'daintree.read("{target}", "FILE")',
        )
    return tables[0]


# Text that a number would not give back: an id with leading zeros, or with more digits than numbers keep.
_IDS = r"^[+-]?(?:0\d|\d{16,}$)"


def _read_csv(path: Path) -> pd.DataFrame:
    pandas = _pandas()
    table = pandas.read_csv(path, dtype=str, keep_default_na=False)
    for name in table:
        column = table[name]
        if not column.str.contains(_IDS).any() and (column != "").any():
            try:
                table[name] = pandas.to_numeric(column.where(column != ""))
            except ValueError:
                continue
    return table


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UsageError(
            "pandas is not installed where this notebook runs",
            hint="install it there as your other packages; daintree.output gives the path without it",
        ) from None
    return pandas
