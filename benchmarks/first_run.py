"""The first run of a chain of trivial stages, with nothing in any cache, against DVC."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from contenders import daintree, dvc, make_writable, variables, workspace
from projects import PIPELINE, chain, dvc_chain
from timing import Process, parser, race, ratio, row

STAGES = 50


def main() -> None:
    """Measure, and print one row."""
    arguments = parser(__doc__).parse_args()
    with workspace() as directory:
        cache = directory / "cache"
        environment = variables(cache)
        project = chain(directory / "chain", STAGES)
        dvc_project = dvc_chain(directory / "chain-dvc", STAGES, environment)
        ours = Process(
            (daintree(), "run", PIPELINE),
            project,
            environment,
            f"{PIPELINE}: 0 hits, {STAGES} runs",
            reset=lambda: remove(cache),
        )
        dvcs = Process(
            (dvc(), "repro"),
            dvc_project,
            environment,
            "Use `dvc push`",
            reset=lambda: pristine(dvc_project, cache),
        )
        rounds = 3 if arguments.quick else 9
        times = race({"doit run": ours.seconds, "dvc repro": dvcs.seconds}, rounds)
    one, other = times.values()
    what = f"first run, {STAGES} trivial stages in a chain"
    row(what, "`dvc repro`", "≤ 0.60", ratio(one, other), f"{one} against {other}")


def remove(cache: Path) -> None:
    """Remove the store, the snapshots and the virtual environments."""
    make_writable(cache)
    shutil.rmtree(cache, ignore_errors=True)


def pristine(project: Path, cache: Path) -> None:
    """Bring a DVC project back to its commit, and its caches to nothing."""
    remove(cache)
    for arguments in (("clean", "-ffdxq"), ("checkout", "-q", "--", ".")):
        subprocess.run(["git", *arguments], cwd=project, check=True)


if __name__ == "__main__":
    main()
