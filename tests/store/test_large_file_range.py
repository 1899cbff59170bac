"""Ranges of an object come as they are: directly, and where that fails, through obstore, with its errors."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from http.client import HTTPConnection

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from obstore.exceptions import PreconditionError

from daintree.store import large_file as bucket_range
from daintree.store.bucket import Bucket
from daintree.store.large_file import PIECE_BYTES, TAKEN_BYTES, WAKE_BYTES, ObjectRanges
from tests.services.minio import Minio
from tests.services.proxy import Exchange, Fault, Proxy, busy, cut, reset

CONTENT = os.urandom(3 * PIECE_BYTES + 1)
DIRECT, PATIENT = r"^GET .*/team/a\?X-Amz-", "^GET .*/team/a$"


@pytest.fixture
def bucket(minio: Minio, way: Proxy) -> Bucket:
    """A bucket that holds the object `a`, reached through the proxy."""
    url = f"s3://{minio.bucket()}/team"
    Bucket(url, minio.access).put("a", CONTENT)
    return Bucket(url, msgspec.structs.replace(minio.access, endpoint=way.endpoint))


def read(ranges: ObjectRanges, start: int, length: int) -> bytes:
    """A range, whose pieces have to be what the memory holds, in order."""
    memory = memoryview(bytearray(length))
    connection = ranges.connection()
    assert connection
    with closing(connection):
        pieces = ranges.read(connection, start, length, lambda at: memory[at - start :])
        came = b"".join(bytes(piece) for piece in pieces)
    assert came == memory[: len(came)]
    return came


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (0, len(CONTENT)),
        (5, PIECE_BYTES + 5),
        (7, 2 * PIECE_BYTES + 8),
        (len(CONTENT) - 1, len(CONTENT)),
    ],
)
def test_a_range_comes_with_one_request(bucket: Bucket, way: Proxy, start: int, end: int) -> None:
    assert read(ObjectRanges(bucket, "a"), start, end - start) == CONTENT[start:end]
    assert (len(way.asked(DIRECT)), len(way.asked(PATIENT))) == (1, 0)


def sends_all(exchange: Exchange) -> None:
    """Answer as a server that knows no ranges."""
    exchange.headers = {n: v for n, v in exchange.headers.items() if n.lower() != "range"}
    exchange.answer(*exchange.ask())


@pytest.mark.parametrize("fault", [busy, reset, cut, sends_all])
def test_what_does_not_come_directly_is_asked_for_patiently_and_so_is_the_rest(
    bucket: Bucket, way: Proxy, fault: Fault
) -> None:
    way.when(DIRECT, fault)
    ranges = ObjectRanges(bucket, "a")
    assert read(ranges, 1, 2 * PIECE_BYTES) == CONTENT[1 : 2 * PIECE_BYTES + 1]
    assert read(ranges, 0, 9) == CONTENT[:9]
    assert (len(way.asked(DIRECT)), len(way.asked(PATIENT))) == (1, 2)


def test_a_server_that_closes_after_each_answer_is_asked_directly_too(
    bucket: Bucket, way: Proxy
) -> None:
    def closes(exchange: Exchange) -> None:
        response, body = exchange.ask()
        exchange.handler.send_response(response.status)
        exchange.handler.send_header("Content-Length", str(len(body)))
        exchange.handler.send_header("Connection", "close")
        exchange.handler.end_headers()
        exchange.handler.wfile.write(body)

    way.when(DIRECT, closes)
    ranges = ObjectRanges(bucket, "a")
    assert read(ranges, 0, len(CONTENT)) == CONTENT
    assert read(ranges, 1, 9) == CONTENT[1:10]
    assert (len(way.asked(DIRECT)), len(way.asked(PATIENT))) == (2, 0)


def test_without_a_connection_all_comes_patiently(bucket: Bucket, way: Proxy) -> None:
    memory = memoryview(bytearray(len(CONTENT)))
    pieces = ObjectRanges(bucket, "a").read(None, 0, len(CONTENT), lambda at: memory[at:])
    assert sum(map(len, pieces)) == len(CONTENT)
    assert memory == CONTENT
    assert way.asked(DIRECT) == []


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_piece_is_no_larger_than_the_room_for_it(bucket: Bucket, is_direct: bool) -> None:
    ranges, room = ObjectRanges(bucket, "a"), memoryview(bytearray(999))
    connection = ranges.connection() if is_direct else None
    came, asked = bytearray(), []

    def same_room(at: int) -> memoryview:
        asked.append(at)
        return room

    for piece in ranges.read(connection, 5, 100_000, same_room):
        assert asked[-1] == 5 + len(came)
        came += piece
    assert came == CONTENT[5:100_005]
    if connection:
        connection.close()


def test_an_object_that_is_shorter_brings_what_it_has(bucket: Bucket) -> None:
    assert read(ObjectRanges(bucket, "a"), 10, len(CONTENT)) == CONTENT[10:]


def test_another_object_in_its_place_is_refused(bucket: Bucket) -> None:
    [entry] = bucket.entry("a")
    bucket.put("a", CONTENT[::-1])
    with pytest.raises(PreconditionError):
        read(ObjectRanges(bucket, "a", entry["e_tag"]), 0, 10)


class Wakes(socket.socket):
    """Notes how much the system is told to wait for before it wakes a reader."""

    least = 1

    def setsockopt(self, level: int, name: int, value: int) -> None:  # type: ignore[override]
        if name == socket.SO_RCVLOWAT:
            self.least = value


@pytest.mark.skipif(sys.platform != "linux", reason="the system wakes for every packet")
@given(st.integers(1, 2 * PIECE_BYTES))
@example(WAKE_BYTES + TAKEN_BYTES)
@example(WAKE_BYTES + TAKEN_BYTES + 1)
def test_no_more_is_waited_for_than_is_still_to_come(left: int) -> None:
    connection = HTTPConnection("127.0.0.1")
    with Wakes() as connection.sock:
        wanted = bucket_range._wake_late(connection, left)
        least = connection.sock.least
    assert 1 <= wanted <= min(left, PIECE_BYTES)
    # Before the last wanted byte is there, the client may have taken all the bytes before it, and some of those after it.
    assert least == 1 or least <= left - wanted - TAKEN_BYTES


def test_an_object_that_is_not_there_is_said(bucket: Bucket) -> None:
    with pytest.raises(FileNotFoundError):
        read(ObjectRanges(bucket, "b"), 0, 10)


@pytest.mark.parametrize("named", ["http://127.0.0.1:1", "http://proxy:not-a-port"])
def test_a_proxy_that_leads_nowhere_does_not_keep_it_from_coming(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    ranges = ObjectRanges(bucket, "a")
    bucket.large  # noqa: B018 - obstore's own client is made before the proxy is named
    read(ranges, 0, 1)
    monkeypatch.setenv("http_proxy", named)
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: False)
    memory = memoryview(bytearray(100))
    connection = ranges.connection()
    assert sum(map(len, ranges.read(connection, 0, 100, lambda at: memory[at:]))) == 100
    assert memory == CONTENT[:100]
