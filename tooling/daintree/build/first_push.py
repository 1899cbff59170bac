"""Pushes in an order that sends a base image's layers once.

An engine that pushes two images at once compresses and sends what they have in common twice; once one of them is there,
the registry has these layers, and the rest go side by side.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class FirstPush:
    """Lets one push with each base go ahead of the others with it; may be shared by threads."""

    def __init__(self) -> None:
        self._ahead: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._done: set[Hashable] = set()
        self._guard = threading.Lock()

    @contextmanager
    def of(self, base: Hashable) -> Iterator[None]:
        """A push of an image with this base: waits for the one that is ahead. When that one fails, the next goes ahead."""
        with self._guard:
            ahead = self._ahead[base]
        with ahead:
            if base not in self._done:
                yield
                self._done.add(base)
                return
        yield
