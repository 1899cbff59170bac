"""A manifest's text is read back as it was, by every reader, and is the same each time."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daintree.commands.argo import is_sure, manifest_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    TEXT | st.integers(-(2**53), 2**53) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES))
def test_what_is_written_is_what_is_read(document: dict[str, Any]) -> None:
    text = manifest_text([document])
    assert yaml.safe_load(text) == document
    assert manifest_text([document]) == text


@pytest.mark.parametrize(
    "text",
    [
        "y",
        "N",
        "no",
        "On",
        "true",
        "null",
        "~",
        "1",
        "0o7",
        "1_000",
        "1:30",
        "2026-03-01",
        "",
        "1e3",
        ".5",
        "-",
        "=",
        "a b:",
    ],
)
def test_what_some_reader_takes_for_more_is_quoted(text: str) -> None:
    assert not is_sure(text)
    assert re.search(r'^a: "', manifest_text([{"a": text}]))


@pytest.mark.parametrize("text", ["item2vec/train", "python", "10s", "--input", "linux/amd64"])
def test_plain_text_stands_as_it_is_or_quoted(text: str) -> None:
    assert yaml.safe_load(manifest_text([{"a": text}])) == {"a": text}


def test_documents_are_told_apart() -> None:
    assert [*yaml.safe_load_all(manifest_text([{"a": 1}, {"b": 2}]))] == [{"a": 1}, {"b": 2}]


def test_a_comment_cannot_leave_its_line() -> None:
    text = manifest_text([{"a": 1}], ["plan of x", "", "b\nkind: Secret\u2028c"])
    assert text == "# plan of x\n#\n# b\\nkind: Secret\\u2028c\na: 1\n"


def test_several_lines_are_a_block() -> None:
    assert manifest_text([{"a": "one\ntwo\n"}]) == "a: |\n  one\n  two\n"
