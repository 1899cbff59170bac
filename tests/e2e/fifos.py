"""FIFOs by which tests and the stages that they run wait for each other."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.projects import LONGEST_SECONDS

READERS = 64


@dataclass
class Channel:
    """A FIFO through which a stage tells that it has come somewhere, and is told to go on."""

    path: Path
    _reader: int = field(init=False)

    def __post_init__(self) -> None:
        os.mkfifo(self.path)
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def receive(self) -> str:
        """What the other side has written; "" once there is nobody any more who might write."""
        assert select.select([self._reader], [], [], LONGEST_SECONDS)[0], "nobody wrote"
        return os.read(self._reader, 4096).decode()

    def close(self) -> None:
        """Let it go."""
        os.close(self._reader)


@dataclass
class Gate:
    """A FIFO that a stage reads one byte from, and waits at until `open` is called."""

    path: Path
    _both_ends: int = field(init=False)

    def __post_init__(self) -> None:
        os.mkfifo(self.path)
        self._both_ends = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def open(self) -> None:
        """Let every reader pass, those too that come later."""
        os.write(self._both_ends, b"." * READERS)

    def close(self) -> None:
        """Let it go."""
        os.close(self._both_ends)
