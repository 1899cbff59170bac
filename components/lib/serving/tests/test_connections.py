from __future__ import annotations

import re
import socket
from contextlib import suppress

import pytest
from conftest import Running, Start
from serving.connections import LARGEST_HEAD, LARGEST_REQUEST

START = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


def connected(service: Running) -> socket.socket:
    return socket.create_connection((service.host, service.port), timeout=30)


def received(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    content = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            content += part
    return content


def memory(service: Running) -> int:
    metrics = service.ask("GET", "/metrics").body.decode()
    found = re.search(r"process_resident_memory_bytes ([0-9.e+]+)", metrics)
    assert found
    return int(float(found[1]))


def test_an_endless_header_costs_no_memory(start: Start, model) -> None:
    service = start(model)
    before = memory(service)
    with connected(service) as connection:
        connection.sendall(START + b"X: ")
        with suppress(ConnectionError):
            for _ in range(60):
                connection.sendall(b"x" * 1_000_000)
        answer = received(connection)
    # Where the rest was under way still, the system may have dropped the answer.
    assert answer[:12] in (b"HTTP/1.1 431", b"")
    assert memory(service) - before < 16_000_000
    metrics = service.ask("GET", "/metrics").body.decode()
    assert 'serving_refused_connections_total{reason="too_large"} 1.0' in metrics


@pytest.mark.parametrize(
    "head", [b"X: " + b"x" * LARGEST_HEAD, b"X: y\r\n" * (LARGEST_HEAD // 6 + 1)]
)
def test_a_large_head_is_answered(start: Start, model, head: bytes) -> None:
    with connected(start(model)) as connection:
        connection.sendall((START + head)[:LARGEST_HEAD])
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"error":"too_large"' in answer


def test_a_head_just_small_enough_is_served(start: Start, model) -> None:
    with connected(start(model)) as connection:
        room = LARGEST_HEAD - len(START) - len(b"Connection: close\r\nX: \r\n\r\n") - 1
        connection.sendall(START + b"Connection: close\r\nX: " + b"x" * room + b"\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_without_end_is_cut(start: Start, model) -> None:
    service = start(model)
    before = memory(service)
    with connected(service) as connection:
        connection.sendall(b"POST /price HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(2 * LARGEST_REQUEST // 65536):
                connection.sendall(b" " * 65536)
        assert received(connection)[:12] in (b"HTTP/1.1 413", b"")
    assert memory(service) - before < 16_000_000


@pytest.mark.parametrize(
    "part", [b"G", START, b"POST /price HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"]
)
def test_half_a_request_is_given_up(start: Start, model, part: bytes) -> None:
    service = start(model, "--request-seconds", 1)
    with connected(service) as connection:
        connection.sendall(part)
        assert received(connection).startswith(b"HTTP/1.1 408 ")
    assert service.ask("GET", "/health/live").status == 200


def test_an_idle_connection_is_closed(start: Start, model) -> None:
    service = start(model, "--idle-seconds", 1)
    with connected(service) as silent, connected(service) as served:
        served.sendall(START + b"\r\n")
        assert received(served).startswith(b"HTTP/1.1 200 ")
        assert received(silent) == b""


def test_more_connections_than_allowed_are_refused(start: Start, model) -> None:
    service = start(model, "--connections", 3)
    held = [connected(service) for _ in range(3)]
    for connection in held:
        connection.sendall(START + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    with connected(service) as refused:
        assert received(refused).startswith(b"HTTP/1.1 503 ")
    for connection in held:
        connection.close()
    while service.ask("GET", "/health/live").status == 503:
        pass


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/metrics", "/model", "/openapi.json", "/docs"]
)
def test_head_answers_as_get_without_the_body(start: Start, model, path: str) -> None:
    service = start(model)
    got, head = service.ask("GET", path), service.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0
    if path in ("/openapi.json", "/docs"):
        return
    metrics = service.ask("GET", "/metrics").body.decode()
    assert f'serving_requests_total{{method="HEAD",route="{path}",status="200"}} 1.0' in metrics


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("OPTIONS", "/price", 204, "OPTIONS, POST"),
        ("OPTIONS", "/health/live", 204, "GET, HEAD, OPTIONS"),
        ("PUT", "/health/live", 405, "GET, HEAD, OPTIONS"),
        ("HEAD", "/price", 405, "OPTIONS, POST"),
        ("DELETE", "/price", 405, "OPTIONS, POST"),
        ("OPTIONS", "/no/such/path", 404, None),
        ("HEAD", "/no/such/path", 404, None),
    ],
)
def test_a_path_says_what_it_allows(
    start: Start, model, method: str, path: str, status: int, allow: str | None
) -> None:
    reply = start(model).ask(method, path)
    assert (reply.status, reply.headers["Allow"]) == (status, allow)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/model", "/none"])
def test_a_connection_stays_open_after_head(start: Start, model, path: str) -> None:
    service = start(model)
    with connected(service) as connection:
        connection.sendall(b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        connection.sendall(b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        connection.sendall(START + b"Connection: close\r\n\r\n")
        answer = received(connection)
    *heads, last = re.split(rb"(?<=\r\n\r\n)(?=HTTP/1.1)", answer)
    assert len(heads) == 2
    assert all(head.endswith(b"\r\n\r\n") for head in heads)
    assert last.endswith(b'{"status":"live"}')
    service.end()
    assert service.process.stderr is not None
    assert "shorter than Content-Length" not in service.process.stderr.read()
