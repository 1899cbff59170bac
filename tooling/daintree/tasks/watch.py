"""`doit watch`: a pipeline run whenever its source has changed."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daintree.errors import UsageError
from daintree.report.text import say
from daintree.report.watch import WatchEvents, WatchLines, WatchReport
from daintree.run.planning import Plan, Request, identify_source, make_plan
from daintree.run.watching import Watch
from daintree.tasks.command import DaintreeCommand, foreign, option
from daintree.tasks.execution import carry_out
from daintree.tasks.names import COMMANDS, reserved_names
from daintree.tasks.run import OUTPUT, RUNNER, SET, SOURCE

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
        SOURCE,
        OUTPUT,
        SET,
        RUNNER,
        option("json", "print each event as a line of JSON, for programs", type=bool),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Watch until a signal; with --once, 1 where what is missing has failed before."""
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
            source=options["source"],
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

        def execute(plan: Plan) -> None:
            try:
                done = carry_out(plan, time.perf_counter())
            except OSError as error:
                raise foreign(error) from None
            report.ran(done.run, done.seconds, done.copied)

        return Watch(
            lambda: identify_source(settings, request, reserved),
            lambda: make_plan(settings, request, reserved, fetch=True),
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
