"""What every store guarantees of its history: the runs of a stage, the newest first, and a run by its id."""

from __future__ import annotations

import msgspec
import pytest

from daintree.errors import StoreError, UsageError
from daintree.store.records import RunManifest, encode, history_entry_of
from daintree.store.store import Store
from tests.contract.runs import (
    OTHER_RUN,
    RUN,
    location_of,
    manifest_of,
    nothing_published,
    publish,
    publish_failed,
)
from tests.contract.stores import Place


def run_of(day: int) -> str:
    """The id of a run of that day."""
    return f"202603{day:02}T101500000Z-00000000"


def entry_of(manifest: RunManifest) -> str:
    """The path of a run's history entry."""
    return history_entry_of(manifest, {}).path


class TestHistory:
    def test_it_is_empty_at_first(self, store: Store) -> None:
        assert list(store.history("words", "train")) == []
        assert store.records.stages_with_history() == []
        assert store.records.stages_with_history("words") == []
        assert store.records.find_run(RUN) is None

    def test_the_newest_run_comes_first_whatever_the_order_of_writing(
        self, store: Store, other: Store
    ) -> None:
        runs = [f"2026030{day}T101500000Z-{'fa0'[day % 3] * 8}" for day in (2, 1, 4, 3)]
        for number, run in enumerate(runs):
            (publish_failed if number % 2 else publish)(store, run)
        for reader in (store, other):
            listed = [manifest.run for manifest in reader.history("words", "train")]
            assert listed == sorted(runs, reverse=True)

    def test_stages_and_pipelines_are_told_apart(self, store: Store, other: Store) -> None:
        pairs = [("a", "x"), ("a", "xy"), ("ab", "x"), ("a-b", "x"), ("a", "x.y"), ("Z", "x")]
        for number, (pipeline, stage) in enumerate(pairs):
            publish(store, f"run-{number}", pipeline=pipeline, stage=stage)
        assert other.records.stages_with_history() == sorted(pairs)
        assert other.records.stages_with_history("a") == [("a", "x"), ("a", "x.y"), ("a", "xy")]
        assert other.records.stages_with_history("b") == []
        for number, (pipeline, stage) in enumerate(pairs):
            assert [run.run for run in other.history(pipeline, stage)] == [f"run-{number}"]

    def test_runs_are_read_one_by_one(self, place: Place, store: Store) -> None:
        runs = [publish(store, run_of(day)) for day in (1, 2, 3)]
        history = store.history("words", "train")
        assert next(history).run == runs[2].run
        place.write(entry_of(runs[1]), b"")
        assert [entry.run for entry in history] == [runs[0].run]

    @pytest.mark.parametrize("content", [b"", b"{", b'{"schema":99}', b'{"run":"x"}'])
    def test_an_unreadable_entry_is_passed_over(
        self, place: Place, store: Store, content: bytes
    ) -> None:
        manifest = publish(store)
        place.write("_history/words/train/00009898/999999999-99990101T000000000Z-0", content)
        assert [entry.run for entry in store.history("words", "train")] == [manifest.run]
        assert store.records.find_run("999901") is None

    def test_an_entry_that_leads_outside_is_passed_over(self, place: Place, store: Store) -> None:
        manifest = publish(store)
        entry = history_entry_of(manifest_of(location=location_of(RUN)), {})
        outside = msgspec.structs.replace(entry, run=OTHER_RUN, location="../../outside")
        place.write(outside.path, encode(outside, outside.path))
        assert [entry.run for entry in store.history("words", "train")] == [manifest.run]

    @pytest.mark.parametrize(
        "path", ["_history/.DS_Store", "_history/words/.DS_Store", "_history/words/train/x/y"]
    )
    def test_a_stray_file_is_passed_over(self, place: Place, store: Store, path: str) -> None:
        manifest = publish(store)
        place.write(path, b"stray")
        assert store.records.stages_with_history() == [("words", "train")]
        assert [entry.run for entry in store.history("words", "train")] == [manifest.run]
        assert store.records.find_run(RUN) == manifest

    def test_a_run_is_found_by_the_beginning_of_its_id(self, store: Store, other: Store) -> None:
        one, two = publish(store, RUN), publish(store, OTHER_RUN)
        for reader in (store, other):
            assert reader.records.find_run(RUN) == reader.records.find_run(RUN[:-8]) == one
            assert reader.records.find_run(OTHER_RUN[:-8]) == two
            assert reader.records.find_run("202701") is None
            assert reader.records.find_run(RUN + "0") is None

    def test_an_id_that_is_whole_is_not_ambiguous(self, store: Store) -> None:
        one, _ = publish(store, "run-1"), publish(store, "run-10")
        assert store.records.find_run("run-1") == one

    def test_an_ambiguous_beginning_is_said_with_what_begins_so(self, store: Store) -> None:
        for number in range(7):
            publish_failed(store, f"run-0-{number}")
        with pytest.raises(UsageError, match="7 runs begin with 'run-0-'") as raised:
            store.records.find_run("run-0-")
        beginning = "give more of the id: run-0-0, run-0-1, run-0-2, run-0-3, run-0-4, …"
        assert raised.value.hint == beginning

    def test_too_little_of_an_id_is_refused(self, store: Store) -> None:
        one = publish(store, "20260101T101500000Z-abcdef12")
        assert store.records.find_run("abcdef") == store.records.find_run("202601") == one
        assert store.records.find_run("words") is None
        for text in ("abcde", "20260"):
            with pytest.raises(UsageError, match=f"'{text}' is too little of a run's id"):
                store.records.find_run(text)

    @pytest.mark.parametrize("name", ["", "..", "a/b", "a b", ".a", "ä", "x" * 256])
    def test_names_that_are_no_path_segments_are_refused(self, store: Store, name: str) -> None:
        with pytest.raises(StoreError, match="cannot name a"):
            publish(store, pipeline=name)
        with pytest.raises(StoreError, match="cannot name a"):
            publish(store, stage=name)
        with pytest.raises(StoreError, match="cannot name a pipeline"):
            list(store.history(name, "train"))
        with pytest.raises(StoreError, match="cannot name a stage"):
            list(store.history("words", name or ".."))
        assert nothing_published(store)
