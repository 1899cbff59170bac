"""Documents are parsed once: what is remembered is the same, and whatever is wrong with the memory harms nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import SpecError
from daintree.spec.yaml import parse_document, remember_documents

YAML = b"source: data.csv\nstages:\n  - a/b\n  - {component: c/d, params: {rate: 1e-3, big: 9223372036854775807}}\n"
SCALARS = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text("aé:#-' ")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner)
)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """The directory documents are remembered in during the test."""
    directory = tmp_path / "memory"
    remember_documents(directory)
    yield directory
    remember_documents(None)


def test_what_is_remembered_is_what_was_parsed(memory: Path) -> None:
    parsed = parse_document(YAML, "pipelines/x.yaml")
    assert len(list(memory.iterdir())) == 1

    assert parse_document(YAML, "pipelines/x.yaml") == parsed
    assert parsed.place(("stages", 1, "params", "rate")) == "pipelines/x.yaml:4"


def test_it_is_read_from_the_memory_and_named_as_it_is_asked_for(memory: Path) -> None:
    parse_document(YAML, "pipelines/x.yaml")
    next(memory.iterdir()).write_bytes(b"\x92\xa5other\x90")

    recalled = parse_document(YAML, "pipelines/y.yaml")

    assert (recalled.value, recalled.where) == ("other", "pipelines/y.yaml")


@given(content=VALUES)
def test_any_json_is_remembered_as_it_is(
    content: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import json

    text = json.dumps(content).encode()
    remember_documents(tmp_path_factory.mktemp("memory"))
    try:
        assert parse_document(text, "a.json") == parse_document(text, "a.json")
        assert parse_document(text, "a.json").value == content
    finally:
        remember_documents(None)


def test_the_same_bytes_as_json_and_as_yaml_are_two_documents(memory: Path) -> None:
    text = b"[1, .5]"
    assert parse_document(text, "a.yaml").value == [1, 0.5]
    with pytest.raises(SpecError, match="not JSON"):
        parse_document(text, "a.json")


@pytest.mark.parametrize("left", [b"", b"\xc1", b"\x92\xa5other", b"[]"])
def test_a_broken_memory_is_parsed_anew_and_mended(memory: Path, left: bytes) -> None:
    parsed = parse_document(YAML, "x.yaml")
    kept = next(memory.iterdir())
    whole = kept.read_bytes()
    kept.write_bytes(left)

    assert parse_document(YAML, "x.yaml") == parsed
    assert kept.read_bytes() == whole


def test_an_error_is_not_remembered(memory: Path) -> None:
    for _ in range(2):
        with pytest.raises(SpecError, match=r"x\.yaml:1: not YAML"):
            parse_document(b"a: [", "x.yaml")
    assert not memory.exists()


def test_where_nothing_can_be_written_it_is_parsed_each_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no directory")
    remember_documents(file / "memory")
    try:
        assert parse_document(b"a: 1", "x.yaml").value == {"a": 1}
        assert parse_document(b"a: 1", "x.yaml").value == {"a": 1}
    finally:
        remember_documents(None)
