"""How long a server that does not answer is waited for in all."""

from __future__ import annotations

import pytest

from daintree.errors import StoreUnavailable
from daintree.store.bucket import MORE_SECONDS, REST_SECONDS, CircuitBreaker

AWAY = StoreUnavailable("it is away", hint="wait")


class Clock:
    """A clock that goes when it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """CircuitBreaker by this clock."""
    return CircuitBreaker(clock)


def test_a_server_that_answers_has_its_full_time(breaker: CircuitBreaker) -> None:
    breaker.check()
    breaker.answered()
    assert not breaker.is_open


def test_one_that_did_not_answer_has_little_and_after_a_while_none(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.given_up(AWAY)
    breaker.check()
    assert breaker.is_open
    clock.now += MORE_SECONDS
    breaker.given_up(AWAY)
    with pytest.raises(StoreUnavailable, match="it is away") as raised:
        breaker.check()
    assert raised.value.hint == "wait"


def test_after_a_rest_it_is_asked_again(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.given_up(AWAY)
    clock.now += MORE_SECONDS
    breaker.given_up(AWAY)
    clock.now += REST_SECONDS
    breaker.check()
    breaker.given_up(AWAY)
    with pytest.raises(StoreUnavailable):
        breaker.check()


def test_one_without_more_time_waits_once(clock: Clock) -> None:
    breaker = CircuitBreaker(clock, more_seconds=0)
    breaker.given_up(AWAY)
    with pytest.raises(StoreUnavailable):
        breaker.check()
    clock.now += REST_SECONDS
    breaker.check()


def test_an_answer_gives_it_back_its_time(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.given_up(AWAY)
    clock.now += MORE_SECONDS
    breaker.answered()
    assert not breaker.is_open
    breaker.given_up(AWAY)
    breaker.check()
