"""Ranges of one object in a bucket, each read into memory that is there already."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tooling.http_connection import connection_to, target
from tooling.store.bucket import READ_SECONDS, Bucket

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from obstore import GetOptions

# So much is read, and handed on, at a time.
PIECE_BYTES = 1 << 20
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
        self, connection: HTTPConnection | None, start: int, into: memoryview
    ) -> Iterator[memoryview]:
        """Fill memory with what the object holds from `start` on, yielding what has come, piece by piece and in order.

        Fewer bytes come where the object ends. Raises what obstore raises.
        """
        at = 0
        if connection and self._is_direct:
            for piece in self._directly(connection, start, into):
                at += len(piece)
                yield piece
        if at < len(into):
            yield from self._patiently(start + at, into[at:])

    def _directly(
        self, connection: HTTPConnection, start: int, into: memoryview
    ) -> Iterator[memoryview]:
        from http.client import HTTPException

        from obstore.exceptions import BaseError

        at = 0
        try:
            answer = self._answer(connection, start, len(into))
            while answer and at < len(into):
                length = _wake_late(connection, len(into) - at)
                came = answer.readinto(into[at : at + length])
                if not came:
                    break
                yield into[at : at + came]
                at += came
            if answer:
                answer.close()
        except (OSError, HTTPException, BaseError, ValueError):
            pass
        if at < len(into):
            self._is_direct = False
            connection.close()

    def _answer(self, connection: HTTPConnection, start: int, length: int) -> HTTPResponse | None:
        """The answer that brings exactly this range, if it is one."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        if self._etag:
            headers["If-Match"] = self._etag
        connection.request("GET", target(urlsplit(self._signed())), headers=headers)
        answer = connection.getresponse()
        return answer if (answer.status, answer.length) == (PARTIAL_CONTENT, length) else None

    def _signed(self) -> str:
        """The object's URL, by which whoever has it can read it for SIGNED_SECONDS: for the server alone."""
        from datetime import timedelta

        import obstore

        expires = timedelta(seconds=SIGNED_SECONDS)
        return obstore.sign(self._bucket.large, "GET", self._path, expires)

    def _patiently(self, start: int, into: memoryview) -> Iterator[memoryview]:
        from obstore.exceptions import BaseError

        at = 0
        while True:
            began = at
            try:
                for piece in self._stream(start + at, start + len(into)):
                    content = into[at : at + len(piece)]
                    content[:] = piece
                    yield content
                    at += len(piece)
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


def _wake_late(connection: HTTPConnection, left: int) -> int:
    """How much to read next of what is `left`; the system wakes the reader when that has come, not for every packet.

    Only where more is left than is waited for, or the last bytes would be waited for in vain: the client's own buffer takes
    some ahead.
    """
    length = min(PIECE_BYTES, left - PIECE_BYTES) if left > PIECE_BYTES else left
    # A connection that the server closes after this answer has given its socket away.
    if sys.platform == "linux" and connection.sock is not None:
        least = PIECE_BYTES if left > PIECE_BYTES else 1
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
    return length
