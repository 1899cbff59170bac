"""The cache of parsed documents: the same document, and nothing wrong with the cache does harm."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import SpecError
from daintree.spec.document import cache_documents, parse_document

YAML = b"source: data.csv\nstages:\n  - a/b\n  - {component: c/d, params: {rate: 1e-3, big: 9223372036854775807}}\n"
SCALARS = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text("aé:#-' ")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner)
)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """The directory of cached documents during the test."""
    directory = tmp_path / "cache"
    cache_documents(directory)
    yield directory
    cache_documents(None)


def test_a_cached_document_is_the_one_that_was_parsed(cache: Path) -> None:
    parsed = parse_document(YAML, "pipelines/x.yaml")
    assert len(list(cache.iterdir())) == 1

    assert parse_document(YAML, "pipelines/x.yaml") == parsed
    assert parsed.place(("stages", 1, "params", "rate")) == "pipelines/x.yaml:4"


def test_a_document_is_read_from_the_cache_under_the_name_of_its_file(cache: Path) -> None:
    parse_document(YAML, "pipelines/x.yaml")
    other = b"\x92\xa5other\x80"
    next(cache.iterdir()).write_bytes(sha256(other).digest() + other)

    recalled = parse_document(YAML, "pipelines/y.yaml")

    assert (recalled.value, recalled.where) == ("other", "pipelines/y.yaml")


@given(content=VALUES)
def test_any_json_is_cached_as_it_is(
    content: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import json

    text = json.dumps(content).encode()
    cache_documents(tmp_path_factory.mktemp("cache"))
    try:
        assert parse_document(text, "a.json") == parse_document(text, "a.json")
        assert parse_document(text, "a.json").value == content
    finally:
        cache_documents(None)


def test_the_same_bytes_as_json_and_as_yaml_are_two_documents(cache: Path) -> None:
    text = b"[1, .5]"
    assert parse_document(text, "a.yaml").value == [1, 0.5]
    with pytest.raises(SpecError, match="not JSON"):
        parse_document(text, "a.json")


@pytest.mark.parametrize("left", [b"", b"\xc1", b"\x92\xa5other\x90", b"[]"])
def test_a_broken_cache_is_parsed_anew_and_mended(cache: Path, left: bytes) -> None:
    parsed = parse_document(YAML, "x.yaml")
    file = next(cache.iterdir())
    whole = file.read_bytes()
    file.write_bytes(left)

    assert parse_document(YAML, "x.yaml") == parsed
    assert file.read_bytes() == whole


def test_an_error_is_not_cached(cache: Path) -> None:
    for _ in range(2):
        with pytest.raises(SpecError, match=r"x\.yaml:1: not YAML"):
            parse_document(b"a: [", "x.yaml")
    assert not cache.exists()


def test_where_nothing_can_be_written_it_is_parsed_each_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no directory")
    cache_documents(file / "cache")
    try:
        assert parse_document(b"a: 1", "x.yaml").value == {"a": 1}
        assert parse_document(b"a: 1", "x.yaml").value == {"a": 1}
    finally:
        cache_documents(None)
