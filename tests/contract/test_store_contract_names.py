"""What every store guarantees of names: moved as a whole, never by two unnoticed, read by everybody."""

from __future__ import annotations

import threading

import pytest

from daintree.commands.name import moved
from daintree.errors import StoreError
from daintree.store.contents import orphans
from daintree.store.layout import name_path
from daintree.store.records import NameRecord, named_run_of
from daintree.store.store import Store
from tests.contract.runs import OTHER_RUN, RUN, publish
from tests.contract.stores import Place

WHEN = "2026-03-01T10:15:00Z"


def name_of(store: Store, run: str = RUN, name: str = "production", by: str = "ana") -> NameRecord:
    """The record of a name that leads to a new run; not written yet."""
    empty = NameRecord(pipeline="words", name=name)
    runs = {"train": named_run_of(publish(store, run))}
    return moved(empty, runs, when=WHEN, by=by, note="first")


class TestNames:
    def test_there_is_none_at_first(self, store: Store) -> None:
        assert store.records.read_name("words", "production") is None
        assert list(store.records.names()) == list(store.records.names("words")) == []

    def test_a_name_is_read_by_everybody(self, store: Store, other: Store) -> None:
        record = name_of(store)
        assert store.write_name(record, None)
        for reader in (store, other):
            assert reader.records.read_name("words", "production") == record
            assert list(reader.records.names()) == list(reader.records.names("words")) == [record]
            assert list(reader.records.names("other")) == []

    def test_names_are_sorted(self, store: Store, other: Store) -> None:
        record = name_of(store)
        for pipeline, name in (("words", "b"), ("a", "z"), ("words", "a.1")):
            renamed = NameRecord(pipeline=pipeline, name=name, runs=record.runs)
            assert store.write_name(renamed, None)
        names = [(record.pipeline, record.name) for record in other.records.names()]
        assert names == [("a", "z"), ("words", "a.1"), ("words", "b")]

    def test_whoever_saw_an_older_state_writes_nothing(self, store: Store, other: Store) -> None:
        first = name_of(store)
        assert store.write_name(first, None)
        theirs = moved(first, {}, when=WHEN, by="ben", note="")
        mine = moved(first, first.runs, when=WHEN, by="ana", note="again")
        assert other.write_name(theirs, first)
        assert not store.write_name(mine, first)
        assert not store.write_name(mine, None)
        assert store.records.read_name("words", "production") == theirs

    def test_of_many_at_once_one_moves_it(self, place: Place, store: Store) -> None:
        first = name_of(store)
        store.write_name(first, None)
        moves = [moved(first, first.runs, when=WHEN, by=f"p{n}", note="") for n in range(8)]
        stores = [place.other_machine().open() for _ in moves]
        won: list[str] = []

        def move(number: int) -> None:
            if stores[number].write_name(moves[number], first):
                won.append(moves[number].changes[-1].by)

        threads = [threading.Thread(target=move, args=(n,)) for n in range(len(moves))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        current = store.records.read_name("words", "production")
        assert current is not None
        assert won == [current.changes[-1].by]

    def test_a_damaged_one_counts_for_nothing_and_is_replaced(
        self, place: Place, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = name_of(store)
        store.write_name(record, None)
        path = name_path("words", "production")
        content = place.read(path)
        assert content is not None
        place.write(path, content.replace(b"ana", b"eve"))
        assert store.records.read_name("words", "production") is None
        assert "_names/words/production" in capsys.readouterr().err
        assert store.write_name(record, None)
        assert place.read(path) == content

    def test_a_record_under_another_name_counts_for_nothing(
        self, place: Place, store: Store
    ) -> None:
        record = name_of(store)
        store.write_name(record, None)
        content = place.read(name_path("words", "production"))
        assert content is not None
        place.write(name_path("words", "baseline"), content)
        assert store.records.read_name("words", "baseline") is None
        assert list(store.records.names()) == [record]

    def test_emptying_a_store_removes_its_names(self, store: Store, other: Store) -> None:
        store.write_name(name_of(store), None)
        store.empty()
        assert list(other.records.names()) == []

    def test_a_run_that_has_a_name_is_no_orphan(self, store: Store) -> None:
        record = name_of(store, OTHER_RUN)
        store.write_name(record, None)
        orphans(store.backend, remove=True)
        assert store.read_run(record.runs["train"].location) is not None
        assert store.records.read_name("words", "production") == record

    @pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "a b", "ä", "a" * 256])
    def test_what_is_no_safe_path_segment_is_no_name(self, store: Store, name: str) -> None:
        with pytest.raises(StoreError, match="cannot name a name in the store"):
            store.records.read_name("words", name)
