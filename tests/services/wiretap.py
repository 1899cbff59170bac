"""Something between a client and an HTTP server that passes bytes on as they are and notes what was asked."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"(?:^|\r\n\r\n)((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP/1\.1\r\n")


@dataclass
class Wiretap:
    """Where to connect to, and what was asked through it so far, e.g. "GET /bucket/key". Bodies may look like requests."""

    endpoint: str
    requests: list[str] = field(default_factory=list)


@contextmanager
def wiretap(endpoint: str) -> Iterator[Wiretap]:
    """A tap in front of the server at an http:// URL."""
    target = urlsplit(endpoint)
    with socket.create_server(("127.0.0.1", 0)) as server:
        tap = Wiretap(f"http://127.0.0.1:{server.getsockname()[1]}")
        accepting = threading.Thread(
            target=_accept, args=(server, (target.hostname, target.port), tap), daemon=True
        )
        accepting.start()
        yield tap
        server.shutdown(socket.SHUT_RDWR)
    accepting.join()


def _accept(server: socket.socket, target: tuple[str | None, int | None], tap: Wiretap) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        upstream = socket.create_connection(target)  # type: ignore[arg-type]
        for source, sink, noted in ((client, upstream, tap.requests), (upstream, client, None)):
            threading.Thread(target=_pass, args=(source, sink, noted), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, noted: list[str] | None) -> None:
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            if noted is not None:
                noted += [line.decode() for line in _REQUEST.findall(chunk)]
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
