"""Server of the pages: for this machine's browser alone, read only, files as downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPConnection
from socket import create_connection, create_server
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import NamedTuple

import pytest
import uvicorn

from daintree.pages.project import Project
from daintree.pages.server import HeadDeadline, application
from tests.conftest import Monorepo
from tests.contract.runs import RUN, publish
from tests.pages.conftest import PIPELINE, project_of


class Answer(NamedTuple):
    """What the server answers."""

    status: int
    headers: Message
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8")


class Client(NamedTuple):
    """Asks a server as nobody's browser would: a path goes out as it is."""

    port: int

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer


@contextmanager
def served(
    open_project: Callable[[], Project], protocol: type[HeadDeadline] = HeadDeadline
) -> Iterator[Client]:
    listener = create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(application(open_project), http=protocol, log_level="warning")
    )
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Client(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def hanging_up() -> Iterator[tuple[int, list[str]]]:
    """A server that ends each connection; its port, and the connections that there were."""
    connections: list[str] = []

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            connections.append("ended")

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], connections
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(project: Project) -> Iterator[Client]:
    with served(lambda: project) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/index.html", "/pipelines/words/", "/static/style.css"])
def test_pages_are_served_with_a_policy(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8237", "127.0.0.1.evil.example", ""]
)
def test_another_name_for_this_machine_gets_nothing(client: Client, host: str) -> None:
    assert client.get("/", headers={"host": host}).status == 400


def test_nothing_can_be_written(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.get("/pipelines/words/index.html", method=method).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/%2e%2e/site.py",
        "/static/..%2fsite.py",
        "/../../etc/passwd",
        "/runs/..%2f..%2f_cache/index.html",
        f"/runs/{RUN}/files/0/..%2f..%2frun.json",
        f"/runs/{RUN}/files/0/run.json",
        f"/runs/{RUN}/files/99/a.csv",
        f"/runs/{RUN}/files/-1/a.csv",
        "/runs/%00/index.html",
    ],
)
def test_no_path_leads_out_of_the_pages(project: Project, client: Client, path: str) -> None:
    publish(project.store)
    assert client.get(path).status == 404


def test_a_file_is_downloaded_and_never_run(project: Project, client: Client) -> None:
    publish(project.store, files={"odd name\u202e.html": b"<script>alert(1)</script>"})
    answer = client.get(f"/runs/{RUN}/files/0/odd%20name%E2%80%AE.html")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''odd%20")
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_damaged_file_is_not_sent(project: Project, client: Client) -> None:
    run = publish(project.store, files={"a.csv": b"x\n1\n"})
    place = project.store.directory / run.location / "output/a.csv"
    place.chmod(0o644)
    place.write_bytes(b"y\n2\n")
    answer = client.get(f"/runs/{RUN}/files/0/a.csv")
    assert answer.status == 503
    assert "damaged" in answer.text


def test_a_bucket_that_is_away_gives_a_page_that_says_so(
    shop: Monorepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("pipelines/again.yaml", PIPELINE.replace("output/words", "output/again"))
    monkeypatch.setenv("MINIO_ACCESS_KEY", "key")
    monkeypatch.setenv("MINIO_SECRET_KEY", "secret-of-nobody")
    with hanging_up() as (port, connections):
        monkeypatch.setenv("MINIO_ENDPOINT", f"http://127.0.0.1:{port}")
        project = project_of(shop, DAINTREE_STORE="s3://runs")
        tried = 0
        with served(lambda: project) as client:
            for path in ("/pipelines/words/", "/pipelines/words/runs.html", "/"):
                answer = client.get(path)
                assert "breaks off the connection" in answer.text, path
                assert "secret-of-nobody" not in answer.text
                # One store serves all that a page shows, and waits once.
                tried = tried or len(connections)
                assert len(connections) == tried
    # Of a store that is not read nothing is known.
    assert "Never run" not in answer.text
    assert "to run" not in answer.text


@pytest.mark.parametrize("whole", [[], ["GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]])
def test_half_a_head_is_not_waited_for(whole: list[str], project: Project) -> None:
    class Brief(HeadDeadline):
        seconds = 0.05

    with (
        served(lambda: project, Brief) as client,
        create_connection(("127.0.0.1", client.port), timeout=30) as connection,
    ):
        connection.sendall("".join([*whole, "GET / HTTP/1.1\r\nHost: 127."]).encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.count(b"HTTP/1.1 ") == len(whole)
