"""item2vec on ten million made-up purchases, load to evaluation: seconds and memory, and chunked pandas beside it."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contenders import PROJECT, daintree, user_environments, variables, workspace
from projects import copy_of_this_project
from timing import parser, row

from daintree.runners.environments import Environments
from daintree.spec.component import read_component

MIB = 1 << 20
PURCHASES, USERS, ITEMS = 10_000_000, 1_000_000, 200_000
STAGES = ("load", "clean", "preprocess", "train", "evaluate")
COMPONENTS = ("common/load-jsonl", "common/clean-csv", *(f"item2vec/{s}" for s in STAGES[2:]))
UNITS = {"Mi": MIB, "Gi": MIB << 10}
# The same file read and written by chunked pandas, its strings kept: what a notebook would do.
READ = {
    "load": "pd.read_json(source, lines=True, chunksize=50_000, dtype=False)",
    "clean": "pd.read_csv(source, dtype='str', na_filter=False, chunksize=50_000)",
}
SCRIPT = """
import sys
import pandas as pd
source, target = sys.argv[1:]
with {read} as chunks, open(target, "w") as file:
    for number, chunk in enumerate(chunks):
        chunk.to_csv(file, index=False, header=number == 0)
"""


@dataclass(frozen=True)
class Usage:
    """Wall time and processor time of a command with its children, in seconds, and what it printed."""

    wall: float
    cpu: float
    printed: bytes

    @classmethod
    def of(cls, command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> Usage:
        """Run a command. Raises SystemExit when it fails."""
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        assert process.stdout
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}")
        return cls(time.perf_counter() - started, used.ru_utime + used.ru_stime, printed)


def main() -> None:
    """Measure, and print a row a stage, then one for each stage that chunked pandas is compared with."""
    parsing = parser(__doc__)
    parsing.add_argument("--purchases", type=int, default=PURCHASES, help="default: %(default)s")
    parsing.add_argument("--epochs", type=int, default=1, help="of the training; default: 1")
    parsing.add_argument(
        "--users", type=int, default=10_000, help="at most, in the evaluation; default: %(default)s"
    )
    arguments = parsing.parse_args()
    purchases = 100_000 if arguments.quick else arguments.purchases
    with workspace() as directory:
        source = directory / "purchases.json"
        write_purchases(source, purchases)
        row(f"{purchases:,} purchases", f"{source.stat().st_size / MIB:,.0f} MiB of JSON lines")
        environment = variables(directory / "cache", environments=user_environments())
        project = copy_of_this_project(directory / "item2vec")
        settings = {"train.epochs": arguments.epochs, "evaluate.max_users": arguments.users}
        options = [f"--source={source}", *(f"--set={name}={n}" for name, n in settings.items())]
        taken: dict[str, Usage] = {}
        for stage, component in zip(STAGES, COMPONENTS, strict=True):
            command = [daintree(), "run", f"item2vec:{stage}", *options]
            taken[stage] = Usage.of(command, project, environment)
            peak = peaks(project, environment)[stage]
            limit = declared(component)
            row(
                stage,
                seconds(taken[stage]),
                f"{peak / MIB:,.0f} MiB",
                f"≤ {limit / MIB:,.0f} MiB",
                peak <= limit,
            )
        found = [daintree(), "path", "item2vec:load", *options]
        loaded = Usage.of(found, project, environment).printed.decode().strip()
        sources = {"load": source, "clean": Path(loaded) / "records.csv"}
        for stage, file in sources.items():
            pandas = notebook(stage, file, directory / "copy.csv")
            share = taken[stage].cpu / pandas.cpu
            row(f"{stage} / chunked pandas", f"{share:.2f}", "≤ 1.50", seconds(pandas))


def seconds(usage: Usage) -> str:
    """Both times for people."""
    return f"{usage.wall:,.1f} s, {usage.cpu:,.1f} s of processor"


def notebook(stage: str, source: Path, target: Path) -> Usage:
    """Chunked pandas reads a file and writes it, in the environment of the stage's component."""
    component = COMPONENTS[STAGES.index(stage)]
    requirements = PROJECT / "components" / component / "requirements.txt"
    python = Environments(user_environments()).ensure(requirements, print)
    script = SCRIPT.format(read=READ[stage])
    return Usage.of(
        [str(python), "-c", script, str(source), str(target)], target.parent, os.environ
    )


def peaks(project: Path, environment: Mapping[str, str]) -> dict[str, int]:
    """The peak memory of each stage's last run, in bytes."""
    listed = Usage.of([daintree(), "history", "item2vec", "--json"], project, environment).printed
    runs = sorted(json.loads(listed)["runs"], key=lambda run: str(run["run"]))
    return {run["stage"]: run.get("peak_memory", 0) for run in runs}


def declared(component: str) -> int:
    """The memory that a component declares, in bytes."""
    path = PROJECT / "components" / component / "component.yaml"
    memory = read_component(path.read_bytes(), str(path)).resources.memory
    return int(memory[:-2]) * UNITS[memory[-2:]]


def write_purchases(path: Path, count: int) -> None:
    """Write purchases of about 200 bytes each, the same ones every time: a tenth as many users, a fiftieth as many items.

    An item is bought the more often the lower its number: a few very often, most seldom.
    """
    print(f"writing {count:,} purchases", file=sys.stderr)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            purchases(
                count, max(count * USERS // PURCHASES, 10), max(count * ITEMS // PURCHASES, 10)
            )
        )


def purchases(count: int, users: int, items: int) -> Iterator[str]:
    """Yield the purchases as lines of JSON."""
    draw = random.Random(1)
    weights = list(itertools.accumulate((rank + 10) ** -0.9 for rank in range(items)))
    text = " ".join(["as good as the last one, and it came in time"] * 2)
    left = count
    while left:
        size = min(left, 100_000)
        bought = draw.choices(range(items), cum_weights=weights, k=size)
        for item in bought:
            user, when = draw.randrange(users), draw.randrange(1_300_000_000, 1_400_000_000)
            yield (
                f'{{"reviewerID": "A{user:013}", "asin": "{item:010}", "overall": {when % 5 + 1}.0, '
                f'"unixReviewTime": {when}, "summary": "{text[:60]}", "verified": "yes"}}\n'
            )
        left -= size


if __name__ == "__main__":
    main()
