"""What past runs measured: their metrics beside all that decided them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daintree.digest import short
from daintree.manifest import RunManifest, Scalar
from daintree.reason import word
from daintree.report.text import columns
from daintree.store.protocol import Store

METRICS_FILE = "metrics.json"

Metrics = dict[str, float]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A run with what it measured, and what decided it: the stages before it count as well.

    `parameters` are named `stage.parameter`, `versions` by stage. `previous` is the run of the stage before this
    one in time ("" for the first), `difference` what each metric that both have gained since then.
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


def read_metrics(run: RunManifest, store: Store) -> Metrics | None:
    """The numbers in the `metrics.json` of a run's output, by dotted names such as `test.hr@10`.

    Lists and whatever is no number are left out. None where the run has no such file. Raises ValueError when
    it is no JSON object or a number is too large, ArtifactDamaged or OSError when it cannot be read.
    """
    if run.output is None or METRICS_FILE not in {entry.path for entry in run.output.files}:
        return None
    content = (store.output_path(run.location) / METRICS_FILE).read_bytes()
    try:
        return _flat(msgspec.json.decode(content, type=dict[str, Any]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not a JSON object with numbers of usual size: {error}") from None


def _flat(table: Mapping[str, Any], prefix: str = "") -> Metrics:
    flat: Metrics = {}
    for name, value in sorted(table.items()):
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[prefix + name] = float(value)
    return flat


def measured(runs: Sequence[tuple[RunManifest, Metrics]], store: Store) -> list[Measured]:
    """The runs, newest first, with all that decided them and the difference to the run before."""
    found = []
    for place, (run, metrics) in enumerate(runs):
        earlier = [other for other in runs[place + 1 :] if other[0].stage == run.stage]
        previous, before = (earlier[0][0].run, earlier[0][1]) if earlier else ("", {})
        upstream = _upstream(run, store)
        sources = {i.origin for stage in upstream for i in stage.inputs if not i.name}
        found.append(
            Measured(
                run=run.run,
                stage=run.stage,
                metrics=metrics,
                previous=previous,
                difference={n: round(metrics[n] - before[n], 9) for n in metrics if n in before},
                parameters={f"{s.stage}.{n}": v for s in upstream for n, v in s.parameters.items()},
                versions={stage.stage: stage.version for stage in upstream},
                source=", ".join(sorted(sources)),
                commit=run.commit,
                dirty=run.dirty,
                finished=run.finished,
            )
        )
    return found


def _upstream(run: RunManifest, store: Store) -> list[RunManifest]:
    """The run and those that its inputs came from, as far as the store still has them; each stage once."""
    found, waiting = {run.location: run}, [run]
    while waiting:
        for record in waiting.pop().inputs:
            if record.name and record.origin not in found:
                origin = store.read_run(record.origin)
                if origin is not None:
                    found[record.origin] = origin
                    waiting.append(origin)
    return list(found.values())


def best_first(rows: Sequence[Measured], metric: str, *, lowest: bool) -> list[Measured]:
    """The runs by one metric; those without it last, equal ones in the order given."""

    def place(row: Measured) -> tuple[bool, float]:
        value = row.metrics.get(metric, 0.0)
        return metric not in row.metrics, value if lowest else -value

    return sorted(rows, key=place)


def metrics_table(rows: Sequence[Measured], chosen: Sequence[str]) -> list[str]:
    """One row per run: the chosen metrics, each with its difference to the previous run, and what differs among the runs."""
    deciding = [_deciding(row) for row in rows]
    names = sorted({name for facts in deciding for name in facts})
    varied = [name for name in names if len({facts.get(name) for facts in deciding}) > 1]
    head = ["run", "stage", *chosen, "commit", "differs in"]
    table = [
        [
            row.run,
            row.stage,
            *(_cell(row, name) for name in chosen),
            (row.commit[:8] + ("+" if row.dirty else "")) or "-",
            " ".join(f"{name}={facts[name]}" for name in varied if name in facts) or "-",
        ]
        for row, facts in zip(rows, deciding, strict=True)
    ]
    return columns([head, *table], indent="")


def _deciding(row: Measured) -> dict[str, str]:
    facts = {name: word(value) for name, value in row.parameters.items()}
    facts |= {f"{stage}@version": short(version, 8) for stage, version in row.versions.items()}
    return facts | ({"source": word(row.source)} if row.source else {})


def _cell(row: Measured, name: str) -> str:
    if name not in row.metrics:
        return "-"
    gained = row.difference.get(name)
    return f"{row.metrics[name]:.4f}" + (f" ({gained:+.4f})" if gained is not None else "")
