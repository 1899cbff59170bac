"""A connection of the standard library's HTTP client, through the proxy that the environment names, if any.

The client is imported where it is used, so that a caller can import it while it waits for something else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

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
    connection = kind(proxy.hostname or "", proxy.port, timeout=seconds)
    connection.set_tunnel(host, url.port, _proxy_headers(proxy))
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


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    import base64
    from urllib.parse import unquote

    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
