"""Tests of the waiting between two looks: no signal is lost, whenever it comes."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from daintree.commands.watch import LONGEST_SECONDS, until_stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_nothing_was_raised_for_ends_the_waiting(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if it had come right before the wait, when it is too late for an exception."""

    def look() -> None:
        os.kill(os.getpid(), number)

    previous = signal.signal(number, lambda number, frame: None)
    try:
        code = until_stopped(look, LONGEST_SECONDS)
    finally:
        signal.signal(number, previous)
    assert (code, capsys.readouterr().err) == (128 + number, "stopped\n")


def test_a_look_asked_for_in_the_midst_of_one_follows_it() -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(len(looks))
        os.kill(os.getpid(), signal.SIGUSR1 if len(looks) == 1 else signal.SIGINT)

    with contextlib.suppress(KeyboardInterrupt):
        until_stopped(look, LONGEST_SECONDS)
    assert looks == [0, 1]


def test_the_handlers_are_put_back() -> None:
    def look() -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt):
        until_stopped(look, LONGEST_SECONDS)
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1
