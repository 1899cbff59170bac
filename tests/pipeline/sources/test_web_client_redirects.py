"""A redirect leads to public servers, or stays at the host that the pipeline names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import SourceError
from daintree.pipeline.sources.web_client import WebClient, WebLimits, is_public
from daintree.store.store import Store
from tests.pipeline.sources.served import CONTENT, ETAG, at, complaint, digest_of

if TYPE_CHECKING:
    from tests.web_server import Server


def redirecting(server: Server, location: str, status: int = 302) -> str:
    """A URL that the server redirects from."""
    return server.serve("/a.json", status=status, headers={"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_url_that_answered_is_known_without_its_query(
    server: Server, store: Store, status: int
) -> None:
    real = server.serve("/real/other", CONTENT, headers=ETAG)
    url = redirecting(server, f"{real}?X-Signature=hidden#part", status)
    fetched = at(url, store).fetch()
    assert (fetched.origin, fetched.final_origin) == (url, real)
    assert at(url, store).identify() == fetched
    assert at(real, store).fetch().final_origin == ""


def test_it_is_known_of_a_declared_file_without_asking(server: Server, store: Store) -> None:
    from tests.pipeline.sources.served import SHA256

    real = server.serve("/real", CONTENT)
    url = redirecting(server, "/real")
    at(url, store, SHA256).fetch()
    server.requests()
    assert at(url, store, SHA256).fetch().final_origin == real
    assert server.requests() == []


@pytest.mark.parametrize(
    "location",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "gopher://x/",
        "s3://bucket/x",
        "data:,x",
        "javascript:x",
    ],
)
def test_other_schemes_are_not_followed(server: Server, store: Store, location: str) -> None:
    error = complaint(redirecting(server, location), store, redirect_hosts=("any",))
    assert "redirects to a URL of the kind" in error.message
    assert error.hint == "a redirect is followed to http:// and https:// only"


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "127.0.0.2",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
        ),
        *("169.254.169.254", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fe80::1]"),
        *("[fd00::1]", "224.0.0.1", "[64:ff9b::7f00:1]"),
    ],
)
def test_addresses_inside_a_network_are_not_connected_to(
    server: Server, store: Store, host: str
) -> None:
    port = server.address.rpartition(":")[2]
    server.serve("/secret", b"of the machine")
    url = redirecting(server, f"http://{host}:{port}/secret")
    error = complaint(url, store)
    assert (
        f"the source {url} leads to {host.strip('[]')}, which is inside a network: "
        in error.message
    )
    assert "source_redirects" in error.hint
    assert "GET /secret" not in server.requests()


@pytest.mark.parametrize("allowed", ["localhost", "any"])
def test_a_setting_allows_them(server: Server, store: Store, allowed: str) -> None:
    port = server.address.rpartition(":")[2]
    server.serve("/real", CONTENT)
    url = redirecting(server, f"http://localhost:{port}/real")
    assert at(url, store, redirect_hosts=(allowed,)).fetch().digest == digest_of("a.json")


def test_a_circle_ends(server: Server, store: Store) -> None:
    error = complaint(redirecting(server, "/a.json"), store)
    assert error.message.endswith("redirects more than 10 times")


@pytest.mark.parametrize("location", ["http://host:port/", "http://[::1/"])
def test_a_redirect_to_no_url_is_said(server: Server, store: Store, location: str) -> None:
    error = complaint(redirecting(server, location), store)
    assert error.message.endswith("redirects to something that is no URL")


def test_a_public_name_does_not_turn_into_one_of_the_machine() -> None:
    client = WebClient("https://a.example/x", "https://a.example/x", "", WebLimits())
    assert client.select_addresses("a.example", ["127.0.0.1", "8.8.8.8"]) == ["8.8.8.8"]
    with pytest.raises(SourceError, match="which is inside a network: "):
        client.select_addresses("a.example", ["127.0.0.1"])


def test_a_server_inside_a_network_may_be_named() -> None:
    client = WebClient("http://data.internal/x", "http://data.internal/x", "", WebLimits())
    assert client.select_addresses("data.internal", ["10.0.0.1"]) == ["10.0.0.1"]
    with pytest.raises(SourceError, match="leads to other"):
        client.select_addresses("other.internal", ["10.0.0.2"])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("8.8.8.8", True), ("2606:4700::1", True), ("::ffff:8.8.8.8", True)),
        *(("127.0.0.1", False), ("::1", False), ("fe80::1%eth0", False), ("fec0::1", False)),
        *(("::7f00:1", False), ("::ffff:0:7f00:1", False), ("64:ff9b:1::808:808", False)),
        *(("2002:7f00:1::", False), ("64:ff9b::a00:1", False), ("255.255.255.255", False)),
    ],
)
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_nothing_is_kept_of_what_was_refused(server: Server, store: Store) -> None:
    complaint(redirecting(server, "http://localhost:1/x"), store)
    assert not list(Path(store.url).rglob("a.json"))
