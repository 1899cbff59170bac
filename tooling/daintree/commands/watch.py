"""`doit watch`: a pipeline run whenever its source has changed."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from daintree.commands.command import (
    OUTPUT,
    PLANNING,
    DaintreeCommand,
    option,
    plan_request,
)
from daintree.commands.doit_adapter import RunOptions, run_stages
from daintree.commands.names import COMMANDS, reserved_names
from daintree.commands.progress import Progress
from daintree.commands.run import run_as_json, run_summary
from daintree.errors import DaintreeError, UsageError, from_os_error
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Plan, Planned
from daintree.pipeline.session import Request, Session
from daintree.pipeline.watch import Watch, Watcher
from daintree.store.records import RunManifest
from daintree.terminal import count, say


class WatchReport(Watcher, Protocol):
    """A watcher that is told of the beginning and of runs that went well as well."""

    def watching(self, pipeline: str, interval: float) -> None:
        """The watch begins; it looks every `interval` seconds."""
        ...

    def ran(self, run: PipelineRun, seconds: float) -> None:
        """A run went well."""
        ...


class WatchLines:
    """Each event as a line on stderr, with its time; how a run ended on stdout, as `doit run` prints it."""

    def watching(self, pipeline: str, interval: float) -> None:
        _say(f"watching the source of {pipeline}, every {interval:g} s")

    def unchanged(self, plan: Plan) -> None:
        stages = count(len(plan.stages), "stage")
        _say(f"nothing to run: the store has all of {plan.pipeline.name} ({stages})")

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        _say(
            f"not run: {run.pipeline}:{run.stage} {run.failure} on the same source before (run {run.run})"
        )
        say(f"hint: doit run {run.pipeline} tries it again")

    def starting(self, plan: Plan) -> None:
        _say(f"running {plan.pipeline.name} on {plan.origins}")

    def ran(self, run: PipelineRun, seconds: float) -> None:
        print(run_summary(run, seconds), flush=True)

    def failed(self, error: DaintreeError) -> None:
        _say(f"failed: {error.message}")
        _hint(error)
        say("the watch goes on: it runs again when the source changes")

    def away(self, error: DaintreeError) -> None:
        _say(f"away: {error.message}")
        _hint(error)
        say("the watch goes on")

    def back(self) -> None:
        _say("back: what was away is there again")


class WatchEvents:
    """Each event as one line of JSON with `event` and `time`, written at once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def watching(self, pipeline: str, interval: float) -> None:
        self._tell("watching", pipeline=pipeline, interval=interval)

    def unchanged(self, plan: Plan) -> None:
        self._tell("unchanged", source=plan.origins)

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        self._tell(
            "failed-before",
            source=plan.origins,
            stage=run.stage,
            run=run.run,
            failure=run.failure,
        )

    def starting(self, plan: Plan) -> None:
        self._tell("starting", source=plan.origins)

    def ran(self, run: PipelineRun, seconds: float) -> None:
        self._tell("ran", seconds=round(seconds, 3), output=run.output or None, **run_as_json(run))

    def failed(self, error: DaintreeError) -> None:
        self._tell("failed", message=error.message, hint=error.hint or None)

    def away(self, error: DaintreeError) -> None:
        self._tell("away", message=error.message, hint=error.hint or None)

    def back(self) -> None:
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


USUAL_SECONDS = 60.0
LONGEST_SECONDS = 86_400.0
_STOPS = (signal.SIGINT, signal.SIGTERM)


class WatchCommand(DaintreeCommand):
    """Runs a pipeline whenever its source has changed, until it is stopped."""

    name = "watch"
    doc_purpose = COMMANDS["watch"]
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
        *PLANNING,
        OUTPUT,
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
                raise UsageError(
                    f"doit watch: {word!r} is one name too many",
                    hint=f"doit watch {self.doc_usage}",
                )
        request = Request(
            pipeline=pipeline,
            directory=Path.cwd(),
            sources=tuple(options["source"]),
            output=options["output"],
            set=(*options["set"], *words),
            runner=options["runner"],
        )
        report: WatchReport = WatchEvents(_print_line) if options["json"] else WatchLines()
        watch = self._watch(request, report)
        if options["once"]:
            return 0 if watch.once() else 1
        report.watching(pipeline, interval)
        return until_stopped(watch.look, interval)

    def _watch(self, request: Request, report: WatchReport) -> Watch:
        settings, reserved = self.settings, reserved_names(self.root)

        def execute(planned: Planned) -> None:
            progress = Progress(
                planned.plan, time.perf_counter(), settings=planned.session.settings
            )
            try:
                run = PipelineRun(planned, progress)
                run_stages([run], RunOptions())
                run.remember()
            except OSError as error:
                raise from_os_error(error) from None
            finally:
                progress.end()
            report.ran(run, progress.seconds())

        return Watch(
            lambda: " ".join(Session(settings, request, reserved).current_sources()),
            lambda: plan_request(settings, request, fetch=True),
            execute,
            report,
        )


def until_stopped(look: Callable[[], None], interval: float) -> int:
    """Look every `interval` seconds, and after SIGUSR1 at once; the exit code once a signal ends the waiting.

    To be called from the main thread.
    """
    with _Signals() as signals:
        while True:
            look()
            number = signals.wait(interval)
            if number:
                say("stopped")
                return 128 + number


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
        """Wait for a signal, so many seconds at most; its number if it is one to stop."""
        try:
            ready, _, _ = select.select([self._numbers], [], [], seconds)
            numbers = os.read(self._numbers, 4096) if ready else b""
        except KeyboardInterrupt as stopped:
            return int(getattr(stopped, "number", signal.SIGINT))
        return next((number for number in numbers if number in _STOPS), None)


def _print_line(text: str) -> None:
    print(text, flush=True)
