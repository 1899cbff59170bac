"""One large object received into a file, whose SHA-256 is taken of what the file then holds."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from io import FileIO

from daintree.parallel import side_by_side
from daintree.store.bucket_range import PIECE_BYTES, ObjectRanges
from daintree.store.disk import reserve, write_at

# One connection brings all that a near server can send. Where one brings less than FAST_BYTES a second, others bring what comes after.
CONNECTIONS = 4
FAST_BYTES = 128 << 20
# A part is what its connection brings in about a second, within these bounds.
FIRST_BYTES = 16 << 20
MOST_BYTES = 512 << 20
# So much of the file is read and hashed at a time, if there is so much.
HASH_BYTES = 1 << 20


def receive(ranges: ObjectRanges, size: int, file: FileIO, moved: Callable[[int], None]) -> str:
    """Write an object of `size` bytes to an empty file, open for reading and writing; the SHA-256 of what the file then holds.

    `moved` is told how many bytes have come, from several threads. The digest is another than the object's where that is shorter. Raises what
    obstore raises, OSError as writing does.
    """
    reserve(file.fileno(), size)
    parts = _Parts(size)

    def bring() -> None:
        memory = memoryview(bytearray(PIECE_BYTES))
        connection = ranges.connection()
        with closing(connection) if connection else nullcontext():
            for part in parts.to_bring():
                for piece in ranges.read(connection, part.start, part.length, lambda _: memory):
                    write_at(file.fileno(), part.start + part.came, piece)
                    moved(len(piece))
                    if parts.came(part, len(piece)):
                        return

    def work(number: int | None) -> str:
        try:
            if number is None:
                return _hash(file, parts)
            if parts.wants(number):
                bring()
            return ""
        except BaseException:
            parts.give_up()
            raise

    # As a file is written by one connection and read behind it, the file is all the memory that the two need between them.
    return side_by_side(work, [None, *range(CONNECTIONS)], 1 + CONNECTIONS)[0]


def _hash(file: FileIO, parts: _Parts) -> str:
    digest = hashlib.sha256()
    memory = memoryview(bytearray(HASH_BYTES))
    for length in parts.in_turn():
        left = length
        while left:
            read = file.readinto(memory[:left])
            if not read:
                raise OSError(f"{file.name} was cut short while it was written")
            digest.update(memory[:read])
            left -= read
    return digest.hexdigest()


@dataclass
class _Part:
    """A range of the object, and how many bytes of it have come."""

    start: int
    length: int
    came: int = 0
    ended: bool = False


class _Parts:
    """An object's parts: who brings which, and what has come of them."""

    def __init__(self, size: int) -> None:
        lock = threading.Lock()
        # Who waits for a part is not woken by every piece.
        self._lanes, self._hash = threading.Condition(lock), threading.Condition(lock)
        self._size = size
        self._parts: list[_Part] = []
        self._given = 0
        self._connections = 1
        self._given_up = False

    def wants(self, number: int) -> bool:
        """Wait until this connection, the first one having number 0, is worth while; no, where fewer have brought all."""
        with self._lanes:
            self._lanes.wait_for(lambda: number < self._connections or self._is_all_given())
            return not self._is_all_given()

    def to_bring(self) -> Iterator[_Part]:
        """The parts that one connection has to bring, each as large as the speed of the last allows."""
        length = FIRST_BYTES
        while part := self._take(length):
            began = time.monotonic()
            yield part
            speed = part.came / max(time.monotonic() - began, 1e-6)
            length = min(max(FIRST_BYTES, int(speed)), MOST_BYTES)
            self._end(part, speed)

    def came(self, part: _Part, count: int) -> bool:
        """So many more bytes of a part have come; whether no more are wanted, since something has failed."""
        with self._hash:
            part.came += count
            self._hash.notify()
            return self._given_up

    def give_up(self) -> None:
        """Let all others end, too."""
        with self._hash:
            self._given_up = True
            self._hash.notify()
            self._lanes.notify_all()

    def in_turn(self) -> Iterator[int]:
        """How many bytes have come next after those told of before, HASH_BYTES at most; ends with the object, or where some are missing."""
        for part in self._in_order():
            told = 0
            while told < part.length:
                wanted = min(HASH_BYTES, part.length - told)
                with self._hash:
                    self._hash.wait_for(partial(self._is_decided, part, told + wanted))
                    if part.came < told + wanted:
                        return
                yield wanted
                told += wanted

    def _in_order(self) -> Iterator[_Part]:
        number = told = 0
        while told < self._size:
            with self._hash:
                self._hash.wait_for(partial(self._is_given, number))
                if self._given_up:
                    return
                part = self._parts[number]
            yield part
            told += part.length
            number += 1

    def _is_given(self, number: int) -> bool:
        return self._given_up or len(self._parts) > number

    def _is_decided(self, part: _Part, wanted: int) -> bool:
        """Whether so many of a part's bytes have come, or never will."""
        return part.came >= wanted or part.ended or self._given_up

    def _take(self, length: int) -> _Part | None:
        with self._lanes:
            if self._is_all_given():
                return None
            part = _Part(self._given, min(length, self._size - self._given))
            self._parts.append(part)
            self._given += part.length
            self._hash.notify()
            if self._is_all_given():
                self._lanes.notify_all()
            return part

    def _end(self, part: _Part, speed: float) -> None:
        with self._lanes:
            part.ended = True
            if speed < FAST_BYTES:
                self._connections += 1
                self._lanes.notify_all()
            self._hash.notify()

    def _is_all_given(self) -> bool:
        return self._given_up or self._given == self._size
