"""A registry that answers as a test says, for faults that a real one cannot be brought to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# (status, headers, body) for (method, path, headers).
Reply = tuple[int, Mapping[str, str], bytes]
Script = Callable[[str, str, Mapping[str, str]], Reply]


@dataclass
class FaultyRegistry:
    """It listens at `address`; `requests` are (method, path, Authorization) of all that came."""

    address: str
    requests: list[tuple[str, str, str]] = field(default_factory=list)


@contextlib.contextmanager
def answering(script: Script) -> Iterator[FaultyRegistry]:
    """A server on a free port that answers each request as the script says; status 0 hangs up."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                authorization = self.headers.get("Authorization", "")
                served.requests.append((self.command, self.path, authorization))
                status, headers, body = script(self.command, self.path, dict(self.headers))
            if not status:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = FaultyRegistry(f"127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def as_json(status: int, value: object) -> Reply:
    """An answer of JSON."""
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()
