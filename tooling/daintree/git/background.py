"""A call that runs beside its caller: git processes that do not depend on each other overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A call that runs in a thread of its own from the moment this is made."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._returned: list[T] = []
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._returned.append(call())
        except BaseException as error:
            self._raised = error

    def result(self) -> T:
        """Wait for the call; what it returned, or raise what it raised."""
        self._thread.join()
        if self._raised is not None:
            raise self._raised
        return self._returned[0]
