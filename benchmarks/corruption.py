"""One byte flipped in every kind of stored object: it is detected and said, or it changes nothing that anybody sees."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping

from oracle import Clone, Place, Tally, attack_places, flip, forget_cache
from projects import PIPELINE

STAGES = 2
VIOLATIONS = ("wrong hit", "crash", "accepted")
COMMANDS = (
    ("plan", PIPELINE, "--json"),
    ("show", f"{PIPELINE}:s1", "--json"),
    ("history", PIPELINE, "--json"),
    ("path", f"{PIPELINE}:s1"),
)
_NAMES = re.compile(r"[0-9]{8}T[0-9]+Z-[0-9a-f]+|[0-9a-f]{20,}|[0-9]{2,}")


def main() -> None:
    """Attack each kind of store, and print a row for it."""
    attack_places(__doc__, "flips", "bytes flipped in each kind of object", 1, 200, attack)


def attack(place: Place, flips: int, numbers: random.Random) -> bool:
    """Flip one bit of the store at a time, and see what commands say then. False where something was wrong."""
    tally, clone = Tally(VIOLATIONS), place.clone("clone", STAGES)
    clone.run(tally)
    sound, before = place.contents(), said(clone)
    found = kinds(sound)
    for kind, names in sorted(found.items()):
        for _ in range(flips):
            name = numbers.choice(names)
            changed = flip(sound[name], numbers)
            offset = next(n for n, byte in enumerate(changed) if byte != sound[name][n])
            place.write(name, changed)
            judge(clone, before, tally, f"{kind}: byte {offset} of {name}")
            place.restore(sound)
    return tally.finish(f"{flips} flips in each of {len(found)} kinds, {place.kind()}")


def kinds(contents: Mapping[str, bytes]) -> dict[str, list[str]]:
    """The names of what is not empty, by what it is: the name without the parts that differ from one to the next."""
    found = defaultdict(list)
    for name in sorted(contents):
        if contents[name]:
            found[_NAMES.sub("*", name)].append(name)
    return found


def said(clone: Clone) -> list[tuple[int, bytes]]:
    """What the commands that only read say, to whoever has nothing but the store."""
    forget_cache(clone)
    return [clone.doit(*command)[:2] for command in COMMANDS]


def judge(clone: Clone, before: list[tuple[int, bytes]], tally: Tally, flipped: str) -> None:
    """Other words than before need a reason that is said, and no output may be wrong."""
    forget_cache(clone)
    for command, (code, out) in zip(COMMANDS, before, strict=True):
        now, printed, complaint = clone.doit(*command)
        if now not in (0, 1) or "Traceback" in complaint:
            tally.add("crash", f"{flipped}: doit {' '.join(command)}: {complaint[-2000:]}")
        elif (now, printed) != (code, out) and not complaint.strip() and command[0] != "plan":
            tally.add("accepted", f"{flipped}: doit {' '.join(command)}: {printed[:500]!r}")
        else:
            tally.add("unchanged" if (now, printed) == (code, out) else "detected")
    clone.run(tally)


if __name__ == "__main__":
    main()
