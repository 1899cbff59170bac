"""What every store guarantees of a run: it comes back as it was published, whole, under its own name, or not at all."""

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

from daintree.errors import ArtifactRejected, StoreError
from daintree.store.integrity import hash_artifact
from daintree.store.layout import check_names, run_path
from daintree.store.records import FileEntry, artifact_of, encode, index_record_of
from daintree.store.store import Store
from tests.contract.malformed import each_outside, each_unreadable
from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    fetched,
    fill,
    location_of,
    manifest_of,
    nothing_published,
    publish,
    publish_failed,
    publish_indexed,
)
from tests.contract.stores import Place

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
        for path in store.output_path(record).rglob("*"):
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
        assert other.records.find_run(OTHER_RUN) is None

    def test_a_failed_run_keeps_its_log_and_no_output(self, store: Store, other: Store) -> None:
        manifest = publish_failed(store)
        for reader in (store, other):
            assert reader.read_run(manifest.location) == manifest
            assert reader.log_path(manifest.location).read_bytes() == b"it broke\n"
            assert not (reader.directory / manifest.location / "output").exists()
        assert [entry.run for entry in other.history("words", "train")] == [manifest.run]

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
        place.write(
            f"{location_of(OTHER_RUN)}/run.json", encode(manifest, run_path(location_of(OTHER_RUN)))
        )
        assert store.read_run(location_of(OTHER_RUN)) is None

    @each_outside
    def test_no_run_is_outside_the_store(self, store: Store, location: str) -> None:
        with pytest.raises(StoreError, match="the location"):
            publish(store, location=location)
        for ask in (store.read_run, store.address, store.log_path):
            with pytest.raises(StoreError, match="the location"):
                ask(location)

    @pytest.mark.parametrize("location", ["short", "a/b", "über/größe x/%20", "deep/" * 12 + "x"])
    def test_the_layout_is_a_setting(self, store: Store, other: Store, location: str) -> None:
        manifest = publish(store, location=location)
        assert other.records.find_run(RUN) == manifest
        assert fetched(other, index_record_of(manifest)) == FILES

    def test_a_manifest_of_every_field_comes_back(self, store: Store, other: Store) -> None:
        manifest = publish(
            store, parameters={"a": 1, "b": 1.0, "c": True, "d": "größe\n"}, dirty=True
        )
        read = other.read_run(manifest.location)
        assert read is not None
        assert repr(msgspec.structs.astuple(read)) == repr(msgspec.structs.astuple(manifest))
