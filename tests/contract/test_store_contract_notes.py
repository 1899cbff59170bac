"""What every store guarantees of its notes."""

from __future__ import annotations

import pytest

from daintree.errors import StoreError
from daintree.store.store import Store


class TestNotes:
    def test_an_unknown_note_is_none(self, store: Store) -> None:
        assert store.read_note("url/unknown") is None

    @pytest.mark.parametrize("content", [b"", b"\0\xff\n", b"x" * 100_000])
    @pytest.mark.parametrize("name", ["a", "url/0123.json", "a.b-c_d/e/f"])
    def test_a_note_comes_back_as_it_was(
        self, store: Store, other: Store, name: str, content: bytes
    ) -> None:
        store.write_note(name, content)
        assert store.read_note(name) == other.read_note(name) == content

    def test_the_last_writer_wins(self, store: Store, other: Store) -> None:
        for writer, content in ((store, b"long ago"), (other, b"then"), (store, b"now")):
            writer.write_note("a", content)
        assert other.read_note("a") == b"now"

    @pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "..", "../x", "A", "a b", "ä", "a\n"])
    def test_what_is_no_safe_path_names_no_note(self, store: Store, name: str) -> None:
        with pytest.raises(StoreError, match="cannot name a note"):
            store.write_note(name, b"x")
        with pytest.raises(StoreError, match="cannot name a note"):
            store.read_note(name)
