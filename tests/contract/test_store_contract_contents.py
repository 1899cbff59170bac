"""What every store guarantees of its history, staging places, sources, notes, leases, and of itself as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    add_source,
    contents,
    fetched,
    fill,
    key_of,
    manifest_of,
    nothing_published,
    publish,
    publish_failed,
    publish_indexed,
)
from tests.contract.stores import Place
from tooling.errors import ArtifactRejected, StoreError, UsageError
from tooling.manifest import encode, index_record_of
from tooling.store.artifact import hash_artifact
from tooling.store.protocol import Store

KEY = key_of("key")


class TestHistory:
    def test_it_is_empty_at_first(self, store: Store) -> None:
        assert list(store.history("words", "train")) == []
        assert store.stages_with_history() == []
        assert store.stages_with_history("words") == []
        assert store.find_run(RUN) is None

    def test_the_newest_run_comes_first_whatever_the_order_of_writing(
        self, store: Store, other: Store
    ) -> None:
        runs = [f"2026030{day}T101500000Z-{'fa0'[day % 3] * 8}" for day in (2, 1, 4, 3)]
        for number, run in enumerate(runs):
            (publish_failed if number % 2 else publish)(store, run)
        for reader in (store, other):
            found = [manifest.run for manifest in reader.history("words", "train")]
            assert found == sorted(runs, reverse=True)

    def test_stages_and_pipelines_are_told_apart(self, store: Store, other: Store) -> None:
        pairs = [("a", "x"), ("a", "xy"), ("ab", "x"), ("a-b", "x"), ("a", "x.y"), ("Z", "x")]
        for number, (pipeline, stage) in enumerate(pairs):
            publish(store, f"run-{number}", pipeline=pipeline, stage=stage)
        assert other.stages_with_history() == sorted(pairs)
        assert other.stages_with_history("a") == [("a", "x"), ("a", "x.y"), ("a", "xy")]
        assert other.stages_with_history("b") == []
        for number, (pipeline, stage) in enumerate(pairs):
            assert [run.run for run in other.history(pipeline, stage)] == [f"run-{number}"]

    def test_runs_are_read_one_by_one(self, place: Place, store: Store) -> None:
        runs = [publish(store, f"run-{number}") for number in range(3)]
        history = store.history("words", "train")
        assert next(history) == runs[2]
        place.write(f"{runs[1].location}/run.json", b"")
        assert list(history) == [runs[0]]

    @pytest.mark.parametrize("content", [b"", b"{", b'{"schema":99}', b'{"run":"x"}'])
    def test_an_unreadable_entry_is_passed_over(
        self, place: Place, store: Store, content: bytes
    ) -> None:
        manifest = publish(store)
        place.write("_history/words/train/99990101T000000000Z-00000000", content)
        assert list(store.history("words", "train")) == [manifest]
        assert store.find_run("9999") is None

    def test_an_entry_that_leads_outside_is_passed_over(self, place: Place, store: Store) -> None:
        manifest = publish(store)
        entry = b'{"schema":1,"run":"r","location":"../../outside"}'
        place.write("_history/words/train/r", entry)
        assert list(store.history("words", "train")) == [manifest]

    @pytest.mark.parametrize(
        "path", ["_history/.DS_Store", "_history/words/.DS_Store", "_history/a/b/c/d"]
    )
    def test_a_stray_file_is_passed_over(self, place: Place, store: Store, path: str) -> None:
        manifest = publish(store)
        place.write(path, b"stray")
        assert store.stages_with_history() == [("words", "train")]
        assert list(store.history("words", "train")) == [manifest]
        assert store.find_run(RUN) == manifest

    def test_a_run_is_found_by_the_beginning_of_its_id(self, store: Store, other: Store) -> None:
        one, two = publish(store, RUN), publish(store, OTHER_RUN)
        for reader in (store, other):
            assert reader.find_run(RUN) == reader.find_run(RUN[:-8]) == one
            assert reader.find_run(OTHER_RUN[:-8]) == two
            assert reader.find_run("2027") is None
            assert reader.find_run(RUN + "0") is None

    def test_an_id_that_is_whole_is_not_ambiguous(self, store: Store) -> None:
        one, _ = publish(store, "run-1"), publish(store, "run-10")
        assert store.find_run("run-1") == one

    def test_an_ambiguous_beginning_is_said_with_what_begins_so(self, store: Store) -> None:
        for number in range(7):
            publish_failed(store, f"run-{number}")
        with pytest.raises(UsageError, match="7 runs begin with 'run-'") as raised:
            store.find_run("run-")
        assert raised.value.hint == "give more of the id: run-0, run-1, run-2, run-3, run-4, …"

    @pytest.mark.parametrize("name", ["", "..", "a/b", "a b", ".a", "ä", "x" * 256])
    def test_names_that_are_no_path_segments_are_refused(self, store: Store, name: str) -> None:
        for changed in ({"pipeline": name}, {"stage": name}):
            with pytest.raises(StoreError, match="cannot name a"):
                publish(store, **changed)
        with pytest.raises(StoreError, match="cannot name a pipeline"):
            list(store.history(name, "train"))
        with pytest.raises(StoreError, match="cannot name a stage"):
            list(store.history("words", name))
        assert nothing_published(store)


class TestStaging:
    def test_it_is_empty_and_goes_when_it_ends(self, store: Store) -> None:
        with store.stage(RUN) as staging:
            assert list(staging.output.iterdir()) == list(staging.scratch.iterdir()) == []
            assert not staging.log.exists()
            fill(staging.output, FILES)
            fill(staging.scratch, FILES)
            staging.log.write_text("said")
        for path in (staging.output, staging.scratch, staging.log):
            assert not path.exists()
        assert nothing_published(store)

    def test_it_goes_when_something_goes_wrong(self, store: Store) -> None:
        with pytest.raises(KeyboardInterrupt), store.stage(RUN) as staging:
            raise KeyboardInterrupt
        assert not staging.output.exists()

    def test_two_runs_are_staged_apart(self, store: Store) -> None:
        with store.stage(RUN) as one, store.stage(OTHER_RUN) as two:
            fill(one.output, {"mine": b"1"})
            assert contents(two.output) == {}
        assert not one.output.exists()

    def test_scratch_is_never_published(self, store: Store, other: Store) -> None:
        with store.stage(RUN) as staging:
            fill(staging.output, FILES)
            fill(staging.scratch, {"secret": b"temporary"})
            manifest = manifest_of(output=hash_artifact(staging.output))
            store.publish_run(staging, manifest)
        assert fetched(other, index_record_of(manifest)) == FILES

    @pytest.mark.parametrize("run", ["", "..", "../x", "/x", "a/b", "a\0b"])
    def test_a_run_id_that_is_no_path_segment_is_refused(self, store: Store, run: str) -> None:
        with pytest.raises(StoreError, match="cannot name a run"), store.stage(run):
            pass

    def test_another_stores_staging_place_is_refused(self, store: Store, tmp_path: Path) -> None:
        from tooling.store.local import DirectoryStore

        with DirectoryStore(tmp_path / "other store").stage(RUN) as staging:
            fill(staging.output, FILES)
            manifest = manifest_of(output=hash_artifact(staging.output))
            with pytest.raises(StoreError, match="is no staging place of the artifact store"):
                store.publish_run(staging, manifest)


class TestSources:
    def test_an_unknown_source_is_none(self, store: Store) -> None:
        assert store.source_path(key_of("unknown")) is None

    def test_a_source_comes_back_as_it_was(self, store: Store, other: Store) -> None:
        digest, directory = add_source(store)
        assert contents(directory) == FILES
        for reader in (store, other):
            found = reader.source_path(digest)
            assert found is not None
            assert contents(found) == FILES

    def test_adding_it_again_changes_nothing(self, store: Store, other: Store) -> None:
        digest, _ = add_source(store)
        again, directory = add_source(other, run=OTHER_RUN)
        assert again == digest
        assert contents(directory) == FILES

    def test_what_is_not_the_artifact_is_not_kept(self, store: Store) -> None:
        with store.stage(RUN) as staging:
            fill(staging.output, FILES)
            artifact = hash_artifact(staging.output)
            (staging.output / "a.csv").write_bytes(b"x\n2\n")
            with pytest.raises(ArtifactRejected, match=r"a\.csv"):
                store.add_source(staging, artifact)
        assert store.source_path(artifact.digest) is None

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("output/a.csv", None),
            ("output/a.csv", b"x"),
            ("output/a.csv", FILES["a.csv"].swapcase()),
            ("output/more", b"more"),
            ("source.json", None),
            ("source.json", b"{"),
        ],
    )
    def test_one_that_is_not_whole_is_none_and_can_be_added_anew(
        self, place: Place, store: Store, other: Store, name: str, content: bytes | None
    ) -> None:
        digest, _ = add_source(store)
        path = f"_sources/{digest[7:]}/{name}"
        if content is None:
            place.delete(path)
        else:
            place.write(path, content)
        assert other.source_path(digest) is None

        _, directory = add_source(other, run=OTHER_RUN)

        assert contents(directory) == FILES
        found = place.elsewhere().open().source_path(digest)
        assert found is not None
        assert contents(found) == FILES

    def test_only_digests_name_sources(self, store: Store) -> None:
        with pytest.raises(StoreError, match="is no digest"):
            store.source_path("../x")


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


class TestContents:
    def test_a_new_store_holds_nothing(self, store: Store) -> None:
        assert store.usage() == (0, 0)
        store.empty()
        assert store.usage() == (0, 0)

    def test_runs_and_bytes_are_counted(self, store: Store, other: Store) -> None:
        publish(store, RUN, {"a": bytes(100_000)})
        publish(store, OTHER_RUN, {"a": bytes(100_000), "b": bytes(1)})
        publish_failed(store, "failed")
        runs, held = other.usage()
        assert runs == 3
        assert 200_001 <= held <= 220_000

    def test_a_file_named_like_a_manifest_is_no_run(self, store: Store) -> None:
        publish(store, RUN, {"run.json": b"{}", "sub/run.json": b"{}", "_cache/x": b"x"})
        assert store.usage()[0] == 1

    def test_emptying_removes_all_and_what_comes_then_is_kept(
        self, place: Place, store: Store, other: Store
    ) -> None:
        manifest, _ = publish_indexed(store)
        publish_failed(store, OTHER_RUN)
        digest, _ = add_source(store, run="source")
        store.write_note("a", b"x")

        other.empty()

        # A machine that has kept copies of its own may still find those.
        for reader in (place.elsewhere().open(), other):
            assert reader.usage()[0] == 0
            assert reader.lookup([manifest.keys.content]) == [None]
            assert reader.read_run(manifest.location) is None
            assert reader.find_run(RUN) is None
            assert reader.stages_with_history() == []
            assert reader.source_path(digest) is None
            assert reader.read_note("a") is None
        _, record = publish_indexed(other)
        assert fetched(place.elsewhere().open(), record) == FILES

    def test_emptying_removes_nothing_else(self, place: Place, store: Store) -> None:
        manifest = publish(store)
        kept = {
            "README": b"not ours",
            "shop/train/notes.txt": b"not a run",
            "somebody/else/a.csv": b"not ours either",
            "somebody/else/run.json": b'{"a file of this name": "that no store wrote"}',
            "a copy/run.json": encode(manifest),
        }
        for path, content in kept.items():
            place.write(path, content)
        store.empty()
        assert {path: place.read(path) for path in kept} == kept

    def test_nothing_that_is_published_or_being_written_is_an_orphan(
        self, store: Store, other: Store
    ) -> None:
        publish_indexed(store)
        publish_failed(store, "failed")
        with store.stage(OTHER_RUN) as staging:
            (staging.output / "a").write_bytes(b"x")
            assert other.orphans(remove=True) == (0, 0)
            assert (staging.output / "a").exists()
        assert store.usage()[0] == 2

    def test_it_says_where_it_is(self, store: Store, other: Store) -> None:
        assert store.url
        assert store.url == other.url


def test_a_lease_is_ours_while_we_hold_it(store: Store, other: Store) -> None:
    for holder in (store, other, store):
        with holder.lease(KEY, waiting=pytest.fail) as lease:
            assert lease.still_ours()


def test_leases_of_different_keys_are_independent(store: Store, other: Store) -> None:
    with (
        store.lease(KEY, waiting=pytest.fail) as one,
        other.lease(key_of("other"), waiting=pytest.fail) as two,
    ):
        assert one.still_ours()
        assert two.still_ours()


def test_a_lease_is_given_back_when_something_goes_wrong(store: Store, other: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.lease(KEY, waiting=pytest.fail):
        raise KeyboardInterrupt
    with other.lease(KEY, waiting=pytest.fail) as lease:
        assert lease.still_ours()


def test_waiting_may_give_up(store: Store, other: Store) -> None:
    asked: list[None] = []

    def give_up() -> None:
        asked.append(None)
        if len(asked) == 3:
            raise TimeoutError

    with store.lease(KEY, waiting=pytest.fail) as lease:
        with pytest.raises(TimeoutError), other.lease(KEY, waiting=give_up):
            pytest.fail("two hold the same lease")
        assert lease.still_ours()
    with other.lease(KEY, waiting=pytest.fail):
        pass


@pytest.mark.parametrize("key", ["", "../x", "0" * 64])
def test_only_digests_are_leased(store: Store, key: str) -> None:
    with pytest.raises(StoreError, match="is no digest"), store.lease(key, waiting=pytest.fail):
        pass
