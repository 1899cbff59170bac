"""Digests are pinned: a changed value here would lose every run that anybody has stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.digest import digest_file, digest_files, digest_record, short

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def test_a_record_has_the_digest_it_always_had() -> None:
    digest = digest_record("artifact", 1, [["a.csv", 3, "00"]])
    assert digest == "sha256:938daae7038cf61771bded2a30b71ea9bb9b0a0c95287115316a73b6732c1833"


def test_mappings_are_unordered() -> None:
    assert digest_record("x", 1, {"a": 1, "b": 2}) == digest_record("x", 1, {"b": 2, "a": 1})


@pytest.mark.parametrize("other", [1.0, "1", True, [1], {"1": 1}, None])
def test_values_of_different_types_differ(other: object) -> None:
    assert digest_record("x", 1, 1) != digest_record("x", 1, other)  # type: ignore[arg-type]


@given(PLAIN)
def test_domains_and_format_versions_differ(record: object) -> None:
    one = digest_record("x", 1, record)  # type: ignore[arg-type]
    assert one != digest_record("y", 1, record)  # type: ignore[arg-type]
    assert one != digest_record("x", 2, record)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_record("x", 1, value)


def test_files_are_hashed_in_order(tmp_path: Path) -> None:
    paths = []
    for name in ("b", "a", "c"):
        path = tmp_path / name
        path.write_text(name)
        paths.append(path)
    assert digest_files(paths) == [digest_file(path) for path in paths]
    assert (
        digest_file(paths[1]) == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    )


def test_short_drops_the_algorithm() -> None:
    assert short("sha256:" + "ab" * 32, 4) == "abab"
