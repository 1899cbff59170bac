"""What every store guarantees of its index and its runs.

`test_store_contract_contents` has the rest of the Protocol, `test_store_contention` what holds with several at once.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    contents,
    fetched,
    fill,
    key_of,
    location_of,
    manifest_of,
    nothing_published,
    publish,
    publish_failed,
    publish_indexed,
    record_of,
)
from tests.contract.stores import Place
from tooling.errors import ArtifactDamaged, ArtifactRejected, StoreError
from tooling.manifest import SCHEMA, FileEntry, artifact_of, encode, index_record_of
from tooling.store.artifact import hash_artifact
from tooling.store.names import check_names
from tooling.store.protocol import Store

KEY = key_of("key")
INDEX_PATH = f"_cache/{KEY[7:]}"
OUTSIDE = ["../x", "/x", "a/../../x", "a//b", "", ".", "_cache/x", "a\nb", "a\0b"]
UNREADABLE = {
    "empty": b"",
    "broken off": encode(record_of())[:40],
    "no text": b"\xff\xfe\0",
    "another kind": b"[]",
    "newer schema": encode(record_of(schema=SCHEMA + 1)),
    "leads outside": encode(record_of(location="../../outside")),
}
each_unreadable = pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
each_outside = pytest.mark.parametrize("location", OUTSIDE)
# The store is the same in all examples of a property: so each has a run of its own.
NUMBERS = itertools.count()
shared = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

SEGMENT = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"], exclude_characters="/")
    | st.sampled_from(" %20?:\\*#.~'\"$&|<>[]{}"),
    min_size=1,
    max_size=30,
)
PATHS = st.lists(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), min_size=1, max_size=4)


class TestIndex:
    def test_a_new_store_knows_no_key(self, store: Store) -> None:
        assert store.lookup([KEY, key_of("other")]) == [None, None]
        assert store.lookup([]) == []

    def test_each_key_leads_to_its_own_record_in_order(self, store: Store, other: Store) -> None:
        records = {key_of(n): record_of(f"run-{n}") for n in range(5)}
        for key, record in records.items():
            assert store.publish_index(key, record) == record

        keys = [*reversed(records), KEY]
        assert other.lookup(keys) == [*reversed(records.values()), None]
        assert store.lookup([*keys, *keys]) == 2 * other.lookup(keys)

    def test_publishing_only_creates(self, store: Store, other: Store) -> None:
        first, second = record_of(RUN), record_of(OTHER_RUN)
        assert store.publish_index(KEY, first) == first
        assert other.publish_index(KEY, second) == first
        assert store.lookup([KEY]) == [first]

    def test_publishing_the_same_again_changes_nothing(self, store: Store) -> None:
        record = record_of()
        assert store.publish_index(KEY, record) == store.publish_index(KEY, record) == record

    def test_exactly_the_record_that_was_read_is_replaced(self, store: Store, other: Store) -> None:
        first, second = record_of(RUN), record_of(OTHER_RUN)
        store.publish_index(KEY, first)
        assert other.publish_index(KEY, second, replacing=first) == second
        assert store.lookup([KEY]) == other.lookup([KEY]) == [second]

    @pytest.mark.parametrize("difference", [{"count": 3}, {"seconds": 9.0}, {"inputs": {}}])
    def test_another_record_is_not_replaced(
        self, store: Store, difference: dict[str, object]
    ) -> None:
        standing = record_of(RUN, **difference)
        store.publish_index(KEY, standing)
        assert store.publish_index(KEY, record_of("mine"), replacing=record_of(RUN)) == standing
        assert store.lookup([KEY]) == [standing]

    def test_a_record_that_is_gone_is_replaced_too(self, place: Place, store: Store) -> None:
        first, second = record_of(RUN), record_of(OTHER_RUN)
        store.publish_index(KEY, first)
        place.delete(INDEX_PATH)
        assert store.publish_index(KEY, second, replacing=first) == second
        assert store.lookup([KEY]) == [second]

    @each_unreadable
    def test_an_unreadable_record_is_none(self, place: Place, store: Store, content: bytes) -> None:
        store.publish_index(key_of("whole"), record_of())
        place.write(INDEX_PATH, content)
        assert store.lookup([KEY, key_of("whole")]) == [None, record_of()]

    @each_unreadable
    @pytest.mark.parametrize("replacing", [None, record_of("what was read before")])
    def test_an_unreadable_record_is_replaced(
        self, place: Place, store: Store, other: Store, content: bytes, replacing: object
    ) -> None:
        place.write(INDEX_PATH, content)
        record = record_of()
        assert store.publish_index(KEY, record, replacing=replacing) == record  # type: ignore[arg-type]
        assert other.lookup([KEY]) == [record]
        assert other.publish_index(KEY, record_of(OTHER_RUN)) == record

    @pytest.mark.parametrize("key", ["", "sha256:", "../x", "0" * 64, KEY + "0", KEY.upper()])
    def test_only_digests_are_keys(self, store: Store, key: str) -> None:
        with pytest.raises(StoreError, match="is no digest"):
            store.lookup([key])
        with pytest.raises(StoreError, match="is no digest"):
            store.publish_index(key, record_of())

    @each_outside
    def test_no_key_leads_out_of_the_store(self, store: Store, location: str) -> None:
        with pytest.raises(StoreError, match="the location"):
            store.publish_index(KEY, record_of(location=location))
        assert store.lookup([KEY]) == [None]


class TestRuns:
    def test_a_run_comes_back_as_it_was(self, store: Store, other: Store) -> None:
        manifest, record = publish_indexed(store)
        for reader in (store, other):
            assert reader.read_run(manifest.location) == manifest
            assert fetched(reader, record) == FILES
            assert reader.log_path(manifest.location).read_bytes() == b"said\n"

    def test_files_of_every_size_come_back(self, store: Store, other: Store) -> None:
        sizes = [0, 1, 1 << 16, (1 << 16) + 1, (5 << 20) + 1, 20 << 20]
        files = {f"{size}.bin": os.urandom(size) for size in sizes}
        _, record = publish_indexed(store, files=files)
        assert fetched(other, record) == files

    def test_many_files_come_back(self, store: Store, other: Store) -> None:
        files = {f"part-{n % 7}/{n}.csv": str(n).encode() for n in range(300)}
        _, record = publish_indexed(store, files=files)
        assert fetched(other, record) == files

    @shared
    @given(paths=PATHS)
    def test_names_come_back_as_they_are(
        self, store: Store, other: Store, paths: list[str]
    ) -> None:
        files = {path: path.encode() for path in paths}
        # One name cannot be a file and a directory.
        assume(not any(one.startswith(f"{two}/") for one in files for two in files))
        try:
            check_names(files)
        except ArtifactRejected:
            assume(False)
        manifest = publish(store, f"run-{next(NUMBERS)}", files)
        assert fetched(other, index_record_of(manifest)) == files

    def test_the_files_of_a_run_cannot_be_written_by_accident(self, store: Store) -> None:
        _, record = publish_indexed(store)
        store.check(record, thorough=True)
        for path in store.output_path(record.location).rglob("*"):
            if path.is_file():
                assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0, path

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("a\nb", "control character"),
            ("part#12", "ends in # and digits"),
            ("sub#1/file", "ends in # and digits"),
        ],
    )
    def test_a_refused_name_is_refused_by_name(self, store: Store, name: str, message: str) -> None:
        with store.stage(RUN) as staging:
            fill(staging.output, {name: b"x"})
            # As nobody would make it who had asked `hash_artifact`.
            manifest = manifest_of(output=artifact_of([FileEntry(name, 1, "0" * 64)]))
            with pytest.raises(ArtifactRejected, match=message) as raised:
                store.publish_run(staging, manifest)
        assert repr(name) in raised.value.message
        assert nothing_published(store)

    @pytest.mark.parametrize(
        "change",
        [
            lambda output: (output / "more").touch(),
            lambda output: (output / "a.csv").unlink(),
            lambda output: (output / "a.csv").write_bytes(b"x\n2\n"),
            lambda output: (output / "a.csv").write_bytes(b"longer than it was"),
            lambda output: (output / "link").symlink_to("a.csv"),
            lambda output: os.mkfifo(output / "pipe"),
            lambda output: shutil.rmtree(output / "deep"),
        ],
        ids=["extra", "missing", "same size", "other size", "link", "pipe", "directory"],
    )
    def test_what_is_not_what_was_hashed_is_not_published(
        self, store: Store, change: Callable[[Path], object]
    ) -> None:
        with store.stage(RUN) as staging:
            fill(staging.output, FILES)
            manifest = manifest_of(output=hash_artifact(staging.output))
            change(staging.output)
            with pytest.raises(ArtifactRejected):
                store.publish_run(staging, manifest)
        assert nothing_published(store)

    def test_a_run_is_never_overwritten(self, store: Store, other: Store) -> None:
        manifest, record = publish_indexed(store)
        for writer in (store, other):
            with pytest.raises(StoreError):
                publish(writer, OTHER_RUN, {"z.csv": b"z"}, location=manifest.location)
        assert other.read_run(manifest.location) == manifest
        assert fetched(other, record) == FILES
        assert other.find_run(OTHER_RUN) is None

    def test_a_failed_run_keeps_its_log_and_no_output(self, store: Store, other: Store) -> None:
        manifest = publish_failed(store)
        for reader in (store, other):
            assert reader.read_run(manifest.location) == manifest
            assert reader.log_path(manifest.location).read_bytes() == b"it broke\n"
            assert contents(reader.output_path(manifest.location)) == {}
        assert list(other.history("words", "train")) == [manifest]

    def test_a_run_may_have_no_log(self, store: Store) -> None:
        with store.stage(RUN) as staging:
            fill(staging.output, FILES)
            manifest = manifest_of(output=hash_artifact(staging.output))
            store.publish_run(staging, manifest)
        assert store.read_run(manifest.location) == manifest
        assert not store.log_path(manifest.location).exists()

    def test_a_failed_run_may_have_lost_its_output_directory(self, store: Store) -> None:
        with store.stage(RUN) as staging:
            shutil.rmtree(staging.output)
            store.publish_run(staging, manifest_of())
        assert store.read_run(location_of(RUN)) == manifest_of()

    def test_there_is_no_run_where_none_was_written(self, store: Store) -> None:
        assert store.read_run(location_of(RUN)) is None
        publish(store)
        assert store.read_run(location_of(OTHER_RUN)) is None

    @each_unreadable
    def test_an_unreadable_manifest_is_none(
        self, place: Place, store: Store, other: Store, content: bytes
    ) -> None:
        location = publish(store).location
        place.write(f"{location}/run.json", content)
        assert other.read_run(location) is None

    def test_a_manifest_that_was_moved_is_none(self, place: Place, store: Store) -> None:
        manifest = publish(store)
        place.write(f"{location_of(OTHER_RUN)}/run.json", encode(manifest))
        assert store.read_run(location_of(OTHER_RUN)) is None

    @each_outside
    def test_no_run_is_outside_the_store(self, store: Store, location: str) -> None:
        with pytest.raises(StoreError, match="the location"):
            publish(store, location=location)
        for ask in (store.read_run, store.output_path, store.log_path):
            with pytest.raises(StoreError, match="the location"):
                ask(location)

    @pytest.mark.parametrize("location", ["short", "a/b", "über/größe x/%20", "deep/" * 12 + "x"])
    def test_the_layout_is_a_setting(self, store: Store, other: Store, location: str) -> None:
        manifest = publish(store, location=location)
        assert other.find_run(RUN) == manifest
        assert fetched(other, index_record_of(manifest)) == FILES

    def test_a_manifest_of_every_field_comes_back(self, store: Store, other: Store) -> None:
        manifest = publish(
            store, parameters={"a": 1, "b": 1.0, "c": True, "d": "größe\n"}, dirty=True
        )
        read = other.read_run(manifest.location)
        assert read is not None
        assert repr(msgspec.structs.astuple(read)) == repr(msgspec.structs.astuple(manifest))


class TestCheck:
    @pytest.mark.parametrize("thorough", [False, True])
    def test_a_whole_run_passes_as_often_as_it_is_asked(
        self, store: Store, other: Store, thorough: bool
    ) -> None:
        _, record = publish_indexed(store)
        for reader in (store, other, store, other):
            reader.check(record, thorough=thorough)

    @pytest.mark.parametrize("thorough", [False, True])
    @pytest.mark.parametrize(
        ("name", "content", "kind"),
        [
            ("output/a.csv", None, "missing"),
            ("output/deep/er/b.csv", None, "missing"),
            ("output/a.csv", b"x\n", "damaged"),
            ("output/a.csv", b"", "damaged"),
            ("output/a.csv", b"x\n1\n\n", "damaged"),
            ("output/more", b"", "damaged"),
            ("output/deep/more", b"more", "damaged"),
            ("run.json", None, "missing"),
            ("run.json", b"", "damaged"),
            ("run.json", b"{", "damaged"),
            ("run.json", encode(manifest_of(schema=SCHEMA + 1)), "damaged"),
            ("run.json", encode(manifest_of()), "damaged"),
        ],
    )
    def test_damage_is_found(
        self,
        place: Place,
        store: Store,
        other: Store,
        name: str,
        content: bytes | None,
        kind: str,
        thorough: bool,
    ) -> None:
        _, record = publish_indexed(store)
        if content is None:
            place.delete(f"{record.location}/{name}")
        else:
            place.write(f"{record.location}/{name}", content)

        with pytest.raises(ArtifactDamaged) as raised:
            other.check(record, thorough=thorough)

        file = name.removeprefix("output/")
        assert (raised.value.file, raised.value.kind) == (file, kind)
        assert file in raised.value.message
        assert kind in raised.value.message

    def test_a_flipped_bit_is_found_by_a_thorough_check(
        self, place: Place, store: Store, other: Store
    ) -> None:
        _, record = publish_indexed(store)
        place.write(f"{record.location}/output/a.csv", b"x\n0\n")
        with pytest.raises(ArtifactDamaged, match=r"output file a\.csv is damaged in the store"):
            other.check(record, thorough=True)

    def test_a_run_that_is_gone_is_missing(self, store: Store) -> None:
        with pytest.raises(ArtifactDamaged) as raised:
            store.check(record_of(), thorough=False)
        assert raised.value.kind == "missing"

    def test_a_record_of_another_output_is_not_believed(self, store: Store, other: Store) -> None:
        _, record = publish_indexed(store)
        for reader in (store, other):
            with pytest.raises(ArtifactDamaged):
                reader.check(record_of(digest=key_of("another")), thorough=False)
        store.check(record, thorough=True)

    def test_a_run_computed_again_stands_beside_the_damaged_one(
        self, place: Place, store: Store, other: Store
    ) -> None:
        manifest, damaged = publish_indexed(store)
        place.delete(f"{damaged.location}/output/a.csv")
        again = index_record_of(publish(store, OTHER_RUN))
        key = manifest.keys.content
        assert store.publish_index(key, again, replacing=damaged) == again
        assert fetched(other, again) == FILES
        assert other.lookup([key]) == [again]

    def test_a_location_outside_is_not_looked_at(self, store: Store) -> None:
        with pytest.raises(StoreError, match="the location"):
            store.check(record_of(location="../x"), thorough=False)
