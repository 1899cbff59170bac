"""Make purchases.json.gz: synthetic purchases to try the pipeline with; the same bytes each time.

Each item belongs to a routine, such as the shampoo, the conditioner and the oil for one kind of
hair. A user follows a few routines, one after the other, and buys the items of each in nearly
their order, in a circle from some item on. So a user's last purchases say much about the next
one, and an item's popularity says little.

Run: python make_purchases.py [TARGET]
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

USERS = 600
ROUTINES = 20
ITEMS_PER_ROUTINE = 10
SHORTEST, LONGEST = 5, 30
FIRST_DAY = 1_356_998_400  # 2013-01-01 00:00:00 UTC, in seconds
SECONDS_PER_DAY = 86_400
SEED = 20140723


def below(chance: random.Random, limit: int) -> int:
    """A random whole number from 0 to `limit` - 1.

    Made from `random()` alone, the one method whose sequence Python keeps across its versions.
    """
    return int(chance.random() * limit)


def purchases(chance: random.Random) -> Iterator[int]:
    """Yield the items one user buys, routine by routine, each item once."""
    length = SHORTEST + int((LONGEST - SHORTEST + 1) * chance.random() ** 2)
    routines = list(range(ROUTINES))
    while length > 0:
        routine = routines.pop(below(chance, len(routines)))
        first = int(ITEMS_PER_ROUTINE * chance.random() ** 2)
        steps = [*range(first, ITEMS_PER_ROUTINE), *range(first)]
        for _ in range(min(length, 6 + below(chance, 3))):
            # Mostly the next step, at times the one after it.
            step = steps.pop(min(len(steps) - 1, int(chance.random() < 0.3)))
            yield routine * ITEMS_PER_ROUTINE + step
            length -= 1


def records() -> Iterator[dict[str, object]]:
    """Yield the records in the shape of the public review files, user by user."""
    chance = random.Random(SEED)
    for user in range(1, USERS + 1):
        day = below(chance, 300)
        for item in purchases(chance):
            yield {
                "reviewerID": f"A{user:07}",
                "asin": f"B{item + 1:07}",
                "overall": 5.0,
                "unixReviewTime": FIRST_DAY + day * SECONDS_PER_DAY,
            }
            day += 1 + below(chance, 3)


def write(target: Path) -> None:
    """Write the records to `target`, gzip without a name and a time in it."""
    with target.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        for record in records():
            packed.write(json.dumps(record).encode() + b"\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("purchases.json.gz"))
