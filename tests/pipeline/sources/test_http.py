"""A source behind a URL: what it is known by, and when it is fetched."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import SourceError
from daintree.store.store import Store
from tests.pipeline.sources.served import CONTENT, ETAG, SHA256, at, complaint, digest_of

if TYPE_CHECKING:
    from tests.web_server import Server

MODIFIED = {"Last-Modified": "Wed, 23 Jul 2014 10:00:00 GMT"}


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
    directory = store.source_path(digest)
    assert directory is not None
    assert [file.name for file in directory.iterdir()] == [name]


def test_a_url_may_be_written_with_spaces_and_letters(server: Server, store: Store) -> None:
    server.serve("/two%20words/gr%C3%B6%C3%9Fe.json", CONTENT)
    url = f"http://{server.address}/two words/größe.json"
    assert at(url, store).fetch().digest == digest_of("größe.json")


def test_an_address_of_version_6_keeps_its_brackets(store: Store) -> None:
    source = at("http://me@[::1]:8080/a.json", store, SHA256)
    assert source.identify().origin == "http://[::1]:8080/a.json"
