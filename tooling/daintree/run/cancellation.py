"""The end of what several threads do: when it is asked for, nothing new begins, and what is under way is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cancellation:
    """Asked for once, by any thread, of all that is under way."""

    def __init__(self) -> None:
        self._asked = False
        self._changed = threading.Condition()
        self._threads: list[int] = []

    def is_asked(self) -> bool:
        """Whether everybody is to stop."""
        return self._asked

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A block that whoever cancels waits for. Raises KeyboardInterrupt where that was asked for already."""
        thread = threading.get_ident()
        with self._changed:
            if self.is_asked():
                raise KeyboardInterrupt
            self._threads.append(thread)
        try:
            yield
        finally:
            with self._changed:
                self._threads.remove(thread)
                self._changed.notify_all()

    def cancel(self, seconds: float) -> None:
        """Ask everybody to stop; returns when the blocks of all other threads have ended, after so many seconds at the latest."""
        own = threading.get_ident()
        with self._changed:
            self._asked = True
            self._changed.wait_for(lambda: not set(self._threads) - {own}, seconds)
