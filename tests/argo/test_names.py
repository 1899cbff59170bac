"""Names for Kubernetes: valid, stable, and never two of one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.argo.names import LONGEST_LABEL, distinct_names, kubernetes_name, label_value

DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("item2vec/train", "item2vec-train"),
        ("Item_2.Vec", "item-2-vec"),
        ("--x--", "x"),
        ("_", "x"),
    ],
)
def test_a_name_stays_readable(text: str, name: str) -> None:
    assert kubernetes_name(text, 63) == name


@given(st.text(min_size=1), st.integers(12, 63))
def test_any_text_becomes_a_name(text: str, longest: int) -> None:
    name = kubernetes_name(text, longest)
    assert DNS.fullmatch(name)
    assert len(name) <= longest


@given(
    st.lists(
        st.sampled_from(["a", "A", "a_b", "a-b", "a.b", "record", "x" * 70, "X" * 70]), unique=True
    ),
    st.integers(12, 63),
)
def test_distinct_texts_get_distinct_names_whatever_their_order(
    texts: list[str], longest: int
) -> None:
    names = distinct_names(texts, longest, ["record"])
    assert len({*names.values(), "record"}) == len(texts) + 1
    assert all(DNS.fullmatch(name) and len(name) <= longest for name in names.values())
    assert distinct_names(reversed(texts), longest, ["record"]) == names


def test_a_name_that_is_one_already_is_kept() -> None:
    names = distinct_names(["a_b", "a-b"], 63)
    assert names["a-b"] == "a-b"
    assert re.fullmatch("a-b-[0-9a-f]{8}", names["a_b"])


@given(st.text())
def test_any_text_becomes_a_label(text: str) -> None:
    value = label_value(text)
    assert LABEL.fullmatch(value)
    assert len(value) <= LONGEST_LABEL


def test_a_label_stays_readable() -> None:
    assert label_value("item2vec/train") == "item2vec.train"
