"""Records of names: their moves, and how large they become."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.commands.name import MOST_CHANGES, moved
from daintree.store.backend import SMALL_RECORD_BYTES
from daintree.store.layout import name_path
from daintree.store.records import NameChange, NamedRun, NameRecord, encode
from tests.contract.runs import RUN, key_of, location_of

WHEN = "2026-03-01T10:15:00Z"
NAMED = NamedRun(RUN, location_of(RUN), key_of("content"), key_of("output"), "0" * 64)
EMPTY = NameRecord(pipeline="words", name="production")


def test_a_move_is_kept_with_who_when_and_why() -> None:
    first = moved(EMPTY, {"train": NAMED}, when=WHEN, by="ana", note="best so far")
    assert first.runs == {"train": NAMED}
    assert first.changes == (NameChange(WHEN, "ana", "best so far", {"train": RUN}),)
    removed = moved(first, {}, when=WHEN, by="ben", note="")
    assert removed.runs == {}
    assert removed.changes == (*first.changes, NameChange(WHEN, "ben"))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 20))
def test_a_record_stays_readable_however_often_it_is_moved(stages: int, moves: int) -> None:
    runs = {f"stage-{number}": NAMED for number in range(stages)}
    record = EMPTY
    for number in range(moves):
        record = moved(record, runs, when=WHEN, by="ana", note=f"{number} " + "x" * 2000)
    assert len(encode(record, name_path("words", "production"))) < SMALL_RECORD_BYTES
    assert record.changes[-1].note.startswith(f"{moves - 1} ")
    assert record.runs == runs


def test_the_oldest_of_many_moves_are_forgotten() -> None:
    record = EMPTY
    for number in range(MOST_CHANGES + 1):
        record = moved(record, {}, when=WHEN, by="ana", note=str(number))
    assert [change.note for change in record.changes] == [
        str(number) for number in range(1, MOST_CHANGES + 1)
    ]
