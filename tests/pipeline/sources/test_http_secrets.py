"""No secret of a source's URL goes anywhere but to the server that it is for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daintree.store.store import Store
from tests.pipeline.sources.served import CONTENT, ETAG, SHA256, at, complaint, digest_of

if TYPE_CHECKING:
    from tests.web_server import Server


def everything_in(directory: Path) -> str:
    """All names and all bytes below a directory."""
    paths = sorted(directory.rglob("*"))
    words = [str(path.relative_to(directory)) for path in paths]
    words += [path.read_bytes().decode("latin-1") for path in paths if path.is_file()]
    return "\n".join(words)


def test_a_redirection_is_followed_and_the_name_is_that_which_was_written(
    server: Server, store: Store
) -> None:
    server.serve("/real/other", CONTENT, headers=ETAG)
    url = server.serve(
        "/a.json", status=302, headers={"Location": "/real/other?X-Signature=hidden"}
    )
    fetched = at(url, store).fetch()
    assert (fetched.digest, fetched.origin) == (digest_of("a.json"), url)
    assert "hidden" not in everything_in(Path(store.url))


def test_no_secret_of_the_url_is_kept_or_said(server: Server, store: Store, tmp_path: Path) -> None:
    server.serve("/a.json", CONTENT, headers=ETAG)
    bare = f"http://{server.address}/a.json"
    url = f"http://user:p%40ss@{server.address}/a.json?X-Signature=hidden#fragment"
    source = at(url, store)
    identity = source.fetch()
    (tmp_path / "input").mkdir()
    source.files(tmp_path / "input")
    assert identity.origin == bare
    assert [path for _, path, _ in server.received] == ["/a.json?X-Signature=hidden"]
    authorizations = {authorization for _, _, authorization in server.received}
    assert authorizations == {"Basic " + base64.b64encode(b"user:p@ss").decode()}
    traces = repr(identity) + everything_in(Path(store.url))
    for secret in ("user:", "p%40ss", "p@ss", "hidden", "fragment"):
        assert secret not in traces
    assert at(bare, store, SHA256).fetch().digest == identity.digest


def test_the_query_is_in_no_key_so_only_the_content_identifies(
    server: Server, store: Store
) -> None:
    server.serve("/a.json", CONTENT, headers=ETAG)
    one = at(f"http://{server.address}/a.json?signature=1", store)
    other = at(f"http://{server.address}/a.json?signature=2", store)
    assert one.identify().digest is None
    assert one.fetch() == other.fetch()
    assert one.fetch().identity == digest_of("a.json")
    assert set(server.requests()) == {"GET /a.json?signature=1", "GET /a.json?signature=2"}


def test_credentials_are_in_no_key(server: Server, store: Store) -> None:
    server.serve("/a.json", CONTENT, headers=ETAG)
    one = at(f"http://me:one@{server.address}/a.json", store).fetch()
    assert at(f"http://you:two@{server.address}/a.json", store).fetch() == one
    assert at(f"http://{server.address}/a.json", store).fetch() == one


def test_credentials_do_not_follow_a_redirection(server: Server, store: Store) -> None:
    server.serve("/real", CONTENT)
    server.serve("/a.json", status=302, headers={"Location": "/real"})
    at(f"http://me:secret@{server.address}/a.json", store).fetch()
    requests = {(path, bool(authorization)) for _, path, authorization in server.received}
    assert requests == {("/a.json", True), ("/real", False)}


@pytest.mark.parametrize(
    ("location", "answer"),
    [
        ("/a.json", {"status": 404}),
        ("/a.json", {"status": 302, "headers": {"Location": "gopher://x/?token=hidden"}}),
        ("/a.json", {"status": 302, "headers": {"Location": "/a.json?token=hidden"}}),
        ("/a.json", {"content": b"x", "length": 9}),
        ("/a.json", {"content": b"x", "headers": {"Transfer-Encoding": "chunked"}}),
        ("/a\tb.json", {}),
    ],
)
def test_no_secret_of_the_url_is_in_an_error(
    server: Server, store: Store, location: str, answer: dict[str, Any]
) -> None:
    server.serve(location, **answer)
    error = complaint(f"http://user:passw0rd@{server.address}{location}?token=hidden", store)
    for secret in ("user", "passw0rd", "token", "hidden"):
        assert secret not in error.message + error.hint


@pytest.mark.parametrize(
    "url",
    [
        "http:///a.json?token=hidden",
        "http://user:passw0rd@/a.json",
        "http://user:passw0rd@host:port/a.json",
        "http://user:passw0rd@host:99999/a.json",
        "http://user:passw0rd@[::1/a.json",
        "https://user:passw0rd@ex ample.invalid\n/a.json?token=hidden",
        "ftp://user:passw0rd@host/a.json",
        "s3://key:passw0rd@bucket/a.json?token=hidden",
    ],
)
def test_a_url_that_cannot_be_used_is_one_error_without_its_secrets(store: Store, url: str) -> None:
    error = complaint(url, store)
    assert error.message
    for secret in ("user", "passw0rd", "hidden"):
        assert secret not in error.message + error.hint
