"""Limits of each connection: bytes of a request's head, seconds until a request is there, idle seconds, connections at once.

uvicorn has a limit of idle time alone: without the others, a client that sends one endless header, or many halves of heads,
takes the service's memory and time from everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

LARGEST_HEAD = 32 * 1024
# Head, body and what chunks need around it: more comes only after an answer that refuses it.
LARGEST_REQUEST = 4 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The limits of all connections; `count` is called with the reason for each that is refused or ended."""

    idle_seconds: float
    request_seconds: float
    connections: int
    count: Callable[[str], None]


class LimitedProtocol(HttpToolsProtocol):
    """One connection within its limits. What exceeds them gets its status and is closed."""

    def __init__(self, limits: Limits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._in_head, self._in_request = True, False
        self._received = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Accept, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "too_many_connections")
        else:
            # One that sends nothing at all is idle, too.
            self.timeout_keep_alive_task = self.loop.call_later(
                self._limits.idle_seconds, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and its timers."""
        self._cancel_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as far as the limits allow."""
        while data and not self.transport.is_closing():
            room = max(self._largest - self._received, 1)
            part, data = data[:room], data[room:]
            self._in_request = True
            self._received += len(part)
            super().data_received(part)
            if self._received >= self._largest and not self.transport.is_closing():
                # A larger body is answered by 413 while it comes.
                self._refuse(431 if self._in_head else 413, "too_large")
        if self._in_request and not self.transport.is_closing():
            self._start_deadline()
        else:
            self._cancel_deadline()

    @property
    def _largest(self) -> int:
        return LARGEST_HEAD if self._in_head else LARGEST_REQUEST

    def on_headers_complete(self) -> None:
        """Note that the body follows."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next request may follow."""
        super().on_message_complete()
        self._in_head, self._in_request, self._received = True, False, 0

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose client does not read its last answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.request_seconds, self._too_late)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.flow.read_paused:
            # The rest waits for the service, not for the client.
            self._start_deadline()
        elif not self.transport.is_closing():
            self._refuse(408, "too_slow")

    def _refuse(self, status: int, reason: str) -> None:
        """Answer with a status, unless an answer has begun, and close."""
        self._limits.count(reason)
        self._cancel_deadline()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = b'{"error":"%s","message":"%s","unknown":[]}' % (reason.encode(), _WORDS[reason])
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + b"\r\n" + body)
        self.transport.close()


_WORDS = {
    "too_large": b"the request's head or body is too large",
    "too_slow": b"the request did not come in time",
    "too_many_connections": b"the service has too many connections",
}
