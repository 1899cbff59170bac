"""One large object received into a file, whose SHA-256 is taken of what the file then holds."""

from __future__ import annotations

import hashlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from io import FileIO
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daintree.concurrency import side_by_side
from daintree.http_connection import connection_to, target
from daintree.store.bucket import READ_SECONDS, Bucket
from daintree.store.progress import reserve, write_at

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from obstore import GetOptions

# At most so much is read, and handed on, at a time; the reader sleeps until so much is there.
PIECE_BYTES = 2 << 20
WAKE_BYTES = 512 << 10
# More than the client has taken from the system ahead of the reader: its own buffer, and a record of TLS that is not whole yet.
TAKEN_BYTES = 64 << 10
# What the system receives ahead from a near server is kept small enough for the processor's cache. It keeps twice what it is asked for: a
# server whose round trip takes no longer can still send 1 GiB a second.
NEAR_BUFFER_BYTES = 1 << 20
NEAR_MICROSECONDS = 2_000
# Where the round trip's time stands in what Linux tells of a connection (struct tcp_info in its linux/tcp.h).
ROUND_TRIP_OFFSET = 68
# A request of which so much came before it failed was worth while: the rest is asked for anew.
ENOUGH_BYTES = 8 << 20
# A request is sent as soon as it is signed.
SIGNED_SECONDS = 300
PARTIAL_CONTENT = 206


class ObjectRanges:
    """The ranges of one object; with an `etag`, of no other one that takes its place. Any number of threads may share it.

    The standard library's client reads into memory that is there, obstore only into new memory, which costs half as much
    processor time again as all the rest. So it is asked first, by a URL that obstore signs. It tries nothing twice and explains
    nothing: what it does not bring, for whatever reason, obstore is asked for, with its retries, roots of trust and errors,
    and so is all that comes after.
    """

    def __init__(self, bucket: Bucket, path: str, etag: str | None = None) -> None:
        self._bucket, self._path, self._etag = bucket, path, etag
        self._is_direct = True

    def connection(self) -> HTTPConnection | None:
        """What one thread at a time can ask through; the caller closes it. None where none can be had."""
        from obstore.exceptions import BaseError

        try:
            return connection_to(urlsplit(self._signed()), READ_SECONDS)
        except (BaseError, ValueError):
            return None

    def read(
        self,
        connection: HTTPConnection | None,
        start: int,
        length: int,
        room: Callable[[int], memoryview],
    ) -> Iterator[memoryview]:
        """What the object holds from `start` on, yielded piece by piece and in order as it comes.

        `room` gives the memory for what begins at a place of the object; a piece is the beginning of it. Fewer than `length` bytes come where
        the object ends. Raises what obstore raises.
        """
        at = 0
        if connection and self._is_direct:
            for piece in self._directly(connection, start, length, room):
                at += len(piece)
                yield piece
        if at < length:
            yield from self._patiently(start + at, start + length, room)

    def _directly(
        self,
        connection: HTTPConnection,
        start: int,
        length: int,
        room: Callable[[int], memoryview],
    ) -> Iterator[memoryview]:
        from http.client import HTTPException

        from obstore.exceptions import BaseError

        at = 0
        try:
            answer = self._answer(connection, start, length)
            while answer and at < length:
                into = room(start + at)[: _wake_late(connection, length - at)]
                came = answer.readinto(into)
                if not came:
                    break
                yield into[:came]
                at += came
            if answer:
                answer.close()
        except (OSError, HTTPException, BaseError, ValueError):
            pass
        if at < length:
            self._is_direct = False
            connection.close()

    def _answer(self, connection: HTTPConnection, start: int, length: int) -> HTTPResponse | None:
        """The answer that brings exactly this range, if it is one."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        if self._etag:
            headers["If-Match"] = self._etag
        connection.request("GET", target(urlsplit(self._signed())), headers=headers)
        answer = connection.getresponse()
        _receive_little_ahead(connection)
        return answer if (answer.status, answer.length) == (PARTIAL_CONTENT, length) else None

    def _signed(self) -> str:
        """The object's URL, by which whoever has it can read it for SIGNED_SECONDS: for the server alone."""
        from datetime import timedelta

        import obstore

        expires = timedelta(seconds=SIGNED_SECONDS)
        return obstore.sign(self._bucket.large, "GET", self._path, expires)

    def _patiently(
        self, start: int, end: int, room: Callable[[int], memoryview]
    ) -> Iterator[memoryview]:
        from obstore.exceptions import BaseError

        at = start
        while True:
            began = at
            try:
                for content in self._stream(at, end):
                    copied = 0
                    while copied < len(content):
                        into = room(at)[: len(content) - copied]
                        into[:] = content[copied : copied + len(into)]
                        yield into
                        copied += len(into)
                        at += len(into)
                return
            except BaseError:
                if at - began < ENOUGH_BYTES:
                    raise

    def _stream(self, start: int, end: int) -> Iterator[memoryview]:
        import obstore

        options: GetOptions = {"range": (start, end)}
        if self._etag:
            options["if_match"] = self._etag
        answer = obstore.get(self._bucket.large, self._path, options=options)
        return map(memoryview, answer.stream(min_chunk_size=PIECE_BYTES))


def _receive_little_ahead(connection: HTTPConnection) -> None:
    """Bound what is received before it is read, where the server is near enough to send more in no time."""
    # A connection that the server closes after this answer has given its socket away.
    if sys.platform == "linux" and connection.sock is not None:
        told = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
        (microseconds,) = struct.unpack_from("=I", told, ROUND_TRIP_OFFSET)
        if microseconds <= NEAR_MICROSECONDS:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NEAR_BUFFER_BYTES)


def _wake_late(connection: HTTPConnection, left: int) -> int:
    """How much to read next of what is `left`, at most; the system wakes the reader when WAKE_BYTES have come, not for every packet.

    Only where the system is sure to get more than that still, or the last bytes would be waited for in vain.
    """
    spare = left - WAKE_BYTES - TAKEN_BYTES
    if sys.platform == "linux" and connection.sock is not None:
        least = WAKE_BYTES if spare > 0 else 1
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
    return min(PIECE_BYTES, spare) if spare > 0 else left


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
