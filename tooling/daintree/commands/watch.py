"""`doit watch`: a pipeline run whenever its source has changed."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from daintree.commands.command import (
    DaintreeCommand,
    exit_code_of,
    option,
    plan_request,
    request_of,
    reserved_names,
    shared,
)
from daintree.commands.run import run_as_json, run_plan, run_summary
from daintree.errors import DaintreeError, SourceError, StoreUnavailable, UsageError, from_os_error
from daintree.pipeline.decisions import Hit, Miss, inputs_of
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Plan, Planned
from daintree.pipeline.session import Request, Session
from daintree.settings import Settings
from daintree.store.layout import timestamp
from daintree.store.records import RunManifest
from daintree.terminal import count, say

# Errors that may go away by themselves: whoever waits has nothing to put right.
AWAY = (SourceError, StoreUnavailable)


class WatchReport:
    """Each event as a line with its time: on stderr for people, or as JSON on stdout for programs."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json

    def watching(self, pipeline: str, interval: float) -> None:
        """The watch begins; it looks every `interval` seconds."""
        text = f"watching the source of {pipeline}, every {interval:g} s"
        self._tell("watching", text, pipeline=pipeline, interval=interval)

    def unchanged(self, plan: Plan) -> None:
        """At the first look, all of the plan is in the store: nothing is run."""
        stages = count(len(plan.stages), "stage")
        text = f"nothing to run: the store has all of {plan.pipeline.name} ({stages})"
        self._tell("unchanged", text, source=plan.origins)

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        """At the first look, what is missing has failed on these inputs already: nothing is run."""
        stage = f"{run.pipeline}:{run.stage}"
        text = f"not run: {stage} {run.failure} on the same source before (run {run.run})"
        facts = {"stage": run.stage, "run": run.run, "failure": run.failure}
        hint = f"hint: doit run {run.pipeline} tries it again"
        self._tell("failed-before", text, hint, source=plan.origins, **facts)

    def starting(self, plan: Plan) -> None:
        """The plan is about to be run."""
        text = f"running {plan.pipeline.name} on {plan.origins}"
        self._tell("starting", text, source=plan.origins)

    def ran(self, run: PipelineRun, seconds: float) -> None:
        """A run went well: for people it is told on stdout, as `doit run` does."""
        if self._as_json:
            facts = {"seconds": round(seconds, 3), "output": run.output or None}
            self._tell("ran", **facts, **run_as_json(run))
        else:
            print(run_summary(run, seconds), flush=True)

    def failed(self, error: DaintreeError) -> None:
        """The run failed, and is not tried again until the source changes."""
        self._tell_error(
            "failed", error, "the watch goes on: it runs again when the source changes"
        )

    def away(self, error: DaintreeError) -> None:
        """The pipeline cannot be planned or run now; the watch goes on. Told once until `back`."""
        self._tell_error("away", error, "the watch goes on")

    def back(self) -> None:
        """A source or server that was away is there again."""
        self._tell("back", "back: what was away is there again")

    def _tell_error(self, event: str, error: DaintreeError, last: str) -> None:
        hints = [f"hint: {error.hint}"] if error.hint else []
        facts = {"message": error.message, "hint": error.hint or None}
        self._tell(event, f"{event}: {error.message}", *hints, last, **facts)

    def _tell(self, event: str, *lines: str, **facts: Any) -> None:
        """Print the lines, or the event with these facts."""
        now = timestamp()
        if self._as_json:
            line = json.dumps({"event": event, "time": now, **facts}, ensure_ascii=False)
            print(line, flush=True)
            return
        first, *more = lines
        say(f"{now}  {first}")
        for line in more:
            say(line)


class WatchedPipeline:
    """A pipeline under watch. Every method raises DaintreeError."""

    def __init__(self, settings: Settings, request: Request, report: WatchReport) -> None:
        self._settings, self._request, self._report = settings, request, report

    def identify(self) -> str:
        """The sources as they are now, without planning."""
        reserved = reserved_names(self._settings.root)
        return " ".join(Session(self._settings, self._request, reserved).current_sources())

    def plan(self) -> Planned:
        """The pipeline planned on its sources as they are now."""
        return plan_request(self._settings, self._request, fetch=True)

    def run(self, planned: Planned) -> None:
        """Run a plan. Raises what the run raises."""
        began = time.perf_counter()
        try:
            run = run_plan(planned)
        except OSError as error:
            raise from_os_error(error) from None
        self._report.ran(run, time.perf_counter() - began)


class Watch:
    """Looks at a pipeline's sources, and runs it when they are others than those of the last run. When to look is the caller's."""

    def __init__(self, pipeline: WatchedPipeline, report: WatchReport) -> None:
        self._pipeline, self._report = pipeline, report
        self._seen = ""
        self._planned = False
        self._trouble: type[DaintreeError] | None = None

    def once(self) -> bool:
        """Look, and run what has changed; False where it has failed before on the same source.

        Raises DaintreeError, whatever it is.
        """
        planned = self._pipeline.plan()
        failure = failed_before(planned)
        if self._is_missing(planned, failure):
            self._report.starting(planned.plan)
            self._pipeline.run(planned)
        return failure is None

    def look(self) -> None:
        """Look, and run what has changed since the last look; at the first one, what is missing.

        What goes wrong is told, and the next look is due. Until a look has succeeded, an error that does not
        go away by itself is raised instead: it is the command's, or the project's.
        """
        try:
            planned = self._wanted()
        except DaintreeError as error:
            if not self._planned and not isinstance(error, AWAY):
                raise
            self._away(error)
            return
        self._back()
        if planned is None:
            return
        self._report.starting(planned.plan)
        try:
            self._pipeline.run(planned)
        except AWAY as error:
            # It has not failed on this source: once all is back, it is to be run.
            self._seen = ""
            self._away(error)
        except DaintreeError as error:
            self._report.failed(error)

    def _wanted(self) -> Planned | None:
        """The plan to be run, None when there is nothing to run."""
        now = self._pipeline.identify()
        if now == self._seen:
            return None
        planned = self._pipeline.plan()
        first, self._planned = not self._planned, True
        # Not the plan's, which knows what a download said: some servers tell other validators without one. Should
        # the source have changed in between, the next look plans again, and finds that all of it is there.
        self._seen = now
        if not first or self._is_missing(planned, failed_before(planned)):
            return planned
        return None

    def _is_missing(self, planned: Planned, failure: RunManifest | None) -> bool:
        """True for a plan that lacks an output which has not failed before; the report gets the others."""
        plan = planned.plan
        if failure:
            self._report.failed_before(plan, failure)
            return False
        if all(isinstance(decision, Hit) for decision in plan.decisions.values()):
            self._report.unchanged(plan)
            return False
        return True

    def _away(self, error: DaintreeError) -> None:
        # By its kind: words such as "broke off after 812 bytes" differ from look to look.
        if self._trouble is not type(error):
            self._report.away(error)
        self._trouble = type(error)

    def _back(self) -> None:
        if self._trouble:
            self._report.back()
        self._trouble = None


def failed_before(planned: Planned) -> RunManifest | None:
    """The latest run of a stage to be computed, if it failed on the very same inputs, version and parameters."""
    session, plan = planned
    for stage in plan.stages:
        inputs = inputs_of(stage, plan.decisions, plan.identities)
        if inputs is None or not isinstance(plan.decisions[stage.name], Miss):
            continue
        last = next(iter(session.store.history(plan.pipeline.name, stage.name)), None)
        if last and last.result == "failed" and last.keys.content == stage.content(inputs):
            return session.store.read_run(last.location)
    return None


USUAL_SECONDS = 60.0
LONGEST_SECONDS = 86_400.0
_STOPS = (signal.SIGINT, signal.SIGTERM)


class WatchCommand(DaintreeCommand):
    """Runs a pipeline whenever its source has changed, until it is stopped."""

    name = "watch"
    doc_usage = "PIPELINE [--interval SECONDS | --once] [--set stage.parameter=value …] [--json]"
    doc_description = (
        "At the start, it runs what the store lacks; then, once a change, whenever the source is another: a path is known "
        "by its files' times and bytes, http(s):// by what the server says of it (ETag, Last-Modified), s3:// by a listing. "
        "A run that fails is not tried again until the source changes; a source or server that is away is waited for. "
        "SIGUSR1 makes it look at once. It ends with Ctrl-C or SIGTERM."
    )
    cmd_options = (
        option(
            "interval",
            f"seconds between two looks (default: {USUAL_SECONDS:g})",
            type=float,
            default=USUAL_SECONDS,
        ),
        option("once", "look once, run if something changed, and end: for cron", type=bool),
        *shared("source", "set", "runner", "output"),
        option("json", "print each event as a line of JSON, for programs", type=bool),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Watch until a signal; with --once, 1 where a missing stage has failed before. Raises UsageError for a wrong interval or word."""
        interval = options["interval"]
        if not 1 <= interval <= LONGEST_SECONDS:
            raise UsageError(
                f"--interval {interval:g}: out of range",
                hint=f"give 1 to {LONGEST_SECONDS:,.0f} seconds",
            )
        pipeline, *words = names
        for word in words:
            if "=" not in word:
                raise self.misused(f"{word!r} is one name too many")
        request = request_of(pipeline, options, words)
        # What is no pipeline is said before anything is watched.
        Session(self.settings, request, reserved_names(self.root))
        report = WatchReport(as_json=options["json"])
        watch = Watch(WatchedPipeline(self.settings, request, report), report)
        if options["once"]:
            return 0 if watch.once() else 1
        report.watching(pipeline, interval)
        return until_stopped(watch.look, interval)


def until_stopped(look: Callable[[], None], interval: float) -> int:
    """Look every `interval` seconds, and after SIGUSR1 at once; the exit code once a signal ends the waiting.

    To be called from the main thread.
    """
    with _Signals() as signals:
        while True:
            look()
            code = signals.wait(interval)
            if code:
                say("stopped")
                return code


class _Signals:
    """The signals that came, also those from before a wait: they end it at once.

    An exception alone would not do: Python raises it between two steps of a program, so that for a signal that comes
    after the last step before a wait it would be raised after the wait. Hence the pipe, into which the interpreter
    writes each signal's number.
    """

    def __enter__(self) -> _Signals:
        self._numbers, self._writer = os.pipe()
        for end in (self._numbers, self._writer):
            os.set_blocking(end, False)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGUSR1, lambda number, frame: None)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGUSR1, self._handler)
        signal.set_wakeup_fd(self._before)
        os.close(self._numbers)
        os.close(self._writer)

    def wait(self, seconds: float) -> int | None:
        """Wait for a signal, so many seconds at most; the exit code if it is one to stop."""
        try:
            ready, _, _ = select.select([self._numbers], [], [], seconds)
            numbers = os.read(self._numbers, 4096) if ready else b""
        except KeyboardInterrupt as stopped:
            return exit_code_of(stopped)
        return next((128 + number for number in numbers if number in _STOPS), None)
