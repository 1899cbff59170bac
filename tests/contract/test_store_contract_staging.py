"""What every store guarantees of the places in which runs are written before they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import StoreError
from daintree.store.integrity import hash_artifact
from daintree.store.records import index_record_of
from daintree.store.store import Store
from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    contents,
    fetched,
    fill,
    manifest_of,
    nothing_published,
)


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
        from daintree.store.store import directory_store

        with directory_store(tmp_path / "other store").stage(RUN) as staging:
            fill(staging.output, FILES)
            manifest = manifest_of(output=hash_artifact(staging.output))
            with pytest.raises(StoreError, match="is no staging place of the artifact store"):
                store.publish_run(staging, manifest)
