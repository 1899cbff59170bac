"""One push of a base goes ahead; the others wait for it, and not for one another."""

from __future__ import annotations

import threading

import pytest

from daintree.images.build import FirstPush

PATIENCE_SECONDS = 30


def test_others_with_the_base_wait_and_others_without_do_not() -> None:
    pushes, begun, end, order = FirstPush(), threading.Event(), threading.Event(), []

    def first() -> None:
        with pushes.of("slim"):
            begun.set()
            end.wait(PATIENCE_SECONDS)
            order.append("first")

    def second() -> None:
        with pushes.of("slim"):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(PATIENCE_SECONDS)
    threads[1].start()
    with pushes.of("alpine"):
        order.append("another base")
    end.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert order == ["another base", "first", "second"]


def test_once_one_is_there_the_rest_go_side_by_side() -> None:
    pushes, together = FirstPush(), threading.Barrier(2)
    with pushes.of("slim"):
        pass

    def push() -> None:
        with pushes.of("slim"):
            together.wait(PATIENCE_SECONDS)

    threads = [threading.Thread(target=push) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not together.broken


def test_when_the_first_fails_the_next_goes_ahead() -> None:
    pushes = FirstPush()
    with pytest.raises(OSError, match="refused"), pushes.of("slim"):
        raise OSError("refused")
    with pushes.of("slim"):
        pass
