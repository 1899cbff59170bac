"""What a process does without when a bucket cannot be written, or reached, or trusted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.bucket import PROBE, Bucket
from daintree.store.cache import Availability
from daintree.store.local import LocalRuns
from daintree.store.s3 import S3Access
from tests.services.minio import Minio


@pytest.fixture
def warnings() -> list[str]:
    """What people were told."""
    return []


@pytest.fixture
def cache(tmp_path: Path) -> LocalRuns:
    """This machine's cache."""
    return LocalRuns(tmp_path / "cache", pytest.fail)


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}", minio.access)


def unavailable() -> str:
    raise StoreUnavailable("it is away", hint="wait")


def forbidden() -> str:
    raise StoreForbidden("no")


def test_the_server_is_proved_once_for_a_bucket_and_a_machine(
    bucket: Bucket, cache: LocalRuns, warnings: list[str]
) -> None:
    assert (
        Availability(bucket, cache, False, warnings.append).write(lambda: "done", lambda: "not")
        == "done"
    )
    assert list(bucket.sizes()) == [PROBE]
    bucket.delete([PROBE])
    assert (
        Availability(bucket, cache, False, warnings.append).write(lambda: "done", lambda: "not")
        == "done"
    )
    assert bucket.sizes() == {}


def test_a_key_that_may_not_write_is_said_once(
    bucket: Bucket, cache: LocalRuns, warnings: list[str]
) -> None:
    availability = Availability(bucket, cache, False, warnings.append)
    assert availability.write(forbidden, lambda: "kept") == "kept"
    assert availability.write(pytest.fail, lambda: "kept") == "kept"
    assert availability.read(lambda: "read", "nothing") == "read"
    [line] = warnings
    assert line.startswith(f"note: nothing is published to {bucket.url}")


def test_a_server_that_is_away_is_an_error_unless_it_may_be_done_without(
    bucket: Bucket, cache: LocalRuns, warnings: list[str]
) -> None:
    strict = Availability(bucket, cache, False, warnings.append)
    with pytest.raises(StoreUnavailable):
        strict.read(unavailable, "nothing")
    with pytest.raises(StoreUnavailable):
        strict.write(unavailable, lambda: "kept")
    assert warnings == []

    relaxed = Availability(bucket, cache, True, warnings.append)
    assert relaxed.read(unavailable, "nothing") == "nothing"
    assert relaxed.read(pytest.fail, "nothing") == "nothing"
    assert relaxed.write(pytest.fail, lambda: "kept") == "kept"
    assert warnings == ["warning: it is away; going on with the cache alone"]


def test_what_a_server_that_ignored_conditions_has_left_says_nothing_of_the_next(
    bucket: Bucket,
) -> None:
    for content in (b"1", b"2"):
        bucket.put(PROBE, content)
        bucket.prove()


class Careless(BaseHTTPRequestHandler):
    """A server that takes every PUT, whatever its conditions."""

    honoured = ""

    def do_PUT(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(412 if self.honoured in self.headers else 200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """An object that is another's."""
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 12:00:00 GMT")
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"0")

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class Creating(Careless):
    """A server that creates no object twice, and replaces any."""

    honoured = "If-None-Match"


@pytest.fixture
def careless(condition: str) -> Iterator[Bucket]:
    """A bucket on one that ignores this condition."""
    handler = Creating if condition == "If-Match" else Careless
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        access = S3Access(endpoint=endpoint, region="r", access_key="a", secret_key="s")
        yield Bucket("s3://careless", access)
        server.shutdown()


@pytest.mark.parametrize("condition", ["If-None-Match", "If-Match"])
def test_a_server_that_ignores_conditions_is_refused_before_anything_is_published(
    careless: Bucket, cache: LocalRuns, warnings: list[str], condition: str
) -> None:
    availability = Availability(careless, cache, False, warnings.append)
    with pytest.raises(StoreError, match=f"ignores {condition}:") as raised:
        availability.write(pytest.fail, lambda: "kept")
    assert raised.value.hint.startswith("use a server that honours conditional writes")
