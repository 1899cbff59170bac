"""Kill -9 at random points of runs and their publishing, on a directory and on MinIO: no output is wrong, and none that was complete is lost."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

from contenders import workspace
from oracle import Clone, Place, Tally, Values, expected, forget_cache, kill, places, random_values
from projects import PIPELINE
from timing import parser

STAGES = 3
VIOLATIONS = ("wrong hit", "crash", "refused", "lost", "left behind")


def main() -> None:
    """Attack each kind of store, and print a row for it."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=500, help="kills for each kind of store")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    kills = 4 if arguments.quick else arguments.kills
    with workspace() as directory:
        results = [attack(p, kills, random.Random(arguments.seed)) for p in places(directory)]
    raise SystemExit(not all(results))


def attack(place: Place, kills: int, numbers: random.Random) -> bool:
    """Kill runs of changing parameters; then look for all that had been complete. False where something was wrong."""
    tally, clone = Tally(VIOLATIONS), place.clone("clone", STAGES)
    started = time.monotonic()
    clone.run(tally)
    whole = time.monotonic() - started
    complete: dict[Values, list[str]] = {}
    for number in range(kills):
        clone.edit(random_values(numbers, STAGES))
        process = clone.start("run", PIPELINE)
        try:
            process.communicate(timeout=numbers.uniform(0.1, 1.0) * whole)
            tally.add("ended before")
        except subprocess.TimeoutExpired:
            kill(process)
            process.communicate()
            tally.add("killed")
        if number % 2:
            stages = clone.run(tally)
            complete[clone.values] = [str(stage["digest"]) for stage in stages]
        if numbers.random() < 0.2:
            forget_cache(clone)
    check_complete(clone, complete, tally)
    check_remains(clone, tally)
    return tally.finish(f"{kills} kills, {place.kind()}")


def check_complete(clone: Clone, complete: dict[Values, list[str]], tally: Tally) -> None:
    """What a finished run has put into the store is a hit for whoever has nothing but the store."""
    forget_cache(clone)
    for values, digests in complete.items():
        clone.edit(values)
        stages = clone.run(tally)
        found = [(stage["status"], stage["digest"]) for stage in stages]
        if found != [("hit", digest) for digest in digests]:
            tally.add("lost", f"{values}: {found}, {expected(values)!r}")


def check_remains(clone: Clone, tally: Tally) -> None:
    """One collection takes away what the killed have left."""
    clone.doit("store", "--orphans", "--yes")
    code, out, err = clone.doit("store", "--orphans")
    if code or " 0 interrupted runs" not in out.decode():
        tally.add("left behind", out.decode() + err)
    staging = Path(clone.environment["DAINTREE_CACHE"])
    tally.counts["files in the cache"] += sum(path.is_file() for path in staging.rglob("*"))


if __name__ == "__main__":
    main()
