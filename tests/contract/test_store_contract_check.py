"""What every store guarantees of a check: a whole run passes, and damage is found."""

from __future__ import annotations

import pytest

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store.layout import run_path
from daintree.store.records import encode, index_record_of
from daintree.store.store import Store
from tests.contract.runs import (
    FILES,
    OTHER_RUN,
    RUN,
    fetched,
    key_of,
    location_of,
    manifest_of,
    publish,
    publish_indexed,
    record_of,
)
from tests.contract.stores import Place


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
            ("run.json", b'{"schema":99}', "damaged"),
            ("run.json", encode(manifest_of(), run_path(location_of(RUN))), "damaged"),
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
