"""Guarantees of a collection in every store: keys first, files after a grace period, nothing that somebody uses, history stays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from daintree.errors import ArtifactDamaged
from daintree.store.garbage import Doomed, GarbageCollection
from daintree.store.local import _release
from daintree.store.records import IndexRecord, InputRecord, Keys, index_record_of
from daintree.store.store import Store
from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    add_source,
    collect,
    fetched,
    key_of,
    publish,
    publish_indexed,
)
from tests.contract.stores import BucketPlace, DirectoryPlace, Place


def output_files(store: Store) -> list[str]:
    """The files of outputs that the store holds."""
    return [entry.path for entry in store.backend.list() if "/output/" in entry.path]


@pytest.fixture
def record(other: Store) -> IndexRecord:
    """A run that another machine has published, and its recipe."""
    manifest, record = publish_indexed(other)
    other.publish_index(manifest.keys.recipe, record)
    return record


class TestCollecting:
    def test_an_output_goes_and_its_keys_miss_with_a_reason(
        self, store: Store, record: IndexRecord
    ) -> None:
        keys = [key_of("content"), key_of("recipe")]
        assert collect(store) == ["removed"]
        assert output_files(store) == []
        assert store.lookup(keys) == [None, None]
        assert all("output collected" in store.fault(key) for key in keys)
        assert collect(store) == []

    def test_the_run_stays_in_the_history_with_its_log(
        self, store: Store, record: IndexRecord
    ) -> None:
        collect(store)
        run = store.records.find_run(RUN)
        assert run is not None
        assert [entry.run for entry in store.history()] == [RUN]
        assert store.log_path(run.location).read_bytes() == b"said\n"
        collection = store.collected(run.location)
        assert collection is not None
        assert collection.by == "ana@laptop"

    def test_a_root_stays(self, store: Store, record: IndexRecord) -> None:
        assert collect(store, roots=[record.location]) == []
        assert fetched(store, record) == FILES

    def test_the_next_who_computes_it_replaces_the_tombstone(
        self, store: Store, record: IndexRecord
    ) -> None:
        collect(store)
        fresh = index_record_of(publish(store, OTHER_RUN))
        assert store.publish_index(key_of("content"), fresh) == fresh
        assert fetched(store, fresh) == FILES
        assert store.collected(fresh.location) is None

    def test_files_go_after_the_grace_period(self, store: Store, record: IndexRecord) -> None:
        assert collect(store, grace=60) == ["retired"]
        assert store.lookup([key_of("content")]) == [None]
        assert len(output_files(store)) == len(FILES)
        assert collect(store, grace=60, later=59) == ["retired"]
        assert collect(store, grace=60, later=61) == ["removed"]
        assert output_files(store) == []

    def test_what_is_adopted_in_the_grace_period_stays(
        self, store: Store, record: IndexRecord
    ) -> None:
        collect(store, grace=60)
        store.publish_index(key_of("content"), record)
        assert collect(store, roots=[record.location], later=100) == []
        assert fetched(store, record) == FILES

    def test_whose_an_output_is_and_who_reads_a_source_are_known(
        self, place: Place, store: Store
    ) -> None:
        other = place.other_machine().open()
        digest, _ = add_source(other, run="source")
        read = InputRecord("", digest, "data.csv")
        publish(other, project="shop", inputs=(read, InputRecord("clean", "sha256:1", "place")))
        surveyed = GarbageCollection(store).survey()
        assert [output.project for output in surveyed.outputs] == ["shop"]
        assert [(s.digest, s.projects) for s in surveyed.sources] == [(digest, ("shop",))]

    def test_an_output_that_nothing_leads_to_goes(self, store: Store, other: Store) -> None:
        publish(other)
        assert collect(store) == ["removed"]
        assert output_files(store) == []

    def test_what_is_computed_now_stays(self, store: Store, record: IndexRecord) -> None:
        with store.lease(record.content, waiting=lambda: None):
            assert collect(store) == ["in use"]
        assert fetched(store, record) == FILES

    def test_a_collection_that_was_killed_is_finished_by_the_next(
        self, place: Place, store: Store, record: IndexRecord
    ) -> None:
        """Between any two steps the store works: some keys are retired, then all, then some files are gone."""
        records = GarbageCollection(store)._records
        records.retire(key_of("recipe"), record, when="2026-03-01T10:15:00Z", by="ana@laptop")
        assert store.lookup([record.content]) == [record]
        assert fetched(place.other_machine().open(), record) == FILES
        records.retire(record.content, record, when="2026-03-01T10:15:00Z", by="ana@laptop")
        store.backend.delete([output_files(store)[0]])
        assert collect(store) == ["removed"]
        assert output_files(store) == []

    def test_a_key_that_leads_to_a_collected_output_is_damage_and_goes(
        self, store: Store, other: Store, record: IndexRecord
    ) -> None:
        """Whoever had found the record before its keys were retired may publish a key that leads there."""
        collect(store)
        other.publish_index(key_of("another recipe"), record)
        with pytest.raises(ArtifactDamaged):
            store.check(record, thorough=False)
        assert collect(store) == ["removed"]
        assert store.lookup([key_of("another recipe")]) == [None]

    def test_a_source_goes_and_is_kept_again(self, place: Place, store: Store) -> None:
        digest, _ = add_source(place.other_machine().open())
        assert collect(store) == ["removed"]
        reader = place.other_machine().open()
        assert reader.source_path(digest) is None
        add_source(reader, run="source")
        assert place.other_machine().open().source_path(digest) is not None

    def test_a_source_goes_in_two_steps_where_there_is_a_grace_period(
        self, place: Place, store: Store
    ) -> None:
        digest, _ = add_source(place.other_machine().open())
        collect(store, grace=60)
        assert place.other_machine().open().source_path(digest) is None
        collect(store, grace=60, later=61)
        assert [e.path for e in store.backend.list() if e.path.startswith("_sources/")] == []


class TestReaders:
    def test_what_somebody_reads_here_stays(self, tmp_path: Path) -> None:
        place = DirectoryPlace.make(tmp_path)
        reader, store = place.open(), place.open()
        _, record = publish_indexed(store)
        digest, _ = add_source(reader, run="source")
        reader.output_path(record)
        assert collect(store) == ["in use", "in use"]
        assert fetched(store, record) == FILES
        assert store.source_path(digest) is not None

    def test_a_copy_that_a_thorough_check_has_fetched_stays(self, tmp_path: Path) -> None:
        place = BucketPlace.make(tmp_path)
        _, record = publish_indexed(place.other_machine().open())
        store = place.open()
        store.check(record, thorough=True)
        assert collect(place.open(), cache=True) == ["in use"]
        assert fetched(store, record) == FILES

    def test_a_reader_that_is_done_leaves_nothing(self, tmp_path: Path) -> None:
        place = DirectoryPlace.make(tmp_path)
        reader, store = place.open(), place.open()
        _, record = publish_indexed(store)
        reader.output_path(record)
        locks = Path(reader.directory, "_readers")
        assert len(list(locks.iterdir())) == 1
        del reader
        assert list(locks.iterdir()) == []
        assert collect(store) == ["removed"]


class TestCaches:
    def test_a_collected_output_that_a_cache_has_is_published_again(self, tmp_path: Path) -> None:
        place = BucketPlace.make(tmp_path)
        store, other = place.open(), place.other_machine().open()
        _, record = publish_indexed(other)
        collect(store)
        again = other.lookup([record.content])[0]
        assert again == record
        assert not other.holds(record)
        other.share(Keys(key_of("recipe"), record.content), record)
        assert store.lookup([record.content]) == [record]
        assert fetched(store, record) == FILES
        assert store.collected(record.location) is None

    def test_a_copy_goes_alone_and_is_fetched_again(self, tmp_path: Path) -> None:
        place = BucketPlace.make(tmp_path)
        store = place.open()
        _, record = publish_indexed(place.other_machine().open())
        assert fetched(store, record) == FILES
        part = GarbageCollection(store, cache=True)
        [output] = part.survey().outputs
        assert output.seconds == 0
        # The process that has read it still holds it.
        assert part.collect([Doomed(output, "")], 0, time.time(), "") == ["in use"]
        _release(store.local._readers)
        assert part.collect([Doomed(output, "")], 0, time.time(), "") == ["removed"]
        assert not Path(store.local.path(record.location)).exists()
        assert store.lookup([record.content]) == [record]
        assert fetched(store, record) == FILES
