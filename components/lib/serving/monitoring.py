"""What every monitor of a service does around its own reading of the training data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stageio import StageError

from .arguments import parsed, reported
from .judgement import Judgement, Limits, as_json, as_text, judge
from .models import Counts
from .provenance import Provenance, is_stage, opened
from .traffic import Served, read_served

# Told apart from 1, an error, after which nothing is judged.
ALERT = 2
_LONGEST_HOURS = 1_000_000


def monitor(main: Callable[..., Counts], *, argv: Sequence[str] | None = None) -> None:
    """Compare what a service has served with the training data of the model that answered.

    `main(directory, **parameters)` reads in a model's directory how often each item occurs in its
    training data. The model is the one that --input names; of PIPELINE:STAGE, the run that answered
    last. Writes report.txt and report.json into --output, and the alerts on stderr.

    The parameters are those of component.yaml beside the file `main` is defined in; those of every
    monitor are in this library's monitor.yaml. Ends the process with exit code 2 for an alert, 1
    and one message on stderr for a StageError or an OSError.
    """
    with reported():
        judgement = _judged(main, sys.argv[1:] if argv is None else argv)
        for alert in judgement.alerts:
            print(f"alert: {alert}", file=sys.stderr)
        if judgement.alerts:
            sys.exit(ALERT)


def _judged(main: Callable[..., Counts], argv: Sequence[str]) -> Judgement:
    _, values = parsed(main, "monitor.yaml", argv)
    limits = Limits(**{field.name: values.pop(field.name) for field in fields(Limits)})
    limits.check()
    wanted, store, output = (values.pop(name) for name in ("input", "store", "output"))
    served = read_served(values.pop("served"), _since(values.pop("hours")))
    with opened(_answering(wanted, served), store) as (directory, provenance):
        _check_stage(wanted, served, provenance)
        judgement = judge(served, provenance.run_id, main(directory, **values), limits)
    _write(Path(output), judgement)
    return judgement


def _since(hours: float) -> str:
    """The time from which on requests count, as the log writes it; "" for all."""
    if not 0 <= hours <= _LONGEST_HOURS:
        raise StageError(f"--hours {hours}: out of range", f"give 0 to {_LONGEST_HOURS:,}")
    if not hours:
        return ""
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="milliseconds")


def _answering(wanted: str, served: Served) -> str:
    """What to open: of PIPELINE:STAGE, the run that answered last."""
    if not is_stage(wanted):
        return wanted
    if served.runs and not served.newest:
        raise StageError(
            f"{served.place}: the model that answered is no run of the store",
            "give its directory as --input",
        )
    return served.newest or wanted


def _check_stage(wanted: str, served: Served, provenance: Provenance) -> None:
    run = provenance.run
    if is_stage(wanted) and run and f"{run.get('pipeline')}:{run.get('stage')}" != wanted:
        raise StageError(
            f"{served.place}: run {served.newest}, which answered last, is of "
            f"{run.get('pipeline')}:{run.get('stage')} and not of {wanted}",
            "give what a service of that stage has served",
        )


def _write(output: Path, judgement: Judgement) -> None:
    output.mkdir(parents=True, exist_ok=True)
    texts = {
        "report.txt": as_text(judgement),
        "report.json": json.dumps(as_json(judgement), indent=2) + "\n",
    }
    for name, text in texts.items():
        (output / name).write_text(text, encoding="utf-8")
