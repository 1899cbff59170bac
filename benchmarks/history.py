"""`doit history` of very many runs: seconds, peak memory, and the requests it sends to a bucket."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from contenders import make_writable, user_environments, variables, workspace
from oracle import DOIT
from projects import chain
from timing import parser, row

from daintree.store.bucket import Bucket
from daintree.store.records import HistoryEntry, Keys, encode
from tests.services.minio import running_server
from tests.services.minio import variables as keys
from tests.services.proxy import proxy

STAGES = 10
DAYS = 1000
SHOWN = 20
IN_A_BUCKET = 2000
NEWEST = datetime(2026, 3, 1, 10, 15, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64


def main() -> None:
    """Measure, and print a row for a directory and for a bucket."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=1_000_000, help="runs in the directory")
    arguments = options.parse_args()
    runs = 10_000 if arguments.quick else arguments.runs
    with workspace() as directory:
        chain(directory / "project", 2)
        store = directory / "store"
        fabricate(store, runs)
        seconds, mebibytes = measured(directory, {"DAINTREE_STORE": str(store)})
        what = f"`doit history` of {runs:,} runs, {SHOWN} shown"
        row(what, "≤ 0.5 s, ≤ 60 MB", f"{seconds:.2f} s, {mebibytes:.0f} MB")
        row(
            f"the same, a bucket of {IN_A_BUCKET:,} runs",
            f"≤ {2 * SHOWN} requests",
            requests(directory),
        )
        make_writable(directory)


def entry(number: int, runs: int) -> HistoryEntry:
    """The history entry of a run: the runs are spread over stages and days."""
    started = NEWEST - timedelta(days=DAYS) * (number / runs)
    run = f"{started:%Y%m%dT%H%M%S}{number % 1000:03d}Z-{number:08x}"
    return HistoryEntry(
        run=run,
        location=f"step/{'0' * 20}/{run}",
        pipeline="chain",
        stage=f"s{number % STAGES}",
        component="step",
        version=DIGEST,
        parameters={"step": number},
        environment="image",
        runner="local",
        keys=Keys(DIGEST, DIGEST),
        result="succeeded",
        reason="params.step 1 → 2",
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        finished=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        seconds=1.0,
        record="0" * 64,
        metrics={"test.hr@10": number / runs},
    )


def fabricate(store: Path, runs: int) -> None:
    """Write the entries as files, with nothing else of the runs."""
    (store).mkdir(parents=True)
    (store / "_store").write_text("")
    made: set[str] = set()
    for number in range(runs):
        written = entry(number, runs)
        path = f"{store}/{written.path}"
        parent = os.path.dirname(path)
        if parent not in made:
            os.makedirs(parent)
            made.add(parent)
        with open(path, "wb") as file:
            file.write(encode(written, written.path))


def measured(directory: Path, more: dict[str, str]) -> tuple[float, float]:
    """(seconds, MB of memory at most) of one command: the median of five, and the most."""
    environment = {
        **variables(directory / "home", environments=user_environments()),
        "HOME": str(directory / "home"),
        "DAINTREE_CACHE": str(directory / "cache"),
        **more,
    }
    (directory / "home").mkdir(exist_ok=True)
    seconds, memory = [], 0
    for _ in range(5):
        started = time.perf_counter()
        process = subprocess.Popen(
            [DOIT, "history", "--limit", str(SHOWN)],
            cwd=directory / "project",
            env=environment,
            stdout=subprocess.PIPE,
        )
        assert process.stdout
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert len(lines) == SHOWN + 1, lines
        seconds.append(time.perf_counter() - started)
        memory = max(memory, usage.ru_maxrss)
    return sorted(seconds)[2], memory * 1024 / 1e6


def requests(directory: Path) -> int:
    """The number of requests that the command sends to a bucket of IN_A_BUCKET runs."""
    server = running_server()
    bucket = Bucket(f"s3://{server.bucket()}", server.access)
    for number in range(IN_A_BUCKET):
        written = entry(number, IN_A_BUCKET)
        bucket.put(written.path, encode(written, written.path))
    with proxy(server.access.endpoint) as tap:
        access = msgspec.structs.replace(server.access, endpoint=tap.endpoint)
        more = {"DAINTREE_STORE": bucket.url, **keys(access)}
        measured(directory, more)
        return len(tap.requests) // 5


if __name__ == "__main__":
    main()
