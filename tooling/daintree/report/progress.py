"""A run's progress, line by line on stderr."""

from __future__ import annotations

import sys
import time

from daintree.manifest import IndexRecord
from daintree.report.text import colour, count, duration, say, size
from daintree.run.planning import Plan


class Progress:
    """The listener that people see. Lines of stages that run side by side carry their stage's name."""

    def __init__(self, plan: Plan, began: float) -> None:
        """`began` is the value of time.perf_counter() when the command began."""
        self._began = began
        self._width = max(len(stage.name) for stage in plan.stages)
        if plan.runner.name != "local":
            # What they warn of, a base image that may change, has no part in a virtual environment.
            from daintree.version.component import gathered

            found = {w for version in plan.versions.values() for w in version.warnings}
            for warning in gathered(sorted(found)):
                say(colour("warning: ", "yellow", sys.stderr) + warning)

    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.perf_counter() - self._began

    def hit(self, stage: str, record: IndexRecord) -> None:
        """A stage that is skipped."""
        self._tell(stage, "hit", "green", f"saves {duration(record.seconds)}")

    def starting(self, stage: str, reason: str) -> None:
        """A stage that is about to be computed, and why."""
        self._tell(stage, "run", "yellow", reason)

    def line(self, stage: str, text: str) -> None:
        """What the stage says."""
        say(f"{stage.ljust(self._width)}  {colour('|', 'dim', sys.stderr)} {text}")

    def computed(self, stage: str, record: IndexRecord) -> None:
        """A stage that was computed."""
        what = f"{duration(record.seconds)}, {count(record.count, 'file')}, {size(record.bytes)}"
        self._tell(stage, "done", "green", what)

    def note(self, stage: str, text: str) -> None:
        """Something worth knowing."""
        self._tell(stage, "note", "cyan", text)

    def warning(self, stage: str, text: str) -> None:
        """Something that is being put right."""
        say(colour("warning: ", "yellow", sys.stderr) + text)

    def _tell(self, stage: str, status: str, shade: str, text: str) -> None:
        say(f"{stage.ljust(self._width)}  {colour(status.ljust(4), shade, sys.stderr)}  {text}")
