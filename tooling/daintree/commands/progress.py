"""The screen of a run: each event of a stage as a line on stderr."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from daintree.pipeline.plan import Planned
from daintree.store.records import IndexRecord
from daintree.terminal import colour, count, duration, say, size, streamed

# A stage that has printed nothing for so long is said to be running, and again after twice that, up to LONGEST_SILENCE.
FIRST_SILENCE, LONGEST_SILENCE = 20.0, 300.0

# A line of a traceback that names a file.
_FRAME = re.compile(r'^\s*File "(/[^"]+)", line \d')


def _blob(path: Path) -> str:
    """The id that git gives a file's bytes; "" for one that cannot be read."""
    import hashlib

    try:
        content = path.read_bytes()
    except OSError:
        return ""
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


class _Running:
    """A stage that is being computed: since when, what its last run took, and when it is next said to be running."""

    def __init__(self, now: float, expected: float | None) -> None:
        self.began = now
        self.expected = expected
        self.silence = FIRST_SILENCE
        self.due = now + self.silence


class Progress:
    """The events that people see. Lines carry their stage's name, since stages run side by side."""

    def __init__(
        self,
        planned: Planned,
        began: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`began` is the value of `clock` when the command began."""
        session, plan = planned
        self._plan = plan
        self._settings = session.settings
        self._began = began
        self._clock = clock
        self._width = max(len(stage.name) for stage in plan.stages)
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watchdog: threading.Thread | None = None
        if plan.runner != "local":
            # What they warn of, a base image that may change, has no part in a virtual environment.
            from daintree.components import gathered

            warnings = {w for version in plan.versions.values() for w in version.warnings}
            for warning in gathered(sorted(warnings)):
                say(colour("warning: ", "yellow", sys.stderr) + warning)

    def seconds(self) -> float:
        """Wall time since the command began."""
        return self._clock() - self._began

    def hit(self, stage: str, record: IndexRecord) -> None:
        """Print that a stage is skipped."""
        self._print(stage, "hit", "green", f"saves {duration(record.seconds)}")

    def starting(self, stage: str, reason: str, expected: float | None) -> None:
        """Print why a stage is computed; while it is silent, its elapsed and expected time is printed now and then."""
        self._print(stage, "run", "yellow", reason)
        with self._lock:
            self._running[stage] = _Running(self._clock(), expected)
            if self._watchdog is None:
                self._watchdog = threading.Thread(target=self._watch, daemon=True)
                self._watchdog.start()

    def line(self, stage: str, text: str) -> None:
        """Print a line of the stage's own output; colours are its own, other control sequences are dropped."""
        with self._lock:
            running = self._running.get(stage)
            if running:
                running.due = self._clock() + running.silence
        bar = colour("|", "dim", sys.stderr)
        say(f"{stage.ljust(self._width)}  {bar} {streamed(self._in_working_tree(stage, text))}")

    def computed(self, stage: str, record: IndexRecord) -> None:
        """Print that a stage was computed."""
        with self._lock:
            self._running.pop(stage, None)
        what = f"{duration(record.seconds)}, {count(record.count, 'file')}, {size(record.bytes)}"
        self._print(stage, "done", "green", what)

    def note(self, stage: str, text: str) -> None:
        """Print something worth knowing."""
        self._print(stage, "note", "cyan", text)

    def warning(self, stage: str, text: str) -> None:
        """Print something that is being put right."""
        say(colour("warning: ", "yellow", sys.stderr) + text)

    def end(self) -> None:
        """Print nothing more of silent stages."""
        self._ended.set()

    def print_silent(self) -> None:
        """Print elapsed and expected time of each stage that has been silent for long enough."""
        now = self._clock()
        with self._lock:
            silent = [(name, stage) for name, stage in self._running.items() if stage.due <= now]
            for _, stage in silent:
                stage.silence = min(2 * stage.silence, LONGEST_SILENCE)
                stage.due = now + stage.silence
        for name, stage in silent:
            last = f"; last run {duration(stage.expected)}" if stage.expected is not None else ""
            self._print(name, "…", "dim", f"running for {duration(now - stage.began)}{last}")

    def _in_working_tree(self, stage: str, text: str) -> str:
        """A traceback's line with the working tree's file in the place of the snapshot's or image's, where both are the same."""
        match = _FRAME.match(text)
        if match is None:
            return text
        copies = (f"{self._settings.snapshots}/", "/application/")
        files = self._plan.version_of(self._plan.stage(stage)).files
        same = [file for file in files if match[1].endswith(f"/{file.path}")]
        if not same or not match[1].startswith(copies):
            return text
        file = max(same, key=lambda file: len(file.path))
        own = self._settings.root / file.origin
        return text.replace(match[1], str(own), 1) if _blob(own) == file.blob else text

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self.print_silent()

    def _print(self, stage: str, status: str, shade: str, text: str) -> None:
        say(f"{stage.ljust(self._width)}  {colour(status.ljust(4), shade, sys.stderr)}  {text}")
