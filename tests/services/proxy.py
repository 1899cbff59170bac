"""An HTTP server in front of another, which misbehaves as it is told and notes what was asked."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.services.minio import Minio

LONGEST_SECONDS = 60
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_OF_ONE_CONNECTION = frozenset({"connection", "transfer-encoding", "content-length"})
_BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"

Fault = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """One request at the proxy; a fault does with it what it likes."""

    handler: BaseHTTPRequestHandler
    target: tuple[str, int]
    released: threading.Event
    line: str
    headers: dict[str, str]
    body: bytes

    def ask(self) -> tuple[HTTPResponse, bytes]:
        """The server's answer to the request."""
        connection = HTTPConnection(*self.target, timeout=LONGEST_SECONDS)
        method, path = self.line.split(" ", 1)
        connection.request(method, path, self.body, self.headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def answer(self, response: HTTPResponse, body: bytes) -> None:
        """Hand the server's answer on as it is."""
        self.handler.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.handler.send_header(name, value)
        length = response.getheader("Content-Length") if self.line.startswith("HEAD") else None
        self.handler.send_header("Content-Length", length or str(len(body)))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def refuse(self) -> None:
        """Answer 503, as a server that has too much to do."""
        self.handler.send_response(503)
        self.handler.send_header("Content-Length", str(len(_BUSY)))
        self.handler.end_headers()
        if not self.line.startswith("HEAD"):
            self.handler.wfile.write(_BUSY)

    def hang_up(self) -> None:
        """Reset the connection."""
        connection = self.handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.close()
        self.handler.close_connection = True


def passes(exchange: Exchange) -> None:
    """Hand the request on, and the answer back."""
    exchange.answer(*exchange.ask())


def busy(exchange: Exchange) -> None:
    """Answer 503; the server never sees the request."""
    exchange.refuse()


def busy_when_done(exchange: Exchange) -> None:
    """Answer 503 to what the server has done."""
    exchange.ask()
    exchange.refuse()


def reset(exchange: Exchange) -> None:
    """Reset the connection; the server never sees the request."""
    exchange.hang_up()


def reset_when_done(exchange: Exchange) -> None:
    """Reset the connection once the server has done what was asked: its answer is lost."""
    exchange.ask()
    exchange.hang_up()


def stall(exchange: Exchange) -> None:
    """Say nothing until the proxy ends; the server never sees the request."""
    exchange.released.wait()
    exchange.hang_up()


def cut(exchange: Exchange) -> None:
    """Reset the connection in the middle of the answer's body."""
    response, body = exchange.ask()
    exchange.handler.send_response(response.status)
    for name, value in response.getheaders():
        exchange.handler.send_header(name, value)
    exchange.handler.end_headers()
    exchange.handler.wfile.write(body[: len(body) // 2])
    exchange.handler.wfile.flush()
    exchange.hang_up()


def dry_up(count: int) -> Fault:
    """Hand on so many bytes of the answer's body, and then say nothing until the proxy ends."""

    def fault(exchange: Exchange) -> None:
        response, body = exchange.ask()
        exchange.handler.send_response(response.status)
        for name, value in response.getheaders():
            exchange.handler.send_header(name, value)
        exchange.handler.end_headers()
        exchange.handler.wfile.write(body[:count])
        exchange.handler.wfile.flush()
        exchange.released.wait()
        exchange.hang_up()

    return fault


def dated(stamp: str) -> Fault:
    """Hand the request on as a client sends it whose clock says `stamp`, e.g. 20200101T000000Z."""

    def fault(exchange: Exchange) -> None:
        headers = {n: v for n, v in exchange.headers.items() if n.lower() != "x-amz-date"}
        exchange.headers = {**headers, "x-amz-date": stamp}
        passes(exchange)

    return fault


def all_together(count: int) -> Fault:
    """Hand requests on when `count` of them are there at once; 503 when they are not."""
    barrier = threading.Barrier(count, timeout=LONGEST_SECONDS / 4)

    def fault(exchange: Exchange) -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            exchange.refuse()
        else:
            passes(exchange)

    return fault


@dataclass
class Rule:
    """A fault for the requests whose line a pattern is found in, `times` times at most."""

    pattern: str
    fault: Fault
    times: float
    met: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self) -> None:
        """Until a request has met the fault that nobody has waited for yet."""
        assert self.met.acquire(timeout=LONGEST_SECONDS), f"nobody asked {self.pattern}"


@dataclass
class Proxy:
    """Where to connect to, and what was asked so far, e.g. "GET /bucket/key"."""

    endpoint: str
    requests: list[str] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def when(self, pattern: str, fault: Fault, *, times: float = float("inf")) -> Rule:
        """From now on, do this with requests whose line the regular expression is found in; the first rule counts."""
        rule = Rule(pattern, fault, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def matching(self, pattern: str) -> list[str]:
        """The requests so far whose line the regular expression is found in."""
        return [line for line in self.requests if re.search(pattern, line)]

    def take(self, line: str) -> Fault:
        """What to do with a request; it is noted, and counts for the rule it meets."""
        with self._lock:
            self.requests.append(line)
            for rule in self._rules:
                if rule.times > 0 and re.search(rule.pattern, line):
                    rule.times -= 1
                    rule.met.release()
                    return rule.fault
        return passes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.released = target, threading.Event()
        self.proxy = Proxy(f"http://127.0.0.1:{self.server_address[1]}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body, line = self.rfile.read(length), f"{self.command} {self.path}"
        server = self.server
        exchange = Exchange(self, server.target, server.released, line, dict(self.headers), body)
        # Whoever asked may be gone, and so may the server.
        try:
            server.proxy.take(line)(exchange)
        except OSError:
            exchange.hang_up()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    """A proxy in front of the server at an http:// URL; it passes everything on until told otherwise."""
    parts = urlsplit(endpoint)
    assert parts.hostname
    assert parts.port
    with _Server((parts.hostname, parts.port)) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield server.proxy
        finally:
            server.released.set()
            server.shutdown()
            serving.join()


@pytest.fixture
def way(minio: Minio) -> Iterator[Proxy]:
    """The way to the server of buckets."""
    with proxy(minio.access.endpoint) as made:
        yield made
