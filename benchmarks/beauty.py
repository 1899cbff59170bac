"""item2vec end to end on the Beauty set: seconds and peak memory of each stage; loading a ten times larger file."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contenders import PROJECT, daintree, user_environments, variables, workspace
from projects import copy_of_this_project
from timing import parser, row

SOURCE = PROJECT.parent / "shared" / "data" / "reviews_Beauty_5.json.gz"
MIB = 1 << 20
TIMES = 10


def main() -> None:
    """Measure, and print one row per stage."""
    parsing = parser(__doc__)
    parsing.add_argument("--source", type=Path, default=SOURCE, help="default: %(default)s")
    arguments = parsing.parse_args()
    with workspace() as directory:
        environment = variables(directory / "cache", environments=user_environments())
        project = copy_of_this_project(directory / "item2vec")
        small, large = arguments.source.resolve(), directory / "large.json.gz"
        target = "item2vec:load" if arguments.quick else "item2vec"
        doit("run", target, "--source", str(small), project=project, environment=environment)
        for run in stages(project, environment):
            row(run["stage"], f"{run['seconds']:.1f} s", mebibytes(run))
        repeat(small, large, TIMES)
        doit(
            "run", "item2vec:load", "--source", str(large), project=project, environment=environment
        )
        last = stages(project, environment)[-1]
        row(f"load, {TIMES} times the file", f"{last['seconds']:.1f} s", mebibytes(last))


def stages(project: Path, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The pipeline's runs so far, oldest first."""
    printed = doit("history", "item2vec", "--json", project=project, environment=environment)
    return sorted(json.loads(printed)["runs"], key=lambda run: str(run["run"]))


def doit(*arguments: str, project: Path, environment: Mapping[str, str]) -> bytes:
    """What a command of the project prints on stdout; the rest goes to stderr."""
    command = [daintree(), *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, check=True, stdout=subprocess.PIPE
    ).stdout


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the lines of a compressed file so many times over."""
    with gzip.open(target, "wb", compresslevel=1) as large:
        for _ in range(times):
            with gzip.open(source, "rb") as small:
                shutil.copyfileobj(small, large, MIB)


def mebibytes(run: Mapping[str, Any]) -> str:
    """A run's peak memory for people."""
    return f"{run.get('peak_memory', 0) / MIB:.0f} MiB"


if __name__ == "__main__":
    main()
