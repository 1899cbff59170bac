"""HTTP client of web sources: redirects, addresses, sizes, retries and total time are all bounded.

A pipeline's author names one URL. The servers behind it must not lead the machine to places that the author did not name: to other
schemes, or to addresses inside a network. So a name is resolved here, and the connection opened to an address that was checked.
"""

from __future__ import annotations

import http.client
import ipaddress
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TypeVar
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

import msgspec

from daintree import __version__
from daintree.errors import SourceError
from daintree.http_connection import connection_to, proxy_for, retry_after, target

WAIT_SECONDS = 60
MAX_REDIRECTS = 10
ATTEMPTS = 5
LONGEST_PAUSE = 300
REDIRECTS = frozenset({301, 302, 303, 307, 308})
ANY_HOST = "any"
# What a URL's path and query may hold as it is.
SAFE = "/%:@!$&'()*+,;=~-._?"
# Networks whose addresses end in an IPv4 address: compatible, translated, NAT64.
_OF_IPV4 = [ipaddress.ip_network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_HINTS = {
    401: "give a user name and a password in the URL, as https://USER:PASSWORD@host/…",
    403: "check the right to read it, or whether a signed URL has expired",
    404: "check the URL",
    407: "the proxy wants a user name and a password: set them in https_proxy",
    410: "check the URL",
    429: "the server limits how often it is asked: run again later",
}
_ADDRESS_HINT = "name that URL as the source, or allow its host in the setting source_redirects"

Result = TypeVar("Result")


class WebLimits(msgspec.Struct, frozen=True):
    """Limits of a source behind a URL: bytes of its file, seconds of its download, hosts that a redirect may lead to though they are not public.

    `backoff` is the first pause in seconds between two attempts.
    """

    size: int = 1 << 40
    seconds: int = 4 * 60 * 60
    redirect_hosts: tuple[str, ...] = ()
    backoff: float = 0.5


class ServerRefused(SourceError):
    """Error answer of a server; `status` is HTTP's."""

    def __init__(self, origin: str, status: int) -> None:
        phrase = http.client.responses.get(status, "")
        fault = "the server has a fault: run again later" if status >= 500 else ""
        super().__init__(
            f"the source {origin} cannot be read: the server answers {status} {phrase}".rstrip(),
            hint=_HINTS.get(status, fault or "check the URL"),
        )
        self.status = status


class TransientFailure(Exception):
    """Failure that another attempt may overcome: the error to report if none does, and the pause that the server asks for.

    One that is `at_start` is hopeless as long as nothing has been received: nobody listens there.
    """

    def __init__(
        self, error: SourceError, retry_after: float | None = None, at_start: bool = False
    ) -> None:
        super().__init__(error.message)
        self.error, self.retry_after, self.at_start = error, retry_after, at_start


class Deadline:
    """End of the time that one download may take, with all its attempts."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; 0 when the time is over."""
        return max(0.0, self._end - time.monotonic())


class WebResponse:
    """Successful answer after all redirects; `url` is the one that answered, without its query."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self.status, self.headers, self.url = response.status, response.headers, url
        self.length = response.length
        self._response = response

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`, as soon as there are any; b"" at the end. Raises OSError and HTTPException."""
        return self._response.read1(size)


class WebClient:
    """Client for one URL. `origin` names it in errors; `authorization` goes to this URL alone, never along a redirect."""

    def __init__(self, url: str, origin: str, authorization: str, limits: WebLimits) -> None:
        self._url, self._origin, self._authorization = urlsplit(url), origin, authorization
        self.limits = limits
        self._public_hosts: set[str] = set()

    def retry(
        self,
        attempt: Callable[[Deadline], Result],
        seconds: float,
        progress: Callable[[], int] = lambda: 0,
    ) -> Result:
        """The result of the first attempt that succeeds; one that got further than all before it counts as the first.

        Raises SourceError after ATTEMPTS in vain, or when the time is over.
        """
        deadline, failures, furthest = Deadline(seconds), 0, progress()
        while True:
            try:
                return attempt(deadline)
            except TransientFailure as failure:
                advanced, furthest = progress() > furthest, max(furthest, progress())
                failures = 1 if advanced else failures + 1
                pause = failure.retry_after
                if pause is None:
                    backoff = self.limits.backoff * 2 ** (failures - 1) * random.uniform(0.5, 1)
                    pause = 0 if advanced else backoff
                if not deadline.left:
                    raise self.too_slow() from None
                is_hopeless = failures >= ATTEMPTS or (failure.at_start and not furthest)
                if is_hopeless or pause > min(LONGEST_PAUSE, deadline.left):
                    raise failure.error from None
                time.sleep(pause)

    def too_slow(self) -> SourceError:
        """The error of a download whose time is over."""
        return SourceError(
            f"the source {self._origin} took longer than {self.limits.seconds} seconds",
            hint="the setting source_timeout is the time that a download may take in all",
        )

    @contextmanager
    def open(
        self, method: str, headers: Mapping[str, str], deadline: Deadline
    ) -> Iterator[WebResponse]:
        """The answer of the server that the URL leads to.

        Errors of the block pass. Raises SourceError, and TransientFailure for what may be better at the next attempt. What errors say of URLs
        is not repeated: these may hold a password or a signature.
        """
        url, authorization = self._url, self._authorization
        for _ in range(MAX_REDIRECTS + 1):
            sent = {"User-Agent": f"daintree/{__version__}", **headers}
            if authorization:
                sent["Authorization"] = authorization
            with self._exchange(method, url, sent, deadline) as response:
                location = response.headers.get("Location", "")
                if response.status in REDIRECTS and location:
                    url, authorization = self._redirected(url, location), ""
                    continue
                self._check_status(response)
                yield WebResponse(response, without_query(url))
                return
        raise SourceError(
            f"the source {self._origin} redirects more than {MAX_REDIRECTS} times",
            hint="check the URL: the server may send it in a circle",
        )

    @contextmanager
    def _exchange(
        self, method: str, url: SplitResult, headers: dict[str, str], deadline: Deadline
    ) -> Iterator[http.client.HTTPResponse]:
        """One request and its answer. A server that sends little by little for ever is cut off at the deadline."""
        with closing(self._connect(url, deadline)) as connection:
            watchdog = threading.Timer(deadline.left, _shut, [connection.sock])
            watchdog.daemon = True
            watchdog.start()
            try:
                try:
                    connection.request(method, target(url), headers=headers)
                    response = connection.getresponse()
                except (OSError, http.client.HTTPException, ValueError) as error:
                    raise TransientFailure(self.unreachable(error)) from None
                with response:
                    yield response
            finally:
                watchdog.cancel()

    def _connect(self, url: SplitResult, deadline: Deadline) -> http.client.HTTPConnection:
        seconds = min(WAIT_SECONDS, deadline.left) or 0.001
        try:
            connection = connection_to(url, seconds)
            addresses = self._allowed_addresses(url)
            if proxy_for(url):
                connection.connect()
            else:
                connection.sock = _socket_to(url, addresses, seconds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, ConnectionResetError | BrokenPipeError | TimeoutError):
                raise TransientFailure(self.unreachable(error)) from None
            if isinstance(
                error, ssl.SSLCertVerificationError | http.client.HTTPException | ValueError
            ):
                raise self.unreachable(error) from None
            raise TransientFailure(self.unreachable(error), at_start=True) from None
        return connection

    def _allowed_addresses(self, url: SplitResult) -> list[str]:
        """The addresses of a URL's host that may be connected to; none where a proxy resolves it. Raises SourceError, OSError."""
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            # Behind a proxy names of the outside are often unknown: there the proxy resolves them.
            if proxy_for(url):
                return []
            raise
        return self.select_addresses(host, [str(answer[4][0]) for answer in answers])

    def select_addresses(self, host: str, addresses: list[str]) -> list[str]:
        """Those of a host's addresses that may be connected to: the public ones, if there are any.

        Addresses inside a network only for the host that the pipeline names, and only while that has had no public one: a name that was
        public may not turn into one of the machine itself from one answer to the next. Raises SourceError where none is left.
        """
        public = [address for address in addresses if is_public(address)]
        if public:
            self._public_hosts.add(host)
            return public
        is_named = host == self._url.hostname and host not in self._public_hosts
        if is_named or self._is_listed(host):
            return addresses
        raise SourceError(
            f"the source {self._origin} leads to {host}, which is inside a network: {', '.join(addresses[:2])}",
            hint=_ADDRESS_HINT,
        )

    def _is_listed(self, host: str) -> bool:
        return not {ANY_HOST, host}.isdisjoint(self.limits.redirect_hosts)

    def _redirected(self, url: SplitResult, location: str) -> SplitResult:
        """The URL that a redirect leads to. Raises SourceError for one that leads where the pipeline's author has not asked to go."""
        scheme, netloc = "", ""
        with suppress(ValueError):
            new = urlsplit(urljoin(url.geturl(), location))
            scheme = new.scheme
            netloc = host_and_port(new)
        if scheme and scheme not in ("http", "https"):
            raise SourceError(
                f"the source {self._origin} redirects to a URL of the kind {scheme}:",
                hint="a redirect is followed to http:// and https:// only",
            )
        if not netloc:
            raise SourceError(
                f"the source {self._origin} redirects to something that is no URL",
                hint="report it to whoever runs the server",
            )
        if (url.scheme, new.scheme) == ("https", "http") and not self._is_listed(
            new.hostname or ""
        ):
            raise SourceError(
                f"the source {self._origin} redirects from https to http, at {new.hostname}",
                hint=_ADDRESS_HINT,
            )
        return SplitResult(new.scheme, netloc, quoted(new.path), quoted(new.query), "")

    def _check_status(self, response: http.client.HTTPResponse) -> None:
        status = response.status
        if 200 <= status < 300 or status == 416:
            if len({*response.headers.get_all("Content-Length", ())}) > 1:
                raise SourceError(
                    f"the source {self._origin} cannot be read: the server gives it two lengths",
                    hint="report it to whoever runs the server",
                )
            return
        refused = ServerRefused(self._origin, status)
        if status in (408, 425, 429) or (status >= 500 and status not in (501, 505, 511)):
            raise TransientFailure(refused, retry_after(response.headers.get("Retry-After", "")))
        raise refused

    def unreachable(self, error: Exception) -> SourceError:
        """The error for a connection that failed, with the cause where it is known."""
        reason, hint = str(error), "check the URL and the network"
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {error.verify_message}"
            hint = "where it is signed by an authority of your own, name that one's file in SSL_CERT_FILE"
        elif isinstance(error, ssl.SSLError):
            reason, hint = (
                f"TLS failed: {error.reason}",
                "does the server speak https at this port?",
            )
        elif isinstance(error, socket.gaierror | UnicodeError):
            reason, hint = (
                "there is no such host",
                "check its name, and that of a proxy if there is one",
            )
        elif isinstance(error, TimeoutError):
            reason, hint = "it does not answer", "check the network, or run again later"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        elif isinstance(error, http.client.HTTPException | ValueError):
            # Their texts may repeat the URL.
            reason, hint = type(error).__name__, "is the URL right?"
        return SourceError(f"the source {self._origin} cannot be reached: {reason}", hint=hint)


def is_public(address: str) -> bool:
    """True of an address of the public internet; an IPv4 address inside an IPv6 one counts as what it is."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if any(parsed in network for network in _OF_IPV4):
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if parsed.is_site_local or parsed in _LOCAL_NAT64:
            return False
    return parsed.is_global and not parsed.is_multicast


def quoted(part: str) -> str:
    """A URL's path or query as a request may hold it; %XX that stands there already stays."""
    return quote(part, SAFE, errors="surrogateescape")


def host_and_port(parts: SplitResult) -> str:
    """A URL's host and port, without a user name. Raises ValueError where there is no host, or no port that can be one."""
    if not parts.hostname:
        raise ValueError("no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if parts.port is None else f"{host}:{parts.port}"


def without_query(parts: SplitResult) -> str:
    """A URL without user name, query and fragment, which may be secret."""
    return urlunsplit((parts.scheme, host_and_port(parts), parts.path, "", ""))


def _socket_to(url: SplitResult, addresses: list[str], seconds: float) -> socket.socket:
    """A connection to the first of these addresses that accepts one, in TLS for https. Raises OSError."""
    port, error = url.port or (443 if url.scheme == "https" else 80), OSError("no address")
    for address in addresses:
        try:
            plain = socket.create_connection((address, port), seconds)
        except OSError as failure:
            error = failure
            continue
        if url.scheme != "https":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=url.hostname)
        except OSError:
            plain.close()
            raise
    raise error


def _shut(connection: socket.socket | None) -> None:
    try:
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # Closed already.
        return
