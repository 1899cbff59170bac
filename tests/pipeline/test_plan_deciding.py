"""How many rounds a plan asks its store."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from daintree.errors import ArtifactDamaged
from daintree.pipeline.decisions import Check, Lookup
from daintree.pipeline.plan import decide_in_rounds
from daintree.store.records import IndexRecord
from tests.contract.runs import key_of, record_of


class Asked:
    """The two questions a store is asked, and what it was asked in each round."""

    def __init__(self, damaged: str = "") -> None:
        self.rounds: list[list[str]] = []
        self._damaged = damaged

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """A record for each key."""
        self.rounds.append([f"look up {key[7:9]}" for key in keys])
        return [record_of(key[7:9], location=f"at/{key[7:9]}") for key in keys]

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """One run may be damaged."""
        if records:
            self.rounds.append([f"check {record.run}" for record in records])
        damage = ArtifactDamaged("it is damaged", file="a", kind="damaged")
        return [damage if record.run == self._damaged else None for record in records]


ONE, TWO = key_of("1"), key_of("2")


def test_what_needs_nothing_asks_nothing() -> None:
    store = Asked()
    assert decide_in_rounds(store, lambda lookup, check: "decided") == "decided"  # type: ignore[arg-type]
    assert store.rounds == []


def test_all_checks_of_a_plan_come_in_one_round() -> None:
    store = Asked()
    records = [record_of(f"run-{n}", location=f"at/{n}") for n in range(3)]

    def decide(lookup: Lookup, check: Check) -> int:
        for record in records:
            check(record)
        return len(records)

    assert decide_in_rounds(store, decide) == 3  # type: ignore[arg-type]
    assert store.rounds == [["check run-0", "check run-1", "check run-2"]]


def test_what_one_answer_leads_to_is_asked_in_the_next_round() -> None:
    store = Asked()

    def decide(lookup: Lookup, check: Check) -> list[str]:
        matching = [record for key in (ONE, TWO) if (record := lookup(key))]
        for record in matching:
            check(record)
        return [record.run for record in matching]

    decided = decide_in_rounds(store, decide)  # type: ignore[arg-type]
    assert decided == [ONE[7:9], TWO[7:9]]
    assert store.rounds == [
        [f"look up {ONE[7:9]}", f"look up {TWO[7:9]}"],
        [f"check {ONE[7:9]}", f"check {TWO[7:9]}"],
    ]


def test_damage_is_raised_where_it_is_asked_for() -> None:
    store = Asked(damaged="broken")

    def decide(lookup: Lookup, check: Check) -> str:
        try:
            check(record_of("broken", location="at/broken"))
        except ArtifactDamaged as damage:
            return damage.message
        return "whole"

    assert decide_in_rounds(store, decide) == "it is damaged"  # type: ignore[arg-type]
    with pytest.raises(ArtifactDamaged):
        decide_in_rounds(store, lambda lookup, check: check(record_of("broken", location="at/b")))  # type: ignore[arg-type]
