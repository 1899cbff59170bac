"""Servers that refuse, break off or answer oddly: what can be had is read, else there is one clear error and nothing is kept."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from daintree.store.store import Store
from tests.pipeline.sources.served import CONTENT, ETAG, at, complaint, digest_of

if TYPE_CHECKING:
    from tests.web_server import Server


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "404 Not Found"),
        (403, "403 Forbidden"),
        (500, "500 Internal Server Error"),
        (499, "499"),
    ],
)
def test_a_refusal_is_said_with_its_status(
    server: Server, store: Store, status: int, words: str
) -> None:
    url = server.serve("/a.json", status=status)
    error = complaint(url, store)
    assert error.message == f"the source {url} cannot be read: the server answers {words}"
    assert error.hint


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_serves_get_alone_is_asked_with_it(
    server: Server, store: Store, status: int
) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG, head_status=status)
    assert at(url, store).fetch().digest == digest_of("a.json")


def test_a_server_that_is_not_there_is_said(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.json"
        error = complaint(url, store)
    assert error.message.startswith(f"the source {url} cannot be reached: ")
    assert "refused" in error.message


def test_a_download_that_breaks_off_is_not_kept(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG, length=len(CONTENT) + 5)
    error = complaint(url, store)
    assert error.message == f"the source {url} broke off after 9 of 14 bytes"
    assert error.hint.startswith("the server sends no part of the file: ")
    assert store.source_path(digest_of("a.json")) is None
    assert at(url, store).identify().digest is None


def test_a_chunked_download_that_breaks_off_is_not_kept(server: Server, store: Store) -> None:
    headers = {"Transfer-Encoding": "chunked", "ETag": '"one"'}
    url = server.serve("/a.json", b"5\r\nabcde\r\n9\r\nabc", headers=headers, length=-1)
    error = complaint(url, store)
    assert error.message.startswith(f"the source {url} broke off after ")
    assert store.usage()[0] == 0
    assert at(url, store).identify().digest is None


def test_a_file_with_two_lengths_is_not_cut_at_the_first(server: Server, store: Store) -> None:
    # A header that begins anew in the value of another.
    headers = {"X-Other": "1\r\nContent-Length: 4"}
    url = server.serve("/a.json", CONTENT, headers=headers)
    assert complaint(url, store).message.endswith("the server gives it two lengths")


def test_a_length_that_is_no_number_is_passed_over(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers={"Content-Length": "many"})
    assert at(url, store).fetch().digest == digest_of("a.json")
