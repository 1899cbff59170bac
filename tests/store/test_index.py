"""Records over any objects: what they do when others come between their reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest

from daintree.errors import StoreError
from daintree.store import index as records_module
from daintree.store.backend import Content, Entry
from daintree.store.index import Records
from daintree.store.layout import run_path
from daintree.store.records import (
    SCHEMA,
    FileEntry,
    Tombstone,
    artifact_of,
    encode,
    history_entry_of,
    index_record_of,
)
from tests.contract.runs import OTHER_RUN, RUN, key_of, manifest_of, record_of

KEY = key_of("key")
PATH = f"_cache/{KEY[7:]}"
# Whoever is asked to warn, says it here.
warnings: list[str] = []


class MeddledObjects:
    """A backend in memory; before each write somebody else has a go at them."""

    def __init__(self, *meddling: Callable[[dict[str, bytes]], object]) -> None:
        self.held: dict[str, bytes] = {}
        self._meddling = list(meddling)
        self.reads = 0

    url = "memory"

    def _meddle(self) -> None:
        if self._meddling:
            self._meddling.pop(0)(self.held)

    def get_many(self, paths: Sequence[str], limit: int = 0) -> list[Content]:
        self.reads += 1
        return [self.held.get(path) for path in paths]

    def create(self, path: str, content: bytes) -> bool:
        self._meddle()
        return self.held.setdefault(path, content) is content

    def put(self, path: str, content: bytes) -> None:
        self.held[path] = content

    def replace(self, path: str, old: Content, new: bytes) -> bool:
        self._meddle()
        if self.held.get(path) != old:
            return False
        self.held[path] = new
        return True

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for path in sorted(self.held):
            if path.startswith(f"{prefix}/"):
                yield Entry(path, len(self.held[path]), 0)

    def children(self, prefix: str) -> Sequence[str]:
        below = [p.removeprefix(f"{prefix}/") for p in self.held if p.startswith(f"{prefix}/")]
        return sorted({path.partition("/")[0] for path in below if "/" in path})

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.held.pop(path, None)

    def delete_below(self, prefix: str) -> None:
        self.delete([entry.path for entry in list(self.list(prefix))])


def set_to(content: bytes) -> Callable[[dict[str, bytes]], object]:
    """Somebody writes this."""
    return lambda held: held.__setitem__(PATH, content)


def remove(held: dict[str, bytes]) -> None:
    """Somebody removes it."""
    held.pop(PATH, None)


def test_who_comes_first_wins() -> None:
    theirs = record_of(OTHER_RUN)
    records = Records(MeddledObjects(set_to(encode(theirs, PATH))), pytest.fail)
    assert records.publish_index(KEY, record_of(RUN), None) == theirs
    assert records.lookup([KEY]) == [theirs]


def test_what_came_first_and_is_broken_is_replaced() -> None:
    records = Records(MeddledObjects(set_to(b"broken")), warnings.append)
    assert records.publish_index(KEY, record_of(), None) == record_of()
    assert records.lookup([KEY]) == [record_of()]


def test_what_came_first_and_went_again_is_created_anew() -> None:
    objects = MeddledObjects(set_to(b"broken"), remove)
    assert Records(objects, warnings.append).publish_index(KEY, record_of(), None) == record_of()
    assert objects.held == {PATH: encode(record_of(), PATH)}


def test_who_replaces_between_wins() -> None:
    old, theirs = record_of("old"), record_of(OTHER_RUN)
    objects = MeddledObjects(set_to(encode(theirs, PATH)))
    objects.held[PATH] = encode(old, PATH)
    assert Records(objects, warnings.append).publish_index(KEY, record_of(RUN), old) == theirs


def test_it_does_not_try_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MOST_ATTEMPTS", 3)
    objects = MeddledObjects(*[set_to(bytes([n])) for n in range(9)])
    with pytest.raises(StoreError, match=f"record of {KEY} can be neither read nor written"):
        Records(objects, warnings.append).publish_index(KEY, record_of(), None)
    assert objects.reads == 3


def test_all_keys_are_looked_up_in_one_round() -> None:
    objects = MeddledObjects()
    assert Records(objects, warnings.append).lookup([key_of(n) for n in range(50)]) == [None] * 50
    assert objects.reads == 1


def test_an_entry_whose_run_is_gone_is_a_summary_still() -> None:
    records = Records(MeddledObjects(), pytest.fail)
    entry = history_entry_of(manifest_of(), {})
    records.add_history(entry)
    assert records.stages_with_history(None) == [("words", "train")]
    assert list(records.history("words", "train")) == [entry]
    assert records.find_run(RUN) is None


def test_the_history_lies_where_it_sorts_newest_first() -> None:
    objects = MeddledObjects()
    Records(objects, pytest.fail).add_history(history_entry_of(manifest_of(), {}))
    assert list(objects.held) == [f"_history/words/train/79739698/898499999-{RUN}"]


def test_a_history_of_all_stages_is_merged_newest_first() -> None:
    objects = MeddledObjects()
    records = Records(objects, pytest.fail)
    runs = [f"202603{day:02}T101500000Z-0000000{day % 10}" for day in range(1, 30)]
    for number, run in enumerate(runs):
        entry = history_entry_of(manifest_of(run, stage=f"stage-{number % 3}"), {})
        records.add_history(entry)
    assert [entry.run for entry in records.history()] == runs[::-1]
    assert [entry.run for entry in records.history("words")] == runs[::-1]
    assert [entry.run for entry in records.history("words", "stage-1")] == runs[1::3][::-1]
    objects.reads = 0
    first = records.history()
    assert [next(first).run for _ in range(3)] == runs[:-4:-1]
    assert objects.reads == 2


NO_RECORDS = {
    "damaged": (b"{", "is damaged"),
    "older": (b'{"schema":1}', "was made by an older version"),
    "collected": (
        encode(Tombstone(retired=record_of(), when="2026-03-02T00:00:00Z", by="ada"), PATH),
        "output collected (2026-03-02, ada)",
    ),
}


@pytest.mark.parametrize(("content", "reason"), NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_counts_for_nothing_is_a_miss_with_a_reason_and_is_replaced(
    content: bytes, reason: str
) -> None:
    objects = MeddledObjects()
    objects.held[PATH] = content
    records = Records(objects, warnings.append)
    assert records.lookup([KEY]) == [None]
    assert records.fault(KEY).endswith(reason)
    assert records.publish_index(KEY, record_of(), None) == record_of()
    assert records.lookup([KEY]) == [record_of()]
    assert records.fault(KEY) == ""


@pytest.mark.parametrize(
    "content",
    [
        b'{"schema": 99, "run": "of the future"}',
        encode(record_of(schema=SCHEMA + 1), PATH),
        b'{"schema":%d}' % (SCHEMA + 1),
    ],
)
def test_a_newer_record_is_a_miss_with_a_warning_and_is_never_overwritten(content: bytes) -> None:
    objects, lines = MeddledObjects(), list[str]()
    objects.held[PATH] = content
    records = Records(objects, lines.append)
    assert records.lookup([KEY]) == [None] == records.lookup([KEY])
    assert [line.count("newer version") for line in lines] == [1]
    assert records.publish_index(KEY, record_of(), None) == record_of()
    assert records.publish_index(KEY, record_of(), record_of(OTHER_RUN)) == record_of()
    assert objects.held == {PATH: content}


def test_a_key_is_retired_only_from_the_record_that_was_read() -> None:
    records = Records(MeddledObjects(), pytest.fail)
    records.publish_index(KEY, record_of(), None)
    assert not records.retire(KEY, record_of(OTHER_RUN), when="2026-03-02", by="ada")
    assert records.lookup([KEY]) == [record_of()]
    assert records.retire(KEY, record_of(), when="2026-03-02", by="ada")
    assert records.lookup([KEY]) == [None]
    [(key, tombstone)] = records.index()
    assert (key, tombstone) == (KEY, Tombstone(retired=record_of(), when="2026-03-02", by="ada"))
    assert records.publish_index(KEY, record_of(OTHER_RUN), record_of()) == record_of(OTHER_RUN)


@pytest.mark.parametrize("changed", [{"content": key_of("another")}, {"record": "f" * 64}])
def test_a_run_record_is_believed_only_under_what_led_to_it(changed: dict[str, str]) -> None:
    objects = MeddledObjects()
    manifest = manifest_of(output=artifact_of([FileEntry("a", 1, "a" * 64)]))
    path = run_path(manifest.location)
    objects.held[path] = encode(manifest, path)
    records = Records(objects, pytest.fail)
    record = index_record_of(manifest)
    assert records.read_run(manifest.location, record) == manifest
    assert records.read_run(manifest.location, msgspec.structs.replace(record, **changed)) is None
