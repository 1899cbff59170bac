"""`doit metrics`: what past runs measured, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daintree.errors import StoreError, UsageError
from daintree.manifest import RunManifest
from daintree.report.metrics import (
    METRICS_FILE,
    Measured,
    Metrics,
    best_first,
    measured,
    metrics_table,
    read_metrics,
)
from daintree.report.text import say
from daintree.store import open_store
from daintree.store.protocol import Store
from daintree.suggest import nearest
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS
from daintree.tasks.trail import runs_of

# Ranked by validation: who picks the best of many runs by the test purchases has no test any more.
USUAL = ("valid.ndcg@10", "test.hr@10", "test.ndcg@10")
MOST_COLUMNS = 4


class MetricsCommand(DaintreeCommand):
    """Tables the metrics of past runs."""

    name = "metrics"
    doc_purpose = COMMANDS["metrics"]
    doc_usage = "PIPELINE[:STAGE] [--metric NAME …] [--lowest] [--json]"
    doc_description = (
        f"Reads the `{METRICS_FILE}` in the outputs of past runs. Best first by the first metric, with the difference to the "
        "stage's previous run in brackets, and with the parameters, component versions and sources in which the runs differ."
    )
    cmd_options = (
        option(
            "metric",
            "a metric to show, such as test.hr@10; the first one given decides the order (may be repeated)",
            type=list,
            short="m",
        ),
        option("lowest", "the lowest value is the best", type=bool),
        JSON_OPTION,
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Read, sort and print."""
        store = open_store(self.settings)
        pipeline, _, stage = names[0].partition(":")
        read = [(run, _read(run, store)) for run in runs_of(store, pipeline, stage)]
        rows = measured([(run, found) for run, found in read if found is not None], store)
        if not rows:
            raise UsageError(
                f"no run of {names[0]} has metrics",
                hint=f"a stage's metrics are a file {METRICS_FILE} in its output: one JSON object",
            )
        chosen = chosen_metrics(rows, options["metric"])
        rows = best_first(rows, chosen[0], lowest=options["lowest"])
        if options["json"]:
            print_json({"by": chosen[0], "runs": [_as_json(row) for row in rows]})
        else:
            print("\n".join(metrics_table(rows, chosen)))


def _read(run: RunManifest, store: Store) -> Metrics | None:
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
