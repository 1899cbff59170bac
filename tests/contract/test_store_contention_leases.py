"""What every store guarantees of a lease that several want at once."""

from __future__ import annotations

from daintree.store.store import Store
from tests.contract.runs import KEY
from tests.contract.stores import Place
from tests.contract.workers import StartWorker, at_once, finish, hear


def test_a_lease_is_held_by_one_thread_at_a_time(place: Place) -> None:
    inside: list[int] = []
    most: list[int] = []

    def act(number: int) -> None:
        store = place.open()
        for _ in range(5):
            with store.lease(KEY, waiting=lambda: None) as lease:
                inside.append(number)
                most.append(len(inside))
                assert lease.still_ours()
                inside.remove(number)

    at_once(6, act)
    assert most == [1] * 30


def test_a_lease_is_held_by_one_process_at_a_time(
    start: StartWorker, place: Place, store: Store
) -> None:
    workers = [start("count", KEY, "10", on=place.other_machine()) for _ in range(4)]
    for worker in workers:
        finish(worker)
    assert store.read_note("number") == b"40"


def test_who_waits_gets_the_lease_when_it_is_given_back(start: StartWorker, other: Store) -> None:
    holder = start("hold_lease", KEY)
    assert hear(holder) == "held"
    calls: list[None] = []

    def waiting() -> None:
        if not calls:
            finish(holder)
        calls.append(None)

    with other.lease(KEY, waiting=waiting) as lease:
        assert lease.still_ours()
        assert calls


def test_a_lease_whose_holder_was_killed_is_taken_over(start: StartWorker, other: Store) -> None:
    holder = start("hold_lease", KEY)
    assert hear(holder) == "held"
    calls: list[None] = []

    def waiting() -> None:
        calls.append(None)
        holder.kill()

    with other.lease(KEY, waiting=waiting) as lease:
        assert lease.still_ours()
        assert calls
