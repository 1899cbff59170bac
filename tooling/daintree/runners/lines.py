"""From the bytes a process writes to the lines a terminal would show."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

LONGEST_LINE = 65_536
PROGRESS_SECONDS = 5.0


class Lines:
    """Cuts a stream of bytes into lines of text, without their ends.

    Bytes that are not UTF-8 become U+FFFD. Of a line that is drawn again and again with carriage
    returns (a progress bar) the last state is a line; while it is being drawn, its present state is
    one every few seconds. A line longer than LONGEST_LINE characters is cut into pieces.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._clock = clock
        self._shown = clock()
        self._pending = ""

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes."""
        *whole, rest = (self._pending + self._decode(chunk)).split("\n")
        lines = [piece for line in whole for piece in _pieces(_last_state(line))]
        # A bar may be drawn for hours: what is overwritten is forgotten.
        drawn, carriage_return, latest = rest.rpartition("\r")
        *cut, self._pending = _pieces(_last_state(drawn) + carriage_return + latest)
        lines += cut + self._progress()
        if lines:
            self._shown = self._clock()
        return lines

    def finish(self) -> list[str]:
        """What is left once the stream has ended: the last line, when no line end follows it."""
        rest = self._pending + self._decode(b"", True)
        self._pending = ""
        return _pieces(_last_state(rest)) if rest else []

    def _progress(self) -> list[str]:
        drawn, carriage_return, _ = self._pending.rpartition("\r")
        if not carriage_return or self._clock() - self._shown < PROGRESS_SECONDS:
            return []
        state = _last_state(drawn)
        return [state] if state else []


def _last_state(line: str) -> str:
    """What stays visible of a line: the text after its last carriage return that has any."""
    return line.rstrip("\r").rpartition("\r")[2]


def _pieces(line: str) -> list[str]:
    starts = range(0, len(line), LONGEST_LINE) if line else (0,)
    return [line[start : start + LONGEST_LINE] for start in starts]
