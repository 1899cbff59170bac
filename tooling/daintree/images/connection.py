"""HTTP requests on connections that are kept open, one a thread and host: a round of many costs one handshake a thread.

The standard library's client, because a check with nothing to do imports nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from daintree.http_connection import connection_to, target

if TYPE_CHECKING:
    import http.client

TIMEOUT_SECONDS = 30
ATTEMPTS = 3
PAUSE_SECONDS = 0.25
TRANSIENT_STATUSES = frozenset({429, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
# A connection that the server had closed between two requests looks the same.
_BROKEN = (ConnectionResetError, BrokenPipeError)


class Answer(msgspec.Struct, frozen=True):
    """Answer of a server; header names are in lower case. A HEAD's body is empty."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Open(threading.local):
    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], http.client.HTTPConnection] = {}


class Connections:
    """Open connections. May be used from any number of threads; each has connections of its own."""

    def __init__(self) -> None:
        self._open = _Open()

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """One answer, redirects followed; no Authorization goes to another host.

        A broken connection and a transient answer (429, 502 to 504) are tried again, ATTEMPTS times in all.
        Raises OSError and http.client.HTTPException as the connection does.
        """
        answer = self._retried(method, url, headers, body)
        for _ in range(MOST_REDIRECTS):
            location = answer.headers.get("location", "")
            if answer.status not in REDIRECTS or not location or method not in ("GET", "HEAD"):
                break
            before, after = urlsplit(url), urlsplit(urljoin(url, location))
            if (before.scheme, before.netloc) != (after.scheme, after.netloc):
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
            url = after.geturl()
            answer = self._retried(method, url, headers, body)
        return answer

    def _retried(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._once(method, urlsplit(url), headers, body)
            except _BROKEN:
                if attempt == ATTEMPTS:
                    raise
                continue
            if answer.status not in TRANSIENT_STATUSES:
                break
            if attempt < ATTEMPTS:
                time.sleep(PAUSE_SECONDS * attempt)
        return answer

    def _once(
        self, method: str, url: SplitResult, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        connection = self._connection(url)
        try:
            connection.request(method, target(url), body, dict(headers))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        except BaseException:
            connection.close()
            raise

    def _connection(self, url: SplitResult) -> http.client.HTTPConnection:
        server = (url.scheme, url.netloc)
        if server not in self._open.connections:
            self._open.connections[server] = connection_to(url, TIMEOUT_SECONDS)
        return self._open.connections[server]
