"""A source behind a URL: what it is known by, when it is fetched, and that no secret of the URL goes anywhere."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tooling.errors import SourceError
from tooling.manifest import FileEntry, artifact_of
from tooling.source import open_source
from tooling.source.protocol import Source
from tooling.store.protocol import Store

if TYPE_CHECKING:
    from tests.web_server import Server

CONTENT = b'{"a": 1}\n'
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = {"ETag": '"one"'}
MODIFIED = {"Last-Modified": "Wed, 23 Jul 2014 10:00:00 GMT"}


def at(url: str, store: Store, sha256: str = "") -> Source:
    """A fresh source, as every run opens one."""
    return open_source(url, sha256, Path("/nowhere"), store)


def digest_of(name: str, content: bytes = CONTENT) -> str:
    return artifact_of([FileEntry(name, len(content), hashlib.sha256(content).hexdigest())]).digest


def complaint(url: str, store: Store, sha256: str = "") -> SourceError:
    with pytest.raises(SourceError) as failure:
        at(url, store, sha256).fetch()
    return failure.value


def everything_in(directory: Path) -> str:
    """All names and all bytes below a directory."""
    paths = sorted(directory.rglob("*"))
    words = [str(path.relative_to(directory)) for path in paths]
    words += [path.read_bytes().decode("latin-1") for path in paths if path.is_file()]
    return "\n".join(words)


def test_a_file_is_fetched_once_and_known_by_its_strong_etag(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG)
    before = at(url, store).identify()
    assert (before.digest, before.origin) == (None, url)
    assert at(url, store).fetch().digest == digest_of("a.json")
    assert server.requests() == ["HEAD /a.json", "HEAD /a.json", "GET /a.json"]
    after = at(url, store).fetch()
    assert (after.identity, after.digest) == (before.identity, digest_of("a.json"))
    assert server.requests() == ["HEAD /a.json"]


def test_another_etag_is_another_source(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG)
    one = at(url, store).fetch()
    server.serve("/a.json", b"new", headers={"ETag": '"two"'})
    assert at(url, store).identify().digest is None
    other = at(url, store).fetch()
    assert other.identity != one.identity
    assert other.digest == digest_of("a.json", b"new")


def test_without_a_strong_etag_the_time_and_the_length_count(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers={**MODIFIED, "ETag": 'W/"weak"'})
    one = at(url, store).fetch()
    server.requests()
    server.serve("/a.json", CONTENT, headers={**MODIFIED, "ETag": 'W/"other"'})
    assert at(url, store).fetch() == one
    assert server.requests() == ["HEAD /a.json"]
    server.serve("/a.json", CONTENT + b"\n", headers=MODIFIED)
    assert at(url, store).identify().digest is None
    server.serve("/a.json", CONTENT, headers={"Last-Modified": "Wed, 23 Jul 2014 10:00:01 GMT"})
    assert at(url, store).identify().digest is None


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_validators_it_is_always_fetched_and_known_by_its_content(
    server: Server, store: Store, headers: dict[str, str]
) -> None:
    url = server.serve("/a.json", CONTENT, headers=headers)
    assert at(url, store).identify().digest is None
    one = at(url, store).fetch()
    assert one.identity == one.digest == digest_of("a.json")
    server.requests()
    assert at(url, store).fetch() == one
    assert server.requests() == ["HEAD /a.json", "GET /a.json"]
    server.serve("/a.json", b"new", headers=headers)
    assert at(url, store).fetch().digest == digest_of("a.json", b"new")


def test_a_declared_sha256_is_identity_enough_to_ask_nobody(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT)
    one = at(url, store, SHA256).fetch()
    assert one.digest == digest_of("a.json")
    assert server.requests() == ["GET /a.json"]
    server.serve("/a.json", b"gone", status=404)
    assert at(url, store, SHA256).fetch() == one
    assert at("http://elsewhere.invalid/a.json", store, SHA256).fetch().digest == one.digest
    assert server.requests() == []


def test_a_file_that_is_not_the_declared_one_is_refused(server: Server, store: Store) -> None:
    url = server.serve("/a.json", b"other")
    error = complaint(url, store, SHA256)
    received = hashlib.sha256(b"other").hexdigest()
    assert error.message == f"the source {url} is not the file that the pipeline declares"
    assert error.hint == f"declared sha256 {SHA256}, received {received}"
    assert store.source_path(digest_of("a.json", b"other")) is None


def test_validators_are_those_of_the_response_that_was_kept(server: Server, store: Store) -> None:
    """The file changes between the question for its validators and the download."""
    url = server.serve("/a.json", CONTENT, headers=ETAG)
    source = at(url, store)
    before = source.identify()
    server.serve("/a.json", b"new", headers={"ETag": '"two"'})
    after = source.fetch()
    assert after.identity != before.identity
    assert after.digest == digest_of("a.json", b"new")
    server.serve("/a.json", CONTENT, headers=ETAG)
    assert at(url, store).identify() == before


def test_a_stage_gets_a_link_to_the_copy(server: Server, store: Store, tmp_path: Path) -> None:
    url = server.serve("/dir/a%20b%3F.json.gz", CONTENT, headers=ETAG)
    source = at(url, store)
    source.fetch()
    server.requests()
    (tmp_path / "input").mkdir()
    places = source.files(tmp_path / "input")
    (link,) = (tmp_path / "input").iterdir()
    assert places == {link.name: link.readlink()}
    assert link.name == "a b?.json.gz"
    assert link.is_symlink()
    assert link.read_bytes() == CONTENT
    assert source.unchanged()
    assert server.requests() == []


def test_a_copy_that_is_gone_is_fetched_again(server: Server, store: Store, tmp_path: Path) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG)
    at(url, store).fetch()
    shutil.rmtree(Path(store.url) / "_sources")
    source = at(url, store)
    source.identify()
    (tmp_path / "input").mkdir()
    source.files(tmp_path / "input")
    assert (tmp_path / "input/a.json").read_bytes() == CONTENT


def test_what_was_planned_for_one_file_is_never_computed_from_another(
    server: Server, store: Store, tmp_path: Path
) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG)
    at(url, store).fetch()
    shutil.rmtree(Path(store.url) / "_sources")
    source = at(url, store)
    planned = source.identify()
    server.serve("/a.json", b"new", headers={"ETag": '"two"'})
    for attempt in ("one", "two"):
        (tmp_path / attempt).mkdir()
        with pytest.raises(SourceError) as failure:
            source.files(tmp_path / attempt)
        assert failure.value.message == f"the source {url} changed meanwhile"
        assert failure.value.hint == "run again"
        assert list((tmp_path / attempt).iterdir()) == []
    assert source.identify() == planned


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "source"),
        ("", "source"),
        ("/a/b/", "source"),
        ("/a%2Fb", "source"),
        ("/..%2f..%2fpasswd", "source"),
        ("/%2e%2e", "source"),
        ("/a%00b", "source"),
        ("/x%23" + "1", "source"),
        ("/gr%C3%B6%C3%9Fe.json", "größe.json"),
        ("/a+b;c=1.json", "a+b;c=1.json"),
    ],
)
def test_a_file_has_the_last_name_of_the_path_where_that_is_one(
    server: Server, store: Store, path: str, name: str
) -> None:
    server.serve(path or "/", CONTENT)
    url = f"http://{server.address}{path}"
    digest = at(url, store).fetch().digest
    assert digest == digest_of(name)
    kept = store.source_path(digest)
    assert kept is not None
    assert [file.name for file in kept.iterdir()] == [name]


def test_a_url_may_be_written_with_spaces_and_letters(server: Server, store: Store) -> None:
    server.serve("/two%20words/gr%C3%B6%C3%9Fe.json", CONTENT)
    url = f"http://{server.address}/two words/größe.json"
    assert at(url, store).fetch().digest == digest_of("größe.json")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "404 Not Found"),
        (403, "403 Forbidden"),
        (500, "500 Internal Server Error"),
        (499, "499"),
    ],
)
def test_a_refusal_is_said_with_its_status(
    server: Server, store: Store, status: int, words: str
) -> None:
    url = server.serve("/a.json", status=status)
    error = complaint(url, store)
    assert error.message == f"the source {url} cannot be read: the server answers {words}"


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_serves_get_alone_is_asked_with_it(
    server: Server, store: Store, status: int
) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG, head_status=status)
    assert at(url, store).fetch().digest == digest_of("a.json")


def test_a_server_that_is_not_there_is_said(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.json"
        error = complaint(url, store)
    assert error.message.startswith(f"the source {url} cannot be reached: ")
    assert "refused" in error.message


def test_a_download_that_breaks_off_is_not_kept(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers=ETAG, length=len(CONTENT) + 5)
    error = complaint(url, store)
    assert error.message == f"the source {url} broke off after 9 of 14 bytes"
    assert error.hint == "run again"
    assert store.source_path(digest_of("a.json")) is None
    assert at(url, store).identify().digest is None


def test_a_chunked_download_that_breaks_off_is_not_kept(server: Server, store: Store) -> None:
    headers = {"Transfer-Encoding": "chunked", "ETag": '"one"'}
    url = server.serve("/a.json", b"5\r\nabcde\r\n9\r\nabc", headers=headers, length=-1)
    error = complaint(url, store)
    assert error.message.startswith(f"the source {url} broke off after ")
    assert store.usage()[0] == 0
    assert at(url, store).identify().digest is None


def test_a_length_that_is_no_number_is_passed_over(server: Server, store: Store) -> None:
    url = server.serve("/a.json", CONTENT, headers={"Content-Length": "many"})
    assert at(url, store).fetch().digest == digest_of("a.json")


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
    assert [path for _, path, _ in server.asked] == ["/a.json?X-Signature=hidden"]
    authorizations = {authorization for _, _, authorization in server.asked}
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
    asked = {(path, bool(authorization)) for _, path, authorization in server.asked}
    assert asked == {("/a.json", True), ("/real", False)}


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


def test_an_address_of_version_6_keeps_its_brackets(store: Store) -> None:
    source = at("http://me@[::1]:8080/a.json", store, SHA256)
    assert source.identify().origin == "http://[::1]:8080/a.json"


def test_other_kinds_are_refused_with_what_there_is(store: Store) -> None:
    error = complaint("ftp://host/key", store)
    assert error.message == "a source of the kind ftp:// cannot be read"
    assert error.hint == (
        "use a path, http://, https:// or s3://; or copy the objects to a directory first"
    )
