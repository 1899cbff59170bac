"""Names that every store takes, and names that none does."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import ArtifactRejected, StoreError
from daintree.store.layout import (
    check_identifier,
    check_location,
    check_names,
    hexadecimal,
    note_path,
)

REFUSED = [
    ("", "empty, `.` or `..` segment"),
    (".", "empty, `.` or `..` segment"),
    ("a/..", "empty, `.` or `..` segment"),
    ("/a", "empty, `.` or `..` segment"),
    ("a/", "empty, `.` or `..` segment"),
    ("a//b", "empty, `.` or `..` segment"),
    ("a\nb", "control character"),
    ("a\x00b", "control character"),
    ("a\x7f", "control character"),
    ("a\x85", "control character"),
    ("part#0", "ends in # and digits"),
    ("sub#12/file", "ends in # and digits"),
    ("\udcff", "is not valid UTF-8"),
    ("x" * 256, "more than 255 bytes"),
    ("ü" * 128, "more than 255 bytes"),
]
TAKEN = ["a", ".a", "..a", "...", "a b", " ", "#1a", "a#", "a#b", "1#x2", "x" * 255, "%2e%2e", "\\"]

letters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/#")
segments = st.text(letters, min_size=1, max_size=20).filter(lambda name: name not in (".", ".."))


@pytest.mark.parametrize(("path", "message"), REFUSED)
def test_what_some_store_would_refuse_is_refused(path: str, message: str) -> None:
    with pytest.raises(ArtifactRejected, match=message) as raised:
        check_names(["good", path])
    assert repr(path) in raised.value.message
    assert raised.value.hint == "give the file another name"
    with pytest.raises(StoreError, match=message) as refused:
        check_location(path)
    assert refused.value.hint == "look at the prefix setting"


@pytest.mark.parametrize("path", TAKEN)
def test_odd_names_are_taken(path: str) -> None:
    check_names([path, f"sub/{path}"])
    assert check_location(path) == path


@pytest.mark.parametrize("paths", [["a", "a/b"], ["a/b/c", "a/b", "d"]])
def test_a_file_that_is_a_directory_too_is_refused(paths: list[str]) -> None:
    with pytest.raises(ArtifactRejected, match="is a directory's too") as raised:
        check_names(paths)
    assert raised.value.hint == "give one of them another name: only a bucket can hold both"


@given(segments, segments)
def test_letters_of_every_alphabet_are_taken(one: str, two: str) -> None:
    check_names([f"{one}/{two}"])
    check_names([f"1/{one}", f"2/{one}"])


@pytest.mark.parametrize(
    ("one", "two", "named"),
    [
        ("a.csv", "A.csv", ("a.csv", "A.csv")),
        ("é", "e\u0301", ("é", "e\u0301")),
        ("straße", "STRASSE", ("straße", "STRASSE")),
        ("Å", "\u212b", ("Å", "\u212b")),
        ("A/one", "a/two", ("A", "a")),
        ("x/A/one", "x/a", ("x/A", "x/a")),
    ],
)
def test_names_equal_but_for_case_or_form_are_refused(
    one: str, two: str, named: tuple[str, str]
) -> None:
    with pytest.raises(ArtifactRejected, match="equal but for case or Unicode form") as raised:
        check_names([one, two])
    assert all(repr(name) in raised.value.message for name in named)


@given(segments)
def test_no_name_stands_beside_another_form_of_itself(name: str) -> None:
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    for other in {name.casefold(), *forms} - {name}:
        with pytest.raises(ArtifactRejected):
            check_names([name, other])


def test_many_files_may_share_their_directories() -> None:
    names = [f"a/B/{number}" for number in range(100)]
    check_names(names)
    with pytest.raises(ArtifactRejected):
        check_names([*names, "a/b/100"])


@pytest.mark.parametrize("location", ["_cache", "_cache/x", "_x"])
def test_no_location_is_among_the_stores_own_directories(location: str) -> None:
    with pytest.raises(StoreError, match="begins with _"):
        check_location(location)
    assert check_location(f"a/{location}") == f"a/{location}"


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "ä", "x" * 256])
def test_an_identifier_is_a_safe_segment(name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a stage in the store"):
        check_identifier("stage", name)


@pytest.mark.parametrize("name", ["a", "item2vec", "20260301T101500000Z-0a", "a.b_c-d", "x" * 255])
def test_identifiers_of_pipelines_stages_and_runs_are_taken(name: str) -> None:
    assert check_identifier("run", name) == name


@pytest.mark.parametrize("name", ["a", "url/0123", "a.b-c_d", "...", "_cache/x"])
def test_notes_may_lie_in_directories(name: str) -> None:
    assert note_path(name) == f"_notes/{name}"


@pytest.mark.parametrize("name", ["", "/", "a/", "../a", "a/../b", "A", "a#1", "a b", "a\n"])
def test_a_note_is_a_safe_path(name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a note in the store"):
        note_path(name)


@pytest.mark.parametrize(
    "digest",
    ["", "a" * 64, "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:" + "a" * 64 + "\n"],
)
def test_only_a_digest_has_hex_digits(digest: str) -> None:
    with pytest.raises(StoreError, match="is no digest"):
        hexadecimal(digest)
    assert hexadecimal("sha256:" + "a" * 64) == "a" * 64
