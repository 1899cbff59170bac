"""What every store guarantees of its leases."""

from __future__ import annotations

import pytest

from daintree.errors import StoreError
from daintree.store.contents import holders
from daintree.store.records import Holder
from daintree.store.store import Store
from tests.contract.runs import KEY, key_of


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
    calls: list[None] = []

    def give_up() -> None:
        calls.append(None)
        if len(calls) == 3:
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


HOLDER = Holder(
    pipeline="words",
    stage="count",
    key=KEY,
    user="ana",
    host="laptop",
    since="2026-03-01T12:00:00Z",
)


def test_others_see_who_holds_a_lease_while_it_is_held(store: Store, other: Store) -> None:
    with store.lease(KEY, waiting=pytest.fail, holder=HOLDER):
        assert holders(store.backend) == [HOLDER]
        assert holders(other.backend) == [HOLDER]
        assert holders(store.local.directory) == [HOLDER]
    assert holders(other.backend) == []
    assert holders(store.local.directory) == []


def test_a_lease_without_a_name_has_no_holder_to_show(store: Store) -> None:
    with store.lease(KEY, waiting=pytest.fail) as lease:
        assert holders(store.backend) == []
        assert lease.still_ours()
