"""What a service has served beside what its model was trained on, compared by the component that monitors it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from daintree.errors import DaintreeError, StageFailed, UsageError
from daintree.run.attached import Attached, run_attached
from daintree.settings import Settings
from daintree.store import open_store

# What a monitor writes into its output, for people and for programs.
REPORT_TEXT, REPORT_JSON = "report.txt", "report.json"
# What it ends with when something is to be looked at: neither success nor an error, after which nothing is known.
ALERT = 2


class Report(msgspec.Struct, frozen=True):
    """What a monitor found: as text, as JSON, and whether it calls for somebody."""

    text: str
    json: str
    alert: bool


def monitor(
    settings: Settings,
    monitored: Attached,
    run: str,
    output: Path,
    arguments: Sequence[str],
    say: Callable[[str], None],
) -> Report | None:
    """Run the monitor and read its report from `output`; `say` gets each line it says.

    It is given the run's id, or PIPELINE:STAGE, which is the run that answered last, and the store to look in.
    None where the monitor itself has said why it cannot judge. Raises UsageError for an unknown run, StageFailed
    when it does not end as a monitor does, and as making its environment does.
    """
    store = open_store(settings)
    if run:
        found = store.find_run(run)
        if found is None:
            raise UsageError(f"there is no run {run!r}", hint="`doit history` lists the runs")
        model = found.run
    else:
        model = f"{monitored.pipeline}:{monitored.stage}"
    outcome = run_attached(
        settings, monitored.component, model, output, ("--store", store.url, *arguments), say
    )
    if outcome.exit_code == DaintreeError.exit_code:
        return None
    if outcome.exit_code not in (0, ALERT):
        raise StageFailed(f"{monitored.component} ended with exit code {outcome.exit_code}")
    try:
        text, json = ((output / name).read_text("utf-8") for name in (REPORT_TEXT, REPORT_JSON))
    except FileNotFoundError as error:
        raise StageFailed(
            f"{monitored.component} did not write {Path(error.filename).name}",
            hint="a monitor writes a report for people and one for programs",
        ) from None
    return Report(text, json, outcome.exit_code == ALERT)
