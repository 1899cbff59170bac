"""What every store guarantees of its index: which record a key leads to, and who may replace it."""

from __future__ import annotations

import pytest

from daintree.errors import StoreError
from daintree.store.store import Store
from tests.contract.malformed import each_outside, each_unreadable
from tests.contract.runs import INDEX_PATH, KEY, OTHER_RUN, RUN, key_of, record_of
from tests.contract.stores import Place


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
        published = record_of(RUN, **difference)
        store.publish_index(KEY, published)
        assert store.publish_index(KEY, record_of("mine"), replacing=record_of(RUN)) == published
        assert store.lookup([KEY]) == [published]

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
