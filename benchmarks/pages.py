"""Pages of large things: 1,000 stages, 10,000 runs, 5,000 files, a table of 2 GB; seconds a page and memory of the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from contenders import make_writable, variables
from projects import chain
from timing import parser, row, timed

from daintree.digest import digest_record
from daintree.store.integrity import hash_artifact
from daintree.store.records import Keys, RunManifest, history_entry_of
from daintree.store.store import Store, directory_store

SECONDS, MEBIBYTES = 1.5, 300
DOIT = Path(sys.executable).with_name("doit")


def manifest_of(number: int, stage: str, **changed: object) -> RunManifest:
    """The record of a run, at its own minute."""
    day, minute = divmod(number, 1440)
    time = f"2026{1 + day // 28:02d}{1 + day % 28:02d}T{minute // 60:02d}{minute % 60:02d}00000Z"
    run = f"{time}-{number:08x}"
    fields: dict[str, object] = {
        "run": run,
        "location": f"bench/pass-on-0/{number:020x}/2026/01/01/{run}",
        "pipeline": "chain",
        "stage": stage,
        "component": "bench/pass-on-0",
        "version": digest_record("version", 1, str(number)),
        "parameters": {"number": number % 50, "rate": number / 10_000},
        "environment": "image",
        "runner": "local",
        "keys": Keys(digest_record("r", 1, str(number)), digest_record("c", 1, str(number))),
        "result": "failed" if number % 17 == 0 else "succeeded",
        "reason": "component bench/pass-on-0 changed: main.py",
        "started": f"{time[:4]}-{time[4:6]}-{time[6:8]}T{time[9:11]}:{time[11:13]}:00Z",
        "finished": f"{time[:4]}-{time[4:6]}-{time[6:8]}T{time[9:11]}:{time[11:13]}:01Z",
        "seconds": 1.0 + number % 7,
        "user": "ana" if number % 3 else "ben",
        "host": "laptop",
        "commit": f"{number:040x}",
    }
    return RunManifest(**{**fields, **changed})  # type: ignore[arg-type]


def publish(store: Store, number: int, files: int, size: int) -> str:
    """Publish a run with so many files, the first of them a table of so many bytes; its id."""
    manifest = manifest_of(number, "s0")
    with store.stage(manifest.run) as staging:
        for each in range(files):
            (staging.output / f"part-{each:05}.txt").write_text(f"{each}\n")
        with open(staging.output / "a.csv", "wb") as table:
            block = b"12345,some words,0.123456789\n" * 40_000
            table.write(b"number,text,rate\n")
            while table.tell() < size:
                table.write(block)
        staging.log.write_bytes(b"epoch 1\n" * 100_000)
        output = hash_artifact(staging.output)
        whole = manifest_of(number, "s0", output=output, result="succeeded")
        return store.publish_run(staging, whole).run


@contextmanager
def served(root: Path, environ: dict[str, str]) -> Iterator[tuple[str, int]]:
    """`doit ui` of a project: its address and its process id."""
    command = [str(DOIT), "ui", "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def peak(process: int) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


def measure(address: str, process: int, path: str, title: str) -> bool:
    """Print a page's seconds (the second time, its files read once) and the server's memory; False when a limit is missed."""

    def fetch() -> None:
        with urlopen(address + path) as answer:
            assert answer.status == 200
            answer.read()

    first = timed(fetch)
    seconds = min(timed(fetch) for _ in range(3))
    mebibytes = peak(process)
    row(title, f"{first:.2f} s", f"{seconds:.2f} s", f"{mebibytes:.0f} MiB")
    return seconds <= SECONDS and mebibytes <= MEBIBYTES


def main() -> None:
    """Measure each; exit code 1 when a page misses its limit."""
    quick = parser(__doc__).parse_args().quick
    stages, runs, files = (50, 200, 100) if quick else (1000, 10_000, 5000)
    size = 10 << 20 if quick else 2_000_000_000
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        root = chain(place / "project", stages)
        environ = {**os.environ, **variables(place), "DAINTREE_STORE": str(place / "store")}
        store = directory_store(place / "store")
        for number in range(runs):
            entry = history_entry_of(manifest_of(number, f"s{number % 4}"), {"hr": number / 1e4})
            store.local.records.add_history(entry)
        run = publish(store, runs, files, size)
        row("page", "first", "then", "memory")
        row(*["---"] * 4)
        pipeline = next((root / "pipelines").iterdir()).stem
        with served(root, environ) as (address, process):
            fine = [
                measure(address, process, path, title)
                for title, path in {
                    f"home, a pipeline of {stages} stages": "index.html",
                    f"pipeline of {stages} stages": f"pipelines/{pipeline}/index.html",
                    f"runs, {runs}": f"pipelines/{pipeline}/runs.html",
                    "runs, filtered": f"pipelines/{pipeline}/runs.html?where=hr%3E0.5&sort=-parameter:rate",
                    f"metrics of {runs} runs": f"pipelines/{pipeline}/metrics.html",
                    f"run with {files} files": f"runs/{run}/index.html",
                    f"output of {files} files": f"runs/{run}/output-1.html",
                    f"a table of {size / 1e9:.1f} GB": f"runs/{run}/file-0.html",
                }.items()
            ]
        make_writable(place)
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
