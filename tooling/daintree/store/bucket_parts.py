"""A large object read whole: several parts under way at a time, in memory that is used again, each handed on in its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from daintree.parallel import side_by_side
from daintree.store.bucket_range import ObjectRanges

if TYPE_CHECKING:
    from http.client import HTTPConnection

# Parts this large cost the server little more than one request for all. Parts that wait for their turn are in memory; several
# connections are for a network where one is slow.
PART_BYTES = 16 << 20
PARTS_AT_ONCE = 3


def read_whole(
    ranges: ObjectRanges,
    size: int,
    moved: Callable[[int], None],
    in_turn: Callable[[memoryview], None],
) -> int:
    """Read an object of `size` bytes; how many came, which is fewer where it is shorter.

    `moved` is told how many bytes have come, from several threads; `in_turn` is called with each part, one after the other, from the first to
    the last, and has its memory for the time of the call alone. Raises what it raises, and what obstore raises.
    """
    starts = range(0, size, PART_BYTES)
    with ExitStack() as stack:
        lanes = [_Lane(ranges, stack) for _ in starts[:PARTS_AT_ONCE]]
        turn = _Turn()

        def part(start: int) -> int:
            # There are as many lanes as threads.
            lane = lanes.pop()
            try:
                content = lane.memory[: min(PART_BYTES, size - start)]
                came = 0
                for piece in ranges.read(
                    lane.connection, start, len(content), lambda at: content[at - start :]
                ):
                    moved(len(piece))
                    came += len(piece)
                if turn.comes(start):
                    in_turn(content[:came])
                    turn.passes_to(start + PART_BYTES)
                return came
            except BaseException:
                turn.passes_to(None)
                raise
            finally:
                lanes.append(lane)

        return sum(side_by_side(part, starts, PARTS_AT_ONCE))


class _Lane:
    """A connection and the memory that a part is read into through it."""

    def __init__(self, ranges: ObjectRanges, stack: ExitStack) -> None:
        self.memory = memoryview(bytearray(PART_BYTES))
        self.connection: HTTPConnection | None = ranges.connection()
        if self.connection:
            stack.enter_context(closing(self.connection))


class _Turn:
    """Which part is the first that is not done: by where it begins, None once one has failed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._first: int | None = 0

    def comes(self, start: int) -> bool:
        """Wait until the part that begins at `start` is the first; no, where one before it has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._first is None or self._first == start)
            return self._first == start

    def passes_to(self, first: int | None) -> None:
        """Let another be the first; when one has failed, none is any more."""
        with self._changed:
            self._first = first if self._first is not None else None
            self._changed.notify_all()
