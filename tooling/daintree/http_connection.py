"""HTTP with the standard library's client, through the proxy that the environment names; connections that are kept open.

The client is imported where it is used, so that a caller can import it while it waits for something else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

if TYPE_CHECKING:
    import http.client


def connection_to(url: SplitResult, seconds: float) -> http.client.HTTPConnection:
    """A connection to the server of an http or https URL, which opens with its first request.

    Connecting, and each wait for bytes, may take so many `seconds`. Raises ValueError for a port, or a proxy's, that is none.
    """
    import http.client

    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    host = url.hostname or ""
    proxy = proxy_for(url)
    if not proxy:
        return kind(host, url.port, timeout=seconds)
    # Also for https, which goes through it, the proxy itself speaks http.
    connection = kind(proxy.hostname or "", proxy.port or http.client.HTTP_PORT, timeout=seconds)
    authorization = basic_authorization(proxy)
    headers = {"Proxy-Authorization": authorization} if authorization else {}
    connection.set_tunnel(host, url.port, headers)
    return connection


def target(url: SplitResult) -> str:
    """Target of a request line."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def proxy_for(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for requests to this URL."""
    scheme, host = url.scheme, url.hostname or ""
    if not any(name.lower() in (f"{scheme}_proxy", "all_proxy") for name in os.environ):
        return None
    # Imported here: most have no proxy, and need not pay for it.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    named = proxies.get(scheme) or proxies.get("all", "")
    if not named or host == "localhost" or proxy_bypass(host):
        return None
    return urlsplit(named if "://" in named else f"http://{named}")


def basic_authorization(url: SplitResult) -> str:
    """Value of the header that carries the user name and the password in a URL; "" where there are none."""
    if url.username is None:
        return ""
    import base64
    from urllib.parse import unquote

    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")


def retry_after(text: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None where it asks for nothing."""
    if text.strip().isdecimal():
        return float(text)
    import email.utils

    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


TIMEOUT_SECONDS = 30
ATTEMPTS = 3
PAUSE_SECONDS, LONGEST_PAUSE = 0.25, 10.0
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
        self.server = ""


class Connections:
    """Connections that are kept open, one a thread and host: a round of many requests costs one handshake a thread."""

    def __init__(self, seconds: float = TIMEOUT_SECONDS) -> None:
        """Connecting, and each wait for bytes, may take so many `seconds`."""
        self._open, self._seconds = _Open(), seconds

    @property
    def server(self) -> str:
        """The server, with its port, that this thread has asked last: another one than its caller's after a redirect."""
        return self._open.server

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """One answer, redirects followed; no Authorization goes to another host.

        A broken connection and a transient answer (429, 502 to 504) are tried again, ATTEMPTS times in all, after the pause that
        a server asks for; not where that is longer than LONGEST_PAUSE.
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
            wanted = retry_after(answer.headers.get("retry-after", ""))
            pause = PAUSE_SECONDS * attempt if wanted is None else wanted
            if attempt == ATTEMPTS or pause > LONGEST_PAUSE:
                break
            time.sleep(pause)
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
        self._open.server = url.netloc
        if server not in self._open.connections:
            self._open.connections[server] = connection_to(url, self._seconds)
        return self._open.connections[server]
