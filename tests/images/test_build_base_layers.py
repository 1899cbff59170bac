"""One push of a base goes ahead; the others wait for it, and not for one another."""

from __future__ import annotations

import threading

import pytest

from daintree.images.build import BaseLayers

LIMIT_SECONDS = 30


def test_others_with_the_base_wait_and_others_without_do_not() -> None:
    pushes, begun, end, order = BaseLayers(), threading.Event(), threading.Event(), []

    def first() -> None:
        with pushes.pushed("slim"):
            begun.set()
            end.wait(LIMIT_SECONDS)
            order.append("first")

    def second() -> None:
        with pushes.pushed("slim"):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(LIMIT_SECONDS)
    threads[1].start()
    with pushes.pushed("alpine"):
        order.append("another base")
    end.set()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert order == ["another base", "first", "second"]


def test_once_one_is_there_the_rest_go_side_by_side() -> None:
    pushes, together = BaseLayers(), threading.Barrier(2)
    with pushes.pushed("slim"):
        pass

    def push() -> None:
        with pushes.pushed("slim"):
            together.wait(LIMIT_SECONDS)

    threads = [threading.Thread(target=push) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert not together.broken


def test_when_the_first_fails_the_next_goes_ahead() -> None:
    pushes = BaseLayers()
    with pytest.raises(OSError, match="refused"), pushes.pushed("slim"):
        raise OSError("refused")
    with pushes.pushed("slim"):
        pass
