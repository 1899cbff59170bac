"""Nothing begins once a run is cancelled, and what was under way has ended by then."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from daintree.concurrency import Cancellation

LONGEST_SECONDS = 60


class Worker:
    """A thread that does what it shall until it is let go, and says that it has ended."""

    def __init__(self, cancellation: Cancellation) -> None:
        self.released = threading.Event()
        self.log: list[str] = []
        began = threading.Event()

        def work() -> None:
            with cancellation.running():
                began.set()
                self.released.wait(LONGEST_SECONDS)
                self.log.append("ended")

        self.thread = threading.Thread(target=work)
        self.thread.start()
        assert began.wait(LONGEST_SECONDS)


@pytest.fixture
def cancellation() -> Cancellation:
    return Cancellation()


@pytest.fixture
def worker(cancellation: Cancellation) -> Iterator[Worker]:
    made = Worker(cancellation)
    yield made
    made.released.set()
    made.thread.join()


def test_what_is_running_is_waited_for(cancellation: Cancellation, worker: Worker) -> None:
    def cancel() -> None:
        cancellation.cancel(LONGEST_SECONDS)
        worker.log.append("cancelled")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    while not cancellation.is_requested():
        assert canceller.is_alive()
    worker.released.set()
    canceller.join()
    assert worker.log == ["ended", "cancelled"]


def test_what_does_not_end_is_not_waited_for_any_longer(
    cancellation: Cancellation, worker: Worker
) -> None:
    assert not cancellation.cancel(0)
    assert cancellation.is_requested()
    assert worker.log == []


def test_nothing_begins_afterwards(cancellation: Cancellation) -> None:
    cancellation.cancel(0)
    with pytest.raises(KeyboardInterrupt), cancellation.running():
        pytest.fail("it began")


def test_whoever_cancels_does_not_wait_for_itself(cancellation: Cancellation) -> None:
    with cancellation.running(), cancellation.running():
        assert cancellation.cancel(0)


def test_what_fails_has_ended(cancellation: Cancellation) -> None:
    def fail() -> None:
        with pytest.raises(ValueError, match="bad"), cancellation.running():
            raise ValueError("bad")

    worker = threading.Thread(target=fail)
    worker.start()
    worker.join()
    assert cancellation.cancel(0)
