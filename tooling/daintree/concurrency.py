"""Calls that wait for others, side by side on threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    call: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """Call `call` with each item, at most `threads` at a time; return the results in the items' order.

    When one raises, no further one begins, and its exception is raised here once those that are running have ended. An
    interrupt is raised at once, and no further one begins then either: the threads are daemons and hold up no exit.
    """
    waiting = list(enumerate(items))
    results: dict[int, Result] = {}
    failures: list[BaseException] = []
    lock = threading.Lock()
    waiting.reverse()

    def work() -> None:
        while True:
            with lock:
                if not waiting or failures:
                    return
                place, item = waiting.pop()
            try:
                results[place] = call(item)
            except BaseException as error:
                failures.append(error)

    started = [threading.Thread(target=work, daemon=True) for _ in waiting[:threads]]
    try:
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    except BaseException as error:
        failures.append(error)
        raise
    if failures:
        raise failures[0]
    return [results[place] for place in sorted(results)]


class Background(Generic[Result]):
    """A call that runs in a thread of its own from the moment this is made."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._returned: list[Result] = []
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Result]) -> None:
        try:
            self._returned.append(call())
        except BaseException as error:
            self._raised = error

    def result(self) -> Result:
        """Wait for the call; return its result, or raise its exception."""
        self._thread.join()
        if self._raised is not None:
            raise self._raised
        return self._returned[0]


class Cancellation:
    """Request to stop, made once by any thread, to all blocks that are running."""

    def __init__(self) -> None:
        self._requested = False
        self._changed = threading.Condition()
        self._threads: list[int] = []

    def is_requested(self) -> bool:
        """True once everything is to stop."""
        return self._requested

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block that `cancel` waits for. Raises KeyboardInterrupt where a cancellation was requested already."""
        thread = threading.get_ident()
        with self._changed:
            if self.is_requested():
                raise KeyboardInterrupt
            self._threads.append(thread)
        try:
            yield
        finally:
            with self._changed:
                self._threads.remove(thread)
                self._changed.notify_all()

    def cancel(self, seconds: float) -> bool:
        """Request that everything stop, and wait until the blocks of all other threads have ended; False if not in time."""
        own = threading.get_ident()
        with self._changed:
            self._requested = True
            return self._changed.wait_for(lambda: not set(self._threads) - {own}, seconds)
