"""What another process does with a store: `python -m tests.contract.store_worker STORE PLACE ACTION [ARGUMENT …]`.

Each action prints a line when it has come to the point, and goes on when its stdin says so.
"""

from __future__ import annotations

import os
import sys

import msgspec

from daintree.store.store import Store
from tests.contract.runs import publish_indexed, record_of
from tests.contract.stores import STORES


def publish_index(store: Store, key: str, run: str) -> None:
    """Publish a record of its own; say which one stands."""
    store.lookup([key])
    _say("ready")
    sys.stdin.readline()
    _say(store.publish_index(key, record_of(run)).run)


def publish_runs(store: Store) -> None:
    """Publish run after run until killed; say the id of each before it begins."""
    for number in range(10_000):
        run = f"20260301T101500000Z-{number:08d}"
        _say(run)
        publish_indexed(store, run, {f"{n}.bin": os.urandom(1000) for n in range(5)})


def hold_lease(store: Store, key: str) -> None:
    """Hold a lease until stdin ends."""
    with store.lease(key, waiting=lambda: None):
        _say("held")
        sys.stdin.read()


def count(store: Store, key: str, times: str) -> None:
    """Add to a number that only the lease protects."""
    for _ in range(int(times)):
        with store.lease(key, waiting=lambda: None):
            number = int(store.read_note("number") or b"0")
            store.write_note("number", str(number + 1).encode())


def stage(store: Store, run: str) -> None:
    """Stage a run until stdin ends; say where."""
    with store.stage(run) as staging:
        (staging.output / "half-written").touch()
        _say(str(staging.output))
        sys.stdin.read()


ACTIONS = {
    action.__name__: action for action in (publish_index, publish_runs, hold_lease, count, stage)
}


def _say(line: str) -> None:
    print(line, flush=True)


def main(name: str, place: str, action: str, *arguments: str) -> None:
    """Do the action."""
    ACTIONS[action](msgspec.json.decode(place, type=STORES[name]).open(), *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
