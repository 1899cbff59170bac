"""An HTTP server that says exactly what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What the server says of one path: a `length` beyond the content's breaks it off, -1 says none.

    `cut` breaks each answer off after so many bytes; `ranges` serves the rest that a Range header asks for, if its If-Range, where it has one, is the ETag or the
    Last-Modified; `wrong_range` answers such a header with another range; `refusals` are (status, headers) of the answers before; `then` is served after the first GET.
    """

    content: bytes
    status: int
    headers: dict[str, str]
    length: int | None
    head_status: int | None
    cut: int | None = None
    ranges: bool = False
    wrong_range: bool = False
    then: Answer | None = None
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    def start(self, headers: Message) -> int:
        """Where the content begins that a request gets."""
        validators = {self.headers.get(name) for name in ("ETag", "Last-Modified")} - {None}
        if not self.ranges or "Range" not in headers:
            return 0
        if headers.get("If-Range", next(iter(validators), None)) not in {*validators, None}:
            return 0
        return int(headers["Range"].removeprefix("bytes=").rstrip("-"))


NOT_FOUND = Answer(b"", 404, {}, None, None)


@dataclass
class Server:
    """A running server: its address, what it answers by path, and what it was asked."""

    address: str
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[tuple[str, str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)

    def serve(
        self,
        path: str,
        content: bytes = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
        head_status: int | None = None,
        **more: Any,
    ) -> str:
        """Answer so at this path from now on; its URL."""
        self.answers[path] = Answer(
            content, status, dict(headers or {}), length, head_status, **more
        )
        return f"http://{self.address}{path}"

    def requests(self) -> list[str]:
        """What was asked since the last time, e.g. "GET /a.json"."""
        words = [f"{method} {path}" for method, path, _ in self.received]
        self.received.clear()
        return words


@contextmanager
def web_server() -> Iterator[Server]:
    """A server on this machine for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = state.answers.get(self.path.partition("?")[0], NOT_FOUND)
            state.received.append((self.command, self.path, self.headers.get("Authorization", "")))
            state.ranges.append(self.headers.get("Range", ""))
            if answer.refusals:
                status, headers = answer.refusals.pop(0)
                answer = Answer(b"", status, headers, None, None)
            if answer.then and self.command == "GET":
                state.answers[self.path.partition("?")[0]] = answer.then
            start = answer.start(self.headers)
            status = answer.status if self.command == "GET" else answer.head_status or answer.status
            self.send_response(206 if start else status)
            for name, text in answer.headers.items():
                self.send_header(name, text)
            if start:
                total = len(answer.content)
                first = start + 7 if answer.wrong_range else start
                self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
            if "Content-Length" not in answer.headers and answer.length != -1:
                length = answer.length or len(answer.content) - start
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.content[start:][: answer.cut])

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
