"""Decisions that ask the store in rounds: all that one round needs to know is asked at once, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from daintree.errors import ArtifactDamaged
from daintree.manifest import IndexRecord
from daintree.plan import BoundStage, Check, Decision, Lookup, SourceIdentity, decide_all
from daintree.store.protocol import Store

Decided = TypeVar("Decided")


def decided(
    store: Store,
    stages: Sequence[BoundStage],
    identity: SourceIdentity,
    forced: frozenset[str] = frozenset(),
) -> tuple[dict[str, IndexRecord | None], dict[str, Decision]]:
    """What the store holds under each stage's recipe key, and what that makes of each stage, by name."""
    keys = [stage.recipe for stage in stages]
    recipe_records = dict(zip(keys, store.lookup(keys), strict=True))
    decisions = decide_in_rounds(
        store,
        lambda lookup, check: decide_all(stages, identity, recipe_records, forced, lookup, check),
    )
    return recipe_records, decisions


def decide_in_rounds(store: Store, decide: Callable[[Lookup, Check], Decided]) -> Decided:
    """What `decide` says once it need not ask the store for anything more.

    `decide` is pure but for the two functions it is given. In each round it is told what is known so far; an output not
    yet checked passes for whole and a key not yet looked up for unknown, so that everything else it will ask comes up
    in the same round. A plan in which all is found takes one round of checks.
    """
    records: dict[str, IndexRecord | None] = {}
    damages: dict[str, ArtifactDamaged | None] = {}
    while True:
        keys: list[str] = []
        doubtful: list[IndexRecord] = []

        def lookup(key: str, keys: list[str] = keys) -> IndexRecord | None:
            if key not in records:
                keys.append(key)
            return records.get(key)

        def check(record: IndexRecord, doubtful: list[IndexRecord] = doubtful) -> None:
            if record.location not in damages:
                doubtful.append(record)
            damage = damages.get(record.location)
            if damage:
                raise damage

        decided = decide(lookup, check)
        if not keys and not doubtful:
            return decided
        if keys:
            records.update(zip(keys, store.lookup(keys), strict=True))
        places = [record.location for record in doubtful]
        damages.update(zip(places, store.check_all(doubtful), strict=True))
