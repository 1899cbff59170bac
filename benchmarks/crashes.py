"""Kill -9 at random points of runs, their publishing and collections, on a directory and on MinIO: no output is wrong, and none that was complete is lost."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import time
from pathlib import Path

from oracle import Clone, Place, Tally, Values, attack_places, expected, forget_cache, random_values
from projects import PIPELINE

STAGES = 3
COLLECT = ("gc", "--older-than", "0s", "--grace", "0s", "--yes")
VIOLATIONS = ("wrong hit", "crash", "refused", "lost", "left behind")


def main() -> None:
    """Attack each kind of store, and print a row for it."""
    attack_places(__doc__, "kills", "kills for each kind of store", 4, 500, attack)


def attack(place: Place, kills: int, numbers: random.Random) -> bool:
    """Kill runs of changing parameters; then look for all that had been complete. False where something was wrong."""
    tally, clone = Tally(VIOLATIONS), place.clone("clone", STAGES)
    clone.run(tally)
    # The first has made the environment, too.
    clone.edit((1,) * STAGES)
    started = time.monotonic()
    clone.run(tally)
    whole = time.monotonic() - started
    complete: dict[Values, list[str]] = {}
    killed = 0
    for number in itertools.count():
        if killed == kills:
            break
        clone.edit(random_values(numbers, STAGES))
        collects = number % 4 == 2
        if interrupt(clone, COLLECT if collects else ("run", PIPELINE), numbers, whole):
            killed += 1
            tally.add("collections killed" if collects else "runs killed")
        else:
            tally.add("collections ended" if collects else "runs ended")
        if collects:
            # What the pipeline does not reach now may be gone.
            complete = {clone.values: complete[clone.values]} if clone.values in complete else {}
        if number % 2:
            stages = clone.run(tally)
            complete[clone.values] = [str(stage["digest"]) for stage in stages]
        if numbers.random() < 0.2:
            forget_cache(clone)
    check_complete(clone, complete, tally)
    check_remains(place, clone, tally)
    return tally.finish(f"{kills} kills, {place.kind()}")


def interrupt(clone: Clone, command: tuple[str, ...], numbers: random.Random, whole: float) -> bool:
    """Kill a command at a random point of the time that a whole run takes. False where it ended before."""
    process = clone.start(*command)
    try:
        process.communicate(timeout=numbers.uniform(0, 1) * whole)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True


def check_complete(clone: Clone, complete: dict[Values, list[str]], tally: Tally) -> None:
    """What a finished run has put into the store is a hit for whoever has nothing but the store."""
    forget_cache(clone)
    for values, digests in complete.items():
        clone.edit(values)
        stages = clone.run(tally)
        found = [(stage["status"], stage["digest"]) for stage in stages]
        if found != [("hit", digest) for digest in digests]:
            tally.add("lost", f"{values}: {found}, {expected(values)!r}")


def check_remains(place: Place, clone: Clone, tally: Tally) -> None:
    """One collection takes away what the killed have left."""
    clone.doit("gc", "--yes")
    code, out, err = clone.doit("gc", "--json")
    found = json.loads(out) if code == 0 else {}
    goes = [output for store in found.get("stores", ()) for output in store["goes"]]
    # In a bucket what is young may be somebody's who is slow.
    left = found.get("interrupted", {}).get("number") or (
        goes if place.kind() == "directory" else []
    )
    if code or left:
        tally.add("left behind", f"{left}{err}")
    staging = Path(clone.environment["DAINTREE_CACHE"])
    tally.counts["files in the cache"] += sum(path.is_file() for path in staging.rglob("*"))


if __name__ == "__main__":
    main()
