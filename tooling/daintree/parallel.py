"""Calls that wait for others, side by side on threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    call: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """`call` of each item, at most `threads` at a time; the results in the items' order.

    When one raises, no further one begins, and what it raised is raised here once those under way have ended. An interrupt is
    raised at once, and no further one begins then either: the threads are daemons and hold up no exit.
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
