"""item2vec's service under load: requests a second on one core, latency, memory, and reloads that lose no request."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beauty import MIB, doit
from contenders import daintree, user_environments, variables, workspace
from load import Client, Load
from projects import copy_of_this_project
from timing import parser, row

ITEMS, USERS, PURCHASES = 12_000, 20_000, 200_000
K = 10
TOKEN = "benchmark"
# As many as a service's callers may have open; at a pace, as many as it takes that none has to wait.
BUSY_CONNECTIONS, PACED_CONNECTIONS = 8, 64
PACE = 500


def main() -> None:
    """Measure, and print one row per target."""
    arguments = parser(__doc__).parse_args()
    many, paced = (5_000, 2_000) if arguments.quick else (100_000, 15_000)
    with workspace() as directory:
        environment = variables(directory / "cache", environments=user_environments())
        project = copy_of_this_project(directory / "item2vec")
        source = directory / "purchases.json.gz"
        items = write_purchases(source, ITEMS, USERS, PURCHASES)
        run = ("run", "item2vec:train", "--source", str(source), "--set", "train.epochs=1")
        doit(*run, project=project, environment=environment)
        with served(directory, project, environment) as service:
            client = Client("127.0.0.1", service.port, "/recommend", questions(items), is_right)
            under_load(service, client, many)
            at_a_pace(client, paced)
            with_reloads(service, client, paced)
    print(f"load average: {os.getloadavg()[0]:.1f}", file=sys.stderr)


def under_load(service: Service, client: Client, count: int) -> None:
    """As fast as it goes: requests a second, latency, and memory once a tenth of them has warmed it up."""
    client.send(count // 10, connections=BUSY_CONNECTIONS)
    memory, cpu = service.memory(), service.cpu_seconds()
    load = client.send(count, connections=BUSY_CONNECTIONS)
    used = 1000 * (service.cpu_seconds() - cpu) / count
    what = f"{count:,} requests, {BUSY_CONNECTIONS} at a time"
    found = f"{load.rate:,.0f} a second, {latency(load)}; {used:.2f} ms of CPU each"
    row(what, "≥ 500 a second, p99 ≤ 20 ms, none lost", found)
    row("memory before and after these", "flat", f"{memory:.1f} MiB, {service.memory():.1f} MiB")


def at_a_pace(client: Client, count: int) -> None:
    """Requests that come whether or not those before them have been answered."""
    load = client.send(count, connections=PACED_CONNECTIONS, rate=PACE)
    row(f"{count:,} requests, {PACE} a second", "p99 ≤ 20 ms, none lost", latency(load))


def with_reloads(service: Service, client: Client, count: int) -> None:
    """Half the pace, while one reload follows the other: a thread that loads takes half of the core."""
    done = threading.Event()

    def reload() -> int:
        reloads = 0
        while not done.is_set():
            service.reload()
            reloads += 1
        return reloads

    with ThreadPoolExecutor() as pool:
        reloads = pool.submit(reload)
        try:
            load = client.send(count // 2, connections=PACED_CONNECTIONS, rate=PACE / 2)
        finally:
            done.set()
        times = reloads.result()
    what = f"{count // 2:,} requests, {PACE // 2} a second, during {times} reloads in a row"
    row(what, "none lost", latency(load))


def latency(load: Load) -> str:
    """What became of the requests, for people."""
    faults = ", ".join(f"{count:,} {what}" for what, count in load.faults.items())
    median, most = load.milliseconds(0.5), load.milliseconds(0.99)
    return f"p50 {median:.1f} ms, p99 {most:.1f} ms, {faults or 'none'} lost"


@dataclass(frozen=True)
class Service:
    """A service that runs as a process of its own; what it says of itself and does when asked."""

    port: int

    def memory(self) -> float:
        """What it keeps in memory, in MiB."""
        return self._metric("process_resident_memory_bytes") / MIB

    def cpu_seconds(self) -> float:
        """The CPU time that it has taken so far."""
        return self._metric("process_cpu_seconds_total")

    def reload(self) -> None:
        """Have the newest model loaded; returns when it answers."""
        self._ask("/reload", method="POST", headers={"Authorization": f"Bearer {TOKEN}"})

    def _metric(self, name: str) -> float:
        lines = self._ask("/metrics").decode("utf-8").splitlines()
        [value] = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
        return float(value)

    def _ask(self, path: str, **how: Any) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", **how)
        with urllib.request.urlopen(request) as response:
            content: bytes = response.read()
            return content


@contextlib.contextmanager
def served(directory: Path, project: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """The latest model behind HTTP on one core; the load comes from the others."""
    token = directory / "token"
    token.write_text(TOKEN, encoding="utf-8")
    command = [daintree(), "serve", "item2vec", "--port=0", f"--output={directory / 'requests'}"]
    command += ["--set", f"reload_token_file={token}"]
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    process = subprocess.Popen(
        command, cwd=project, env=environment, stderr=subprocess.PIPE, encoding="utf-8"
    )
    os.sched_setaffinity(0, others or {first})
    try:
        assert process.stderr is not None
        said = next((line for line in process.stderr if line.startswith("serving ")), "")
        if not said:
            raise SystemExit(f"error: {' '.join(command)} has not begun to serve")
        address = said.partition(" at http://")[2].split()[0]
        yield Service(int(address.rpartition(":")[2]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def write_purchases(path: Path, items: int, users: int, purchases: int) -> list[str]:
    """Made-up purchases as a source of item2vec; returns the items, the first twice as often bought as the last."""
    draw = random.Random(1)
    names = [f"B{number:09}" for number in range(items)]
    weights = [2 * items - number for number in range(items)]
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for number, item in enumerate(draw.choices(names, weights, k=purchases)):
            record = {
                "reviewerID": f"U{draw.randrange(users):09}",
                "asin": item,
                "unixReviewTime": number,
            }
            file.write(json.dumps(record) + "\n")
    return names


def questions(items: Sequence[str]) -> list[bytes]:
    """Bodies with one to ten items each."""
    draw = random.Random(2)
    asked = [draw.sample(items, draw.randint(1, 10)) for _ in range(1000)]
    return [json.dumps({"items": each, "k": K}).encode("ascii") for each in asked]


def is_right(answer: bytes) -> bool:
    """Whether an answer recommends as many items as were wanted."""
    return answer.count(b'"item":') == K


if __name__ == "__main__":
    main()
