"""Ranges of one object in a bucket, read into memory that is there already."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daintree.http_connection import connection_to, target
from daintree.store.bucket import READ_SECONDS, Bucket

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
