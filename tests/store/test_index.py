"""Records over any objects: what they do when others come between their reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from daintree.errors import StoreError
from daintree.store import index as records_module
from daintree.store.index import Records, history_path
from daintree.store.records import encode
from tests.contract.runs import OTHER_RUN, RUN, key_of, manifest_of, record_of

KEY = key_of("key")
PATH = f"_cache/{KEY[7:]}"


class MeddledObjects:
    """Objects in memory; before each write somebody else has a go at them."""

    def __init__(self, *meddling: Callable[[dict[str, bytes]], object]) -> None:
        self.held: dict[str, bytes] = {}
        self._meddling = list(meddling)
        self.reads = 0

    def _meddle(self) -> None:
        if self._meddling:
            self._meddling.pop(0)(self.held)

    def get(self, paths: Sequence[str]) -> list[bytes | None]:
        self.reads += 1
        return [self.held.get(path) for path in paths]

    def create(self, path: str, content: bytes) -> bool:
        self._meddle()
        return self.held.setdefault(path, content) is content

    def put(self, path: str, content: bytes) -> None:
        self.held[path] = content

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        self._meddle()
        if self.held.get(path) != old:
            return False
        self.held[path] = new
        return True

    def list(self, prefix: str) -> list[str]:
        return [path for path in self.held if path.startswith(f"{prefix}/")]


def set_to(content: bytes) -> Callable[[dict[str, bytes]], object]:
    """Somebody writes this."""
    return lambda held: held.__setitem__(PATH, content)


def remove(held: dict[str, bytes]) -> None:
    """Somebody removes it."""
    held.pop(PATH, None)


def test_who_comes_first_wins() -> None:
    theirs = record_of(OTHER_RUN)
    records = Records(MeddledObjects(set_to(encode(theirs))))
    assert records.publish_index(KEY, record_of(RUN), None) == theirs
    assert records.lookup([KEY]) == [theirs]


def test_what_came_first_and_is_broken_is_replaced() -> None:
    records = Records(MeddledObjects(set_to(b"broken")))
    assert records.publish_index(KEY, record_of(), None) == record_of()
    assert records.lookup([KEY]) == [record_of()]


def test_what_came_first_and_went_again_is_created_anew() -> None:
    objects = MeddledObjects(set_to(b"broken"), remove)
    assert Records(objects).publish_index(KEY, record_of(), None) == record_of()
    assert objects.held == {PATH: encode(record_of())}


def test_who_replaces_between_wins() -> None:
    old, theirs = record_of("old"), record_of(OTHER_RUN)
    objects = MeddledObjects(set_to(encode(theirs)))
    objects.held[PATH] = encode(old)
    assert Records(objects).publish_index(KEY, record_of(RUN), old) == theirs


def test_the_same_record_in_other_bytes_is_replaced() -> None:
    objects = MeddledObjects()
    objects.held[PATH] = b" " + encode(record_of("old"))
    new = record_of(RUN)
    assert Records(objects).publish_index(KEY, new, record_of("old")) == new


def test_it_does_not_try_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MOST_ATTEMPTS", 3)
    objects = MeddledObjects(*[set_to(bytes([n])) for n in range(9)])
    with pytest.raises(StoreError, match=f"record of {KEY} can be neither read nor written"):
        Records(objects).publish_index(KEY, record_of(), None)
    assert objects.reads == 3


def test_all_keys_are_looked_up_in_one_round() -> None:
    objects = MeddledObjects()
    assert Records(objects).lookup([key_of(n) for n in range(50)]) == [None] * 50
    assert objects.reads == 1


def test_an_entry_whose_run_is_gone_is_passed_over() -> None:
    records = Records(MeddledObjects())
    records.add_history(manifest_of())
    assert records.stages_with_history(None) == [("words", "train")]
    assert list(records.history("words", "train")) == []
    assert records.find_run(RUN) is None


def test_the_history_lies_where_it_always_did() -> None:
    objects = MeddledObjects()
    Records(objects).add_history(manifest_of())
    assert history_path(manifest_of()) == f"_history/words/train/{RUN}"
    assert list(objects.held) == [history_path(manifest_of())]
