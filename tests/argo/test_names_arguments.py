"""What a component gets is what was meant, whatever Argo and the kubelet replace on the way."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.argo.names import (
    BRACE_VARIABLES,
    escape,
    flag,
    is_plain,
    needs_brace,
    passed_arguments,
)
from daintree.errors import UsageError
from tests.services.argo_expansion import container_words, kubelet

STRANGE = [
    "",
    "{{x}}",
    "{{workflow.name}}",
    "{{{{",
    "{{=1+1}}",
    "{'a': {'b': {}}}",
    "$(HOME)",
    "$$",
    "$$(HOME)",
    "$",
    "a$",
    "$(BRACE)",
    "'; touch /tmp/x; #",
    '"quoted"',
    "line\nline",
    "größe \u200b \U000e0001",
    "\x01\x07",
]
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(["{", "}", "$", "(", ")", "BRACE", "HOME", "\\", '"'])
).map("".join)


@pytest.mark.parametrize("text", STRANGE)
def test_what_is_escaped_comes_out_as_it_was(text: str) -> None:
    assert kubelet(escape(text), {**BRACE_VARIABLES, "HOME": "/root"}) == text


@given(TEXT)
def test_any_text_comes_out_as_it_was(text: str) -> None:
    assert "{{" not in escape(text)
    assert kubelet(escape(text), {**BRACE_VARIABLES, "HOME": "/root"}) == text


@given(TEXT)
def test_the_brace_is_asked_for_where_it_is_used(text: str) -> None:
    assert needs_brace((escape(text),)) == ("{{" in text)


@given(st.from_regex(r"[ -~]{1,40}", fullmatch=True) | TEXT)
def test_a_plain_value_is_touched_by_neither(text: str) -> None:
    if is_plain(text):
        assert escape(text) == text
        assert json.loads('"' + text + '"') == text
        assert re.search(r"[{}$\\\"'\x00-\x1f]", text) is None
        assert text == text.strip() != ""


@pytest.mark.parametrize("value", [3, 0.5, -1, True, "most", "a b", "s3://bucket/x", "2026-03-01"])
def test_usual_values_are_plain(value: object) -> None:
    assert is_plain(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [*STRANGE, " a", "a ", "x" * 201])
def test_others_are_not(value: str) -> None:
    assert not is_plain(value)


def test_a_flag_is_joined_to_its_value() -> None:
    assert flag("min_count", "-1") == "--min-count=-1"


@given(TEXT, st.integers(131_000, 131_200))
def test_arguments_come_out_as_they_were_or_are_refused(text: str, length: int) -> None:
    words = (f"--text={text}", f"--long={'x' * length}")
    container = {"command": ["python"], "args": [escape(word) for word in words]}
    try:
        passed = passed_arguments("load", words)
    except UsageError as error:
        assert "stage 'load'" in error.message
        assert len("".join(words).encode()) > 131_000
        return
    assert container_words(container, BRACE_VARIABLES) == ["python", *passed]


@pytest.mark.parametrize("character", ["$", "<", "&", "\u2028", "é", "{{"])
def test_what_becomes_long_in_a_manifest_counts_as_that(character: str) -> None:
    assert passed_arguments("load", (character * 5_000,))
    with pytest.raises(UsageError, match="and Argo passes at most 131072 as they are"):
        passed_arguments("load", (character * 70_000,))
