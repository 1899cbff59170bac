"""A process that holds a lock until it dies, seen from outside."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

LONGEST_SECONDS = 10


def released(lock: Path) -> bool:
    """Whether the process that holds the lock is gone, or goes within seconds of the signal it has been sent."""
    with open(lock) as file:
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                os.sched_yield()
    return False
