"""A call beside its caller gives back what it gave, or raises what it raised."""

from __future__ import annotations

import threading

import pytest

from daintree.concurrency import Background


def test_it_runs_beside_its_caller() -> None:
    met = threading.Barrier(2, timeout=60)
    call = Background(met.wait)
    met.wait()
    assert call.result() in (0, 1)
    assert call.result() in (0, 1)


def test_none_is_a_result() -> None:
    assert Background(lambda: None).result() is None


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_what_it_raises_is_raised_where_its_result_is_wanted(error: BaseException) -> None:
    def fail() -> None:
        raise error

    call = Background(fail)
    with pytest.raises(type(error)) as raised:
        call.result()
    assert raised.value is error
