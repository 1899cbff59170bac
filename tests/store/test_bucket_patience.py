"""How long a server that does not answer is waited for in all."""

from __future__ import annotations

import pytest

from daintree.errors import StoreUnavailable
from daintree.store.bucket import MORE_SECONDS, REST_SECONDS, Patience

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
def patience(clock: Clock) -> Patience:
    """Patience by this clock."""
    return Patience(clock)


def test_a_server_that_answers_has_its_full_time(patience: Patience) -> None:
    patience.check()
    patience.answered()
    assert not patience.is_short


def test_one_that_did_not_answer_has_little_and_after_a_while_none(
    patience: Patience, clock: Clock
) -> None:
    patience.given_up(AWAY)
    patience.check()
    assert patience.is_short
    clock.now += MORE_SECONDS
    patience.given_up(AWAY)
    with pytest.raises(StoreUnavailable, match="it is away") as raised:
        patience.check()
    assert raised.value.hint == "wait"


def test_after_a_rest_it_is_asked_again(patience: Patience, clock: Clock) -> None:
    patience.given_up(AWAY)
    clock.now += MORE_SECONDS
    patience.given_up(AWAY)
    clock.now += REST_SECONDS
    patience.check()
    patience.given_up(AWAY)
    with pytest.raises(StoreUnavailable):
        patience.check()


def test_an_answer_gives_it_back_its_time(patience: Patience, clock: Clock) -> None:
    patience.given_up(AWAY)
    clock.now += MORE_SECONDS
    patience.answered()
    assert not patience.is_short
    patience.given_up(AWAY)
    patience.check()
