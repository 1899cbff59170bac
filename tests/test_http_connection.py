"""Connections go where the URL says, or through the proxy that the environment names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest

from daintree.http_connection import connection_to, retry_after, target


class _Answers(BaseHTTPRequestHandler):
    """A server, and a proxy to itself: what it was asked stands in its answers and in `server.tunnels`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, self.path.encode())

    def do_CONNECT(self) -> None:
        tunnels: list[tuple[str, str]] = self.server.tunnels  # type: ignore[attr-defined]
        tunnels.append((self.path, self.headers.get("Proxy-Authorization", "")))
        self._answer(200, b"")
        # Some clients ask for the tunnel in HTTP/1.0.
        self.close_connection = False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if self.command == "GET":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the proxies of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def tunnels() -> list[tuple[str, str]]:
    """What a proxy was asked to lead to, and with which credentials."""
    return []


@pytest.fixture
def port(tunnels: list[tuple[str, str]]) -> Iterator[int]:
    """Where the server is."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.tunnels = tunnels  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def requested_target(url: str) -> bytes:
    """The body of the answer to a GET."""
    parts = urlsplit(url)
    with closing(connection_to(parts, 10)) as connection:
        connection.request("GET", target(parts))
        return connection.getresponse().read()


def test_it_leads_to_the_server_of_the_url(port: int, tunnels: list[tuple[str, str]]) -> None:
    assert requested_target(f"http://127.0.0.1:{port}/a?b=c") == b"/a?b=c"
    assert requested_target(f"http://127.0.0.1:{port}") == b"/"
    assert tunnels == []


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_gone_through(
    port: int, tunnels: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://us%40er:pass@127.0.0.1:{port}")
    assert requested_target("http://server.example:81/a") == b"/a"
    assert tunnels == [("server.example:81", "Basic dXNAZXI6cGFzcw==")]


def test_a_proxy_needs_no_scheme(
    port: int, tunnels: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{port}")
    assert requested_target("http://server.example/a") == b"/a"
    assert tunnels == [("server.example:80", "")]


def test_a_proxy_without_a_port_has_that_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    assert connection_to(urlsplit("https://server.example"), 3).port == 80


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_hosts_without_a_proxy_are_asked_straight(
    port: int, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert requested_target(f"http://{host}:{port}/a") == b"/a"


def test_https_is_spoken_with_certificates_checked() -> None:
    connection = connection_to(urlsplit("https://server.example"), 3)
    assert isinstance(connection, HTTPSConnection)
    assert (connection.port, connection.timeout) == (443, 3)


@pytest.mark.parametrize("name", ["http://server.example:port", "http://server.example:99999"])
def test_a_port_that_is_none_is_said(name: str) -> None:
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        connection_to(urlsplit(name), 3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("7", 7), (" 0 ", 0), ("Wed, 23 Jul 2014 10:00:00 GMT", 0)),
        *(("", None), ("soon", None), ("-1", None), ("1.5", None)),
    ],
)
def test_the_pause_may_be_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text) == seconds
