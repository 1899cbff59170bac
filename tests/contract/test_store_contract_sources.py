"""What every store guarantees of the sources it keeps."""

from __future__ import annotations

import pytest

from daintree.errors import ArtifactRejected, StoreError
from daintree.store.integrity import hash_artifact
from daintree.store.store import Store
from tests.contract.runs import FILES, OTHER_RUN, RUN, add_source, contents, fill, key_of
from tests.contract.stores import Place


class TestSources:
    def test_an_unknown_source_is_none(self, store: Store) -> None:
        assert store.source_path(key_of("unknown")) is None

    def test_a_source_comes_back_as_it_was(self, store: Store, other: Store) -> None:
        digest, directory = add_source(store)
        assert contents(directory) == FILES
        for reader in (store, other):
            source = reader.source_path(digest)
            assert source is not None
            assert contents(source) == FILES

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
        source = place.other_machine().open().source_path(digest)
        assert source is not None
        assert contents(source) == FILES

    def test_only_digests_name_sources(self, store: Store) -> None:
        with pytest.raises(StoreError, match="is no digest"):
            store.source_path("../x")
