"""Timing: contenders take turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


def timed(action: Callable[[], object]) -> float:
    """The seconds an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Process:
    """A whole process to be timed.

    `expected` must stand in what it prints: a contender that did not do what it is timed for is no
    contender. `reset` brings back the state it starts from, outside the time taken.
    """

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    expected: str = ""
    reset: Callable[[], None] = lambda: None

    def seconds(self) -> float:
        """Run it and return its wall time. Raises SystemExit, with what it printed, when it fails."""
        self.reset()
        with tempfile.TemporaryFile() as printed:
            started = time.perf_counter()
            exit_code = subprocess.call(
                self.arguments,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
            taken = time.perf_counter() - started
            printed.seek(0)
            text = printed.read().decode("utf-8", "replace")
        if exit_code or self.expected not in text:
            command = " ".join(self.arguments)
            raise SystemExit(
                f"error: {command} ended with exit code {exit_code}, or without saying {self.expected!r}:\n{text}"
            )
        return taken


@dataclass
class Times:
    """Wall times of one contender in seconds, one a round."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median in seconds."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        low, high = quartiles(self.seconds)
        return f"{self.median:.3f} s ({low:.3f} to {high:.3f})"


def race(
    contenders: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 1
) -> dict[str, Times]:
    """Let the contenders take turns, `rounds` times each, after `warm_up` rounds that do not count.

    A contender returns its seconds. Every second round goes the other way round, so that none always
    follows the same one.
    """
    times = {name: Times() for name in contenders}
    for number in range(-warm_up, rounds):
        for name in sorted(contenders, reverse=bool(number % 2)):
            seconds = contenders[name]()
            if number >= 0:
                times[name].seconds.append(seconds)
    for name, taken in times.items():
        print(f"{name}: {taken}, {rounds} rounds", file=sys.stderr)
    print(f"load average: {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return times


@dataclass(frozen=True)
class Ratio:
    """One contender's time over another's, and how far the rounds' own ratios spread (quartiles)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(one: Times, other: Times) -> Ratio:
    """The medians' ratio, with the quartiles of the ratios within each round."""
    rounds = [a / b for a, b in zip(one.seconds, other.seconds, strict=True)]
    return Ratio(one.median / other.median, *quartiles(rounds))


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile; of fewer than four values, the least and the greatest."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def row(*cells: object) -> None:
    """Print one row of a Markdown table on stdout."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--quick", action="store_true", help="smaller and fewer: to see that it works"
    )
    return made
