"""Calls side by side."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from daintree.concurrency import side_by_side


def test_results_are_in_the_items_order() -> None:
    assert side_by_side(lambda number: number * 2, range(100), 8) == list(range(0, 200, 2))
    assert side_by_side(str, [], 8) == []


def test_as_many_at_a_time_as_is_said() -> None:
    """Each waits for the others: with fewer threads this would never end."""
    barrier = threading.Barrier(4)
    assert len(side_by_side(lambda _: barrier.wait(60), range(8), 4)) == 8


def test_never_more() -> None:
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def call(item: int) -> None:
        with lock:
            running.append(item)
            most.append(len(running))
        with lock:
            running.remove(item)

    side_by_side(call, range(200), 3)
    assert max(most) <= 3


def test_an_error_is_raised_and_nothing_more_begins() -> None:
    begun: list[int] = []

    def call(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError(item)

    with pytest.raises(ValueError, match="1"):
        side_by_side(call, range(100), 1)
    assert begun == [0, 1]


def test_an_interrupt_is_raised_at_once_and_nothing_more_begins() -> None:
    begun: list[int] = []
    released = threading.Event()

    def call(item: int) -> None:
        begun.append(item)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        released.wait(60)

    others = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        side_by_side(call, range(100), 2)
    left_behind = set(threading.enumerate()) - others
    assert len(left_behind) == 2
    released.set()
    for thread in left_behind:
        thread.join()
    assert len(begun) == 2
