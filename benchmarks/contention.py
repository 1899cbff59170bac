"""Processes of many machines that want the same keys at once, on MinIO behind a proxy with faults: one result a key, and few failures."""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from contenders import workspace
from oracle import Place, Tally
from timing import parser

from tests.services.minio import running_server
from tests.services.proxy import (
    Exchange,
    busy,
    busy_when_done,
    cut,
    passes,
    proxy,
    reset,
    reset_when_done,
)

VIOLATIONS = ("wrong hit", "crash", "second winner", "too many failures")
FAULTS = (busy, busy_when_done, reset, reset_when_done, cut)


def main() -> None:
    """Let the processes meet at each key, and print a row."""
    options = parser(__doc__)
    options.add_argument("--processes", type=int, default=50)
    options.add_argument("--keys", type=int, default=100)
    options.add_argument("--faults", type=float, default=0.1, help="share of requests with a fault")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    processes, rounds = (3, 2) if arguments.quick else (arguments.processes, arguments.keys)
    numbers, tally = random.Random(arguments.seed), Tally(VIOLATIONS)
    server = running_server()

    def sometimes(exchange: Exchange) -> None:
        faulty = numbers.random() < arguments.faults
        (numbers.choice(FAULTS) if faulty else passes)(exchange)

    with workspace() as directory, proxy(server.access.endpoint) as way:
        way.when("", sometimes)
        place = Place(directory, server, way.endpoint)
        clones = [place.clone(f"machine-{number}", 1) for number in range(processes)]
        seconds: list[float] = []
        winners: dict[int, set[str]] = defaultdict(set)

        def ask(number: int, key: int) -> None:
            clone = clones[number]
            clone.edit((key,))
            started = time.monotonic()
            stages = clone.run(tally)
            seconds.append(time.monotonic() - started)
            winners[key] |= {str(stage["run"]) for stage in stages}

        with ThreadPoolExecutor(processes) as pool:
            for key in range(rounds):
                list(pool.map(ask, range(processes), [key] * processes))
        requests = len(way.requests)
    for key, runs in winners.items():
        if len(runs) > 1:
            tally.add("second winner", f"key {key}: {sorted(runs)}")
    if tally.counts["refused"] > 0.001 * processes * rounds:
        tally.add("too many failures", f"{tally.counts['refused']} of {processes * rounds}")
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    sound = tally.finish(
        f"{processes} processes, {rounds} keys, {requests} requests, p99 of a wait {p99:.1f} s"
    )
    raise SystemExit(not sound)


if __name__ == "__main__":
    main()
