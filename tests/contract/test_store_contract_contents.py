"""What every store guarantees of itself as a whole: what it counts, what is an orphan, and what emptying removes."""

from __future__ import annotations

from daintree.store.contents import orphans
from daintree.store.layout import run_path
from daintree.store.records import encode
from daintree.store.store import Store
from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    add_source,
    fetched,
    publish,
    publish_failed,
    publish_indexed,
)
from tests.contract.stores import Place


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
        for reader in (place.other_machine().open(), other):
            assert reader.usage()[0] == 0
            assert reader.lookup([manifest.keys.content]) == [None]
            assert reader.read_run(manifest.location) is None
            assert reader.records.find_run(RUN) is None
            assert reader.records.stages_with_history() == []
            assert reader.source_path(digest) is None
            assert reader.read_note("a") is None
        _, record = publish_indexed(other)
        assert fetched(place.other_machine().open(), record) == FILES

    def test_emptying_removes_nothing_else(self, place: Place, store: Store) -> None:
        manifest = publish(store)
        contents_by_path = {
            "README": b"not ours",
            "shop/train/notes.txt": b"not a run",
            "somebody/else/a.csv": b"not ours either",
            "somebody/else/run.json": b'{"a file of this name": "that no store wrote"}',
            "a copy/run.json": encode(manifest, run_path("a copy")),
        }
        for path, content in contents_by_path.items():
            place.write(path, content)
        store.empty()
        assert {path: place.read(path) for path in contents_by_path} == contents_by_path

    def test_nothing_that_is_published_or_being_written_is_an_orphan(
        self, store: Store, other: Store
    ) -> None:
        publish_indexed(store)
        publish_failed(store, "failed")
        with store.stage(OTHER_RUN) as staging:
            (staging.output / "a").write_bytes(b"x")
            assert orphans(other.backend, remove=True) == (0, 0)
            assert (staging.output / "a").exists()
        assert store.usage()[0] == 2

    def test_it_says_where_it_is(self, store: Store, other: Store) -> None:
        assert store.url
        assert store.url == other.url
