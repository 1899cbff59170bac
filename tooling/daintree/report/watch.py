"""What a watch tells: lines for people on stderr, or an event a line for programs on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from daintree.errors import DaintreeError
from daintree.manifest import RunManifest
from daintree.report.summary import run_as_json, run_summary
from daintree.report.text import count, say
from daintree.run.pipeline_run import PipelineRun
from daintree.run.planning import Plan
from daintree.run.watching import Watcher


class WatchReport(Watcher, Protocol):
    """A watcher that is told of the beginning and of runs that went well as well."""

    def watching(self, pipeline: str, interval: float) -> None:
        """The watch begins; it looks every `interval` seconds."""
        ...

    def ran(self, run: PipelineRun, seconds: float, copied: str) -> None:
        """A run went well; its output was copied to `copied` ("": nowhere)."""
        ...


class WatchLines:
    """Each event as a line on stderr, with its time; how a run ended on stdout, as `doit run` prints it."""

    def watching(self, pipeline: str, interval: float) -> None:
        """As `WatchReport.watching`."""
        _say(f"watching the source of {pipeline}, every {interval:g} s")

    def unchanged(self, plan: Plan) -> None:
        """As `Watcher.unchanged`."""
        stages = count(len(plan.stages), "stage")
        _say(f"nothing to run: the store has all of {plan.pipeline.name} ({stages})")

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        """As `Watcher.failed_before`."""
        _say(
            f"not run: {run.pipeline}:{run.stage} {run.failure} on the same source before (run {run.run})"
        )
        say(f"hint: doit run {run.pipeline} tries it again")

    def starting(self, plan: Plan) -> None:
        """As `Watcher.starting`."""
        _say(f"running {plan.pipeline.name} on {plan.identity.origin}")

    def ran(self, run: PipelineRun, seconds: float, copied: str) -> None:
        """As `WatchReport.ran`."""
        print(run_summary(run, seconds, copied), flush=True)

    def failed(self, error: DaintreeError) -> None:
        """As `Watcher.failed`."""
        _say(f"failed: {error.message}")
        _hint(error)
        say("the watch goes on: it runs again when the source changes")

    def away(self, error: DaintreeError) -> None:
        """As `Watcher.away`."""
        _say(f"away: {error.message}")
        _hint(error)
        say("the watch goes on")

    def back(self) -> None:
        """As `Watcher.back`."""
        _say("back: what was away is there again")


class WatchEvents:
    """Each event as one line of JSON with `event` and `time`, written at once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def watching(self, pipeline: str, interval: float) -> None:
        """As `WatchReport.watching`."""
        self._tell("watching", pipeline=pipeline, interval=interval)

    def unchanged(self, plan: Plan) -> None:
        """As `Watcher.unchanged`."""
        self._tell("unchanged", source=plan.identity.origin)

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        """As `Watcher.failed_before`."""
        self._tell(
            "failed-before",
            source=plan.identity.origin,
            stage=run.stage,
            run=run.run,
            failure=run.failure,
        )

    def starting(self, plan: Plan) -> None:
        """As `Watcher.starting`."""
        self._tell("starting", source=plan.identity.origin)

    def ran(self, run: PipelineRun, seconds: float, copied: str) -> None:
        """As `WatchReport.ran`; with what `doit run --json` tells."""
        self._tell("ran", seconds=round(seconds, 3), output=copied or None, **run_as_json(run))

    def failed(self, error: DaintreeError) -> None:
        """As `Watcher.failed`."""
        self._tell("failed", message=error.message, hint=error.hint or None)

    def away(self, error: DaintreeError) -> None:
        """As `Watcher.away`."""
        self._tell("away", message=error.message, hint=error.hint or None)

    def back(self) -> None:
        """As `Watcher.back`."""
        self._tell("back")

    def _tell(self, event: str, **more: Any) -> None:
        self._write(json.dumps({"event": event, "time": _now(), **more}, ensure_ascii=False))


def _say(text: str) -> None:
    say(f"{_now()}  {text}")


def _hint(error: DaintreeError) -> None:
    if error.hint:
        say(f"hint: {error.hint}")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
