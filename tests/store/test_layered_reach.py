"""What a process does without when a bucket cannot be written, or reached, or trusted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.bucket import Bucket
from daintree.store.directory import DirectoryStore
from daintree.store.layered import PROBE, Reach
from daintree.store.s3 import S3Access
from tests.services.minio import Minio


@pytest.fixture
def said() -> list[str]:
    """What people were told."""
    return []


@pytest.fixture
def notes(tmp_path: Path) -> DirectoryStore:
    """This machine's notes."""
    return DirectoryStore(tmp_path / "cache")


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}", minio.access)


def unavailable() -> str:
    raise StoreUnavailable("it is away", hint="wait")


def forbidden() -> str:
    raise StoreForbidden("no")


def test_the_server_is_proved_once_for_a_bucket_and_a_machine(
    bucket: Bucket, notes: DirectoryStore, said: list[str]
) -> None:
    assert Reach(bucket, notes, False, said.append).tell(lambda: "done", lambda: "not") == "done"
    assert list(bucket.sizes()) == [PROBE]
    bucket.delete([PROBE])
    assert Reach(bucket, notes, False, said.append).tell(lambda: "done", lambda: "not") == "done"
    assert bucket.sizes() == {}


def test_a_key_that_may_not_write_is_said_once(
    bucket: Bucket, notes: DirectoryStore, said: list[str]
) -> None:
    reach = Reach(bucket, notes, False, said.append)
    assert reach.tell(forbidden, lambda: "kept") == "kept"
    assert reach.tell(pytest.fail, lambda: "kept") == "kept"
    assert reach.ask(lambda: "read", "nothing") == "read"
    [line] = said
    assert line.startswith(f"note: nothing is published to {bucket.url}")


def test_a_server_that_is_away_is_an_error_unless_it_may_be_done_without(
    bucket: Bucket, notes: DirectoryStore, said: list[str]
) -> None:
    strict = Reach(bucket, notes, False, said.append)
    with pytest.raises(StoreUnavailable):
        strict.ask(unavailable, "nothing")
    with pytest.raises(StoreUnavailable):
        strict.tell(unavailable, lambda: "kept")
    assert said == []

    relaxed = Reach(bucket, notes, True, said.append)
    assert relaxed.ask(unavailable, "nothing") == "nothing"
    assert relaxed.ask(pytest.fail, "nothing") == "nothing"
    assert relaxed.tell(pytest.fail, lambda: "kept") == "kept"
    assert said == ["warning: it is away; going on with the cache alone"]


class Careless(BaseHTTPRequestHandler):
    """A server that takes every PUT, whatever its conditions."""

    def do_PUT(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def careless() -> Iterator[Bucket]:
    """A bucket on it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        access = S3Access(endpoint=endpoint, region="r", access_key="a", secret_key="s")
        yield Bucket("s3://careless", access)
        server.shutdown()


def test_a_server_that_ignores_conditions_is_refused_before_anything_is_published(
    careless: Bucket, notes: DirectoryStore, said: list[str]
) -> None:
    reach = Reach(careless, notes, False, said.append)
    with pytest.raises(StoreError, match="ignores If-None-Match") as raised:
        reach.tell(pytest.fail, lambda: "kept")
    assert raised.value.hint.startswith("use a server that honours conditional writes")
