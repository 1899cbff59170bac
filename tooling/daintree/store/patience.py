"""How long a server that does not answer is waited for in all: by every request together, not only by each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from daintree.errors import StoreUnavailable

MORE_SECONDS = 15.0
REST_SECONDS = 10.0


class Patience:
    """What requests to one server tell each other. Any number of threads may share it.

    The first that is given up has had its full time. Until one is answered, the next have little; and after `MORE_SECONDS` of
    that only one in `REST_SECONDS` is sent. So a command that asks many times does not wait many times, and one that
    computes for hours finds a server that is back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._error: StoreUnavailable | None = None
        self._first = self._last = 0.0

    @property
    def is_short(self) -> bool:
        """Whether the last that is known of the server is that it did not answer."""
        return self._error is not None

    def check(self) -> None:
        """Call it before a request. Raises StoreUnavailable, as the last one did, where it is too soon for another."""
        with self._lock:
            if self._error is None:
                return
            now = self._clock()
            if now - self._first >= MORE_SECONDS and now - self._last < REST_SECONDS:
                raise StoreUnavailable(self._error.message, hint=self._error.hint)

    def answered(self) -> None:
        """The server has answered a request, be it with a no."""
        with self._lock:
            self._error = None

    def given_up(self, error: StoreUnavailable) -> None:
        """A request was given up."""
        with self._lock:
            now = self._clock()
            if self._error is None:
                self._first = now
            self._error, self._last = error, now
