"""Threads and processes that work with a store under test, all at once."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import TypeVar

LONGEST_SECONDS = 60
Result = TypeVar("Result")
Worker = subprocess.Popen[str]
StartWorker = Callable[..., Worker]


def hear(worker: Worker) -> str:
    """The next line a worker says."""
    assert worker.stdout is not None
    return worker.stdout.readline().rstrip("\n")


def finish(worker: Worker) -> str:
    """Let a worker go on to its end, which must be a good one; what else it said."""
    printed, _ = worker.communicate("go\n", timeout=LONGEST_SECONDS)
    assert worker.returncode == 0
    return printed.strip()


def at_once(count: int, act: Callable[[int], Result]) -> list[Result]:
    """What `act` gave in each of so many threads that all began together."""
    barrier = threading.Barrier(count)
    results: list[tuple[int, Result]] = []

    def run(number: int) -> None:
        barrier.wait()
        results.append((number, act(number)))

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_SECONDS)
    assert len(results) == count, "a thread failed or never ended"
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]
