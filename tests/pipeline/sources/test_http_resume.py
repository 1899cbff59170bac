"""Downloads that break off go on where they stopped; servers that are busy are asked again, a bounded number of times."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from daintree.pipeline.sources.web_client import ATTEMPTS
from daintree.store.store import Store
from tests.pipeline.sources.served import CONTENT, ETAG, SHA256, at, complaint, digest_of

if TYPE_CHECKING:
    from tests.web_server import Server

LARGE = bytes(range(256)) * 20
OLD = {"Last-Modified": "Wed, 23 Jul 2014 10:00:00 GMT"}


@pytest.mark.parametrize("validator", [ETAG, OLD])
def test_the_rest_is_asked_for(server: Server, store: Store, validator: dict[str, str]) -> None:
    url = server.serve("/a.json", LARGE, headers=validator, cut=1000, ranges=True)
    assert at(url, store).fetch().digest == digest_of("a.json", LARGE)
    assert server.ranges[-6:] == ["", *(f"bytes={n}000-" for n in range(1, 6))]


def test_there_is_no_limit_to_cuts_that_bring_something(server: Server, store: Store) -> None:
    url = server.serve("/a.json", LARGE, headers=ETAG, cut=100, ranges=True)
    assert at(url, store).fetch().digest == digest_of("a.json", LARGE)


@pytest.mark.parametrize("more", [{"ranges": False}, {"ranges": True, "wrong_range": True}])
def test_a_server_without_sound_ranges_is_asked_for_all_again(
    server: Server, store: Store, more: dict[str, bool]
) -> None:
    url = server.serve("/a.json", LARGE, headers=ETAG, cut=1000, **more)
    error = complaint(url, store)
    assert error.message.startswith(f"the source {url} broke off after ")
    assert "fetch it in another way" in error.hint
    assert len(server.ranges) <= 2 * ATTEMPTS + 1


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_validator_nothing_is_pieced_together(
    server: Server, store: Store, headers: dict[str, str]
) -> None:
    url = server.serve("/a.json", LARGE, headers=headers, cut=1000, ranges=True)
    error = complaint(url, store)
    assert "broke off after 1000 of 5120 bytes" in error.message
    assert "`sha256:` of the file in the pipeline" in error.hint
    assert set(server.ranges) == {""}


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_a_file_whose_digest_is_declared_goes_on_without_a_validator(
    server: Server, store: Store, headers: dict[str, str]
) -> None:
    url = server.serve("/a.json", LARGE, headers=headers, cut=1000, ranges=True)
    declared = hashlib.sha256(LARGE).hexdigest()
    assert at(url, store, declared).fetch().digest == digest_of("a.json", LARGE)
    assert server.ranges[-1] == "bytes=5000-"
    changed = server.serve("/b.json", LARGE, headers=headers, cut=1000, ranges=True)
    server.serve("/new", LARGE[::-1], headers=headers, ranges=True)
    server.answers["/b.json"].then = server.answers["/new"]
    assert (
        "is not the file that the pipeline declares" in complaint(changed, store, declared).message
    )


def test_a_file_that_changed_meanwhile_is_received_from_its_beginning(
    server: Server, store: Store
) -> None:
    new = LARGE[::-1]
    server.serve("/new", new, headers={"ETag": '"two"'}, ranges=True)
    then = server.answers["/new"]
    url = server.serve("/a.json", LARGE, headers=ETAG, cut=1000, ranges=True, then=then)
    assert at(url, store).fetch().digest == digest_of("a.json", new)
    assert server.ranges[-1] == "bytes=1000-"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_a_busy_server_is_asked_again(server: Server, store: Store, status: int) -> None:
    url = server.serve("/a.json", CONTENT)
    server.answers["/a.json"].refusals += [(status, {"Retry-After": "0"})] * (ATTEMPTS - 1)
    assert at(url, store, SHA256).fetch().digest == digest_of("a.json")
    assert len(server.requests()) == ATTEMPTS


@pytest.mark.parametrize(("status", "requests"), [(503, ATTEMPTS), (404, 1), (401, 1), (501, 1)])
def test_attempts_are_bounded(server: Server, store: Store, status: int, requests: int) -> None:
    url = server.serve("/a.json", status=status)
    assert f"the server answers {status}" in complaint(url, store, SHA256).message
    assert len(server.requests()) == requests


@pytest.mark.parametrize("after", ["3600", "Wed, 01 Jan 2120 00:00:00 GMT"])
def test_a_server_that_asks_for_hours_is_not_waited_for(
    server: Server, store: Store, after: str
) -> None:
    url = server.serve("/a.json", status=429, headers={"Retry-After": after})
    error = complaint(url, store, SHA256)
    assert error.hint == "the server limits how often it is asked: run again later"
    assert len(server.requests()) == 1


@pytest.mark.parametrize("length", [None, -1])
def test_a_file_above_the_limit_is_refused(
    server: Server, store: Store, length: int | None
) -> None:
    url = server.serve("/a.json", LARGE, length=length)
    error = complaint(url, store, size=5119)
    assert error.message == f"the source {url} has more than 5,119 bytes"
    assert "source_max_size" in error.hint
    assert at(url, store, size=5120).fetch().digest == digest_of("a.json", LARGE)


@pytest.fixture
def drip() -> Iterator[str]:
    """The URL of a server that sends one byte of its head, then of its body, whenever it is asked to, and never ends."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
                ended.wait()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/a.json"
        ended.set()
        thread.join()


def test_the_time_is_bounded_in_all(drip: str, store: Store) -> None:
    error = complaint(drip, store, SHA256, seconds=1)
    assert error.message == f"the source {drip} took longer than 1 seconds"
    assert "source_timeout" in error.hint
