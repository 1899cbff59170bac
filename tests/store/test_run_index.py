"""The index of runs: what it finds, that it follows the history, and that no damage to it is lasting."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.errors import UsageError
from daintree.store.records import HistoryEntry, InputRecord, history_entry_of
from daintree.store.run_index import Condition, Query, RunIndex, opened
from daintree.store.store import Store, directory_store
from tests.contract.runs import key_of, manifest_of, publish, publish_failed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return directory_store(tmp_path / "store")


@pytest.fixture
def index(store: Store, tmp_path: Path) -> RunIndex:
    return RunIndex(store, tmp_path / "caches")


def entry(number: int, metrics: dict[str, float] | None = None, **changed: object) -> HistoryEntry:
    """The history entry of a run that needs no output in the store; higher numbers are later."""
    run = f"202603{number // 1440 + 1:02d}T{number % 1440 // 60:02d}{number % 60:02d}00000Z-{number:08x}"
    day, time = run[:8], run[9:15]
    started = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}Z"
    fields: dict[str, Any] = {"location": f"at/{run}", "started": started, **changed}
    return history_entry_of(manifest_of(run, **fields), metrics or {})


def add(store: Store, *entries: HistoryEntry) -> None:
    for each in entries:
        store.records.add_history(each)


def runs(index: RunIndex, **query: object) -> list[int]:
    """The numbers of the runs that a query chooses, in its order."""
    page = index.find(Query(**query))  # type: ignore[arg-type]
    return [int(run.run.rpartition("-")[2], 16) for run in page.runs]


def test_it_holds_what_the_history_holds(store: Store, index: RunIndex) -> None:
    publish(store, "20260301T101500000Z-00000001", {"metrics.json": b'{"a": 0.5}'})
    publish_failed(store, "20260301T101500000Z-00000002")
    assert index.refresh() == 2
    assert index.find(Query()).runs == list(store.history())
    assert index.find(Query(result="succeeded")).runs[0].metrics == {"a": 0.5}


def test_only_what_is_new_is_read(store: Store, index: RunIndex, tmp_path: Path) -> None:
    add(store, entry(1), entry(3))
    assert index.refresh("words") == 2
    assert index.refresh("words") == 0
    # A cluster's runs and another machine's may be recorded late.
    add(store, entry(2))
    with opened(store, tmp_path / "caches") as again:
        assert again.refresh("words", "train") == 1
        assert runs(again) == [3, 2, 1]


def test_the_newest_may_be_read_alone_and_the_others_later(store: Store, index: RunIndex) -> None:
    add(store, *(entry(n, stage=f"s{n % 2}") for n in (1, 2, 3)), entry(4, pipeline="more"))
    assert index.refresh("words", newest=2) == 2
    assert runs(index) == [3, 2]
    assert index.refresh("words") == 1
    assert index.refresh() == 1
    assert runs(index) == [4, 3, 2, 1]


def test_what_is_gone_from_the_history_is_gone(store: Store, index: RunIndex) -> None:
    add(store, entry(1), entry(2, stage="other"), entry(3, pipeline="more"))
    index.refresh()
    store.records.backend.delete([entry(2, stage="other").path])
    index.refresh("words")
    assert runs(index) == [3, 1]
    store.empty()
    index.refresh()
    assert index.find(Query()) == ([], 0)


def test_runs_are_chosen(store: Store, index: RunIndex) -> None:
    add(
        store,
        entry(1, {"a": 0.1}, user="ana", commit="abc1", parameters={"n": 1, "mode": "x"}),
        entry(2, {"a": 0.2}, user="ben", commit="abd2", parameters={"n": 10, "mode": "y"}),
        entry(1500, {}, user="ana", commit="abc3", parameters={"n": 2.5}, stage="other"),
        entry(1501, {"a": 3.0}, pipeline="more", parameters={"n": "1"}),
    )
    index.refresh()
    words = {"pipeline": "words"}
    assert runs(index) == [1501, 1500, 2, 1]
    assert runs(index, **words, stage="train") == [2, 1]
    assert runs(index, person="ana") == [1500, 1]
    assert runs(index, commit="abc") == [1500, 1]
    assert runs(index, since="2026-03-02") == [1501, 1500]
    assert runs(index, until="2026-03-01") == [2, 1]
    assert runs(index, conditions=(Condition("a", ">=", "0.2"),)) == [1501, 2]
    # A number compares with a number, a text with a text.
    assert runs(index, conditions=(Condition("n", "<", "5"),)) == [1501, 1500, 1]
    assert runs(index, conditions=(Condition("n", "=", "1.0"),)) == [1]
    assert runs(index, conditions=(Condition("n", "<", "word"),)) == [1501]
    assert runs(index, conditions=(Condition("train.n", "=", "1"),)) == [1501, 1]
    both = (Condition("mode", "!=", "x"), Condition("a", "<", "1"))
    assert runs(index, conditions=both) == [2]


@pytest.mark.parametrize(("word", "number"), [("true", 1), ("false", 2)])
def test_true_and_false_are_words(store: Store, index: RunIndex, word: str, number: int) -> None:
    add(store, entry(1, parameters={"fold": True}), entry(2, parameters={"fold": False}))
    index.refresh()
    assert runs(index, conditions=(Condition("fold", "=", word),)) == [number]


def test_runs_are_sorted_and_paged(store: Store, index: RunIndex) -> None:
    for number in range(10):
        metrics = {"a": float(number % 4)} if number % 4 else {}
        add(store, entry(number, metrics, seconds=float(9 - number), parameters={"n": number}))
    index.refresh()
    assert runs(index, order="metric:a") == [7, 3, 6, 2, 9, 5, 1, 8, 4, 0]
    assert runs(index, order="metric:a", descending=False)[:3] == [9, 5, 1]
    assert runs(index, order="seconds", limit=3) == [0, 1, 2]
    page = index.find(Query(order="parameter:n", limit=3, offset=6))
    assert ([e.parameters["n"] for e in page.runs], page.total) == ([3, 2, 1], 10)
    assert len(runs(index, limit=0)) == 10


@pytest.mark.parametrize("order", ["", "nothing", "run; DROP TABLE runs", "other:a", "metric"])
def test_an_unknown_order_is_refused(index: RunIndex, order: str) -> None:
    with pytest.raises(UsageError, match="no order"):
        index.find(Query(order=order))
    with pytest.raises(UsageError, match="no operator"):
        index.find(Query(conditions=(Condition("a", "; --", "1"),)))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS, TEXTS)
def test_any_values_are_data(
    tmp_path_factory: pytest.TempPathFactory, parameters: dict[str, object], name: str, text: str
) -> None:
    directory = tmp_path_factory.mktemp("index")
    store = directory_store(directory / "store")
    written = entry(1, parameters=parameters, user=text, failure=text)
    add(store, written)
    with opened(store, directory / "caches") as index:
        index.refresh()
        assert index.find(Query(person=text, order=f"parameter:{name}")).runs == [written]
        texts = {name: value for name, value in parameters.items() if isinstance(value, str)}
        every = tuple(Condition(name, "=", value) for name, value in texts.items())
        assert index.find(Query(conditions=every)).runs == [written]
        assert index.varied_parameters(Query(person=text)) == []


def test_the_latest_runs_of_each_stage(store: Store, index: RunIndex) -> None:
    add(store, *(entry(number) for number in range(5)), entry(7, stage="other"))
    add(store, entry(8, pipeline="elsewhere"))
    index.refresh()
    latest = index.latest("words", 2)
    assert {stage: [e.run for e in entries] for stage, entries in latest.items()} == {
        "train": [entry(4).run, entry(3).run],
        "other": [entry(7).run],
    }
    assert not index.is_lost


def test_choices_and_columns(store: Store, index: RunIndex) -> None:
    add(store, entry(1, {"b": 1.0}, user="ana", parameters={"n": 1, "m": 1}))
    add(store, entry(2, {"b": 2.0, "a.c": 1.0}, user="ben", parameters={"n": 1.5, "m": 1}))
    add(store, entry(3, {"c": 1.0}, user="ana", stage="other", parameters={"m": 2}))
    add(store, entry(4, {"z": 1.0}, user="eve", pipeline="elsewhere", parameters={"m": 3}))
    index.refresh("words")
    words = Query(pipeline="words")
    assert index.stages("words") == ["other", "train"]
    assert index.people("words") == ["ana", "ben"]
    assert index.metrics(words) == ["b", "c", "a.c"]
    assert index.metrics(Query(pipeline="words", stage="other")) == ["c"]
    add(store, entry(5, {"b": 1.0, "a.c": 2.0, "c": 1.0}, stage="other", parameters={"m": 2}))
    index.refresh("words")
    # What is the same in all runs tells them apart least.
    assert index.metrics(words) == ["b", "a.c", "c"]
    # Each stage has its own parameters.
    assert index.varied_parameters(words) == ["n"]
    assert index.varied_parameters(Query(pipeline="words", person="ana")) == []


def test_the_runs_that_read_a_run(store: Store, index: RunIndex) -> None:
    reads = InputRecord("train", key_of("output"), entry(1).location)
    source = InputRecord("", key_of("output"), entry(1).location)
    add(store, entry(1), entry(2, stage="join", inputs=(reads,)), entry(3, inputs=(source,)))
    add(store, entry(4, stage="join", inputs=(reads,), reason=f"after {entry(1).location}"))
    add(store, entry(5, reason=f"after {entry(1).location}"))
    index.refresh()
    readers = index.readers("words", entry(1).location)
    assert [reader.run for reader in readers] == [entry(4).run, entry(2).run]


def test_a_run_is_found_by_its_place(store: Store, index: RunIndex) -> None:
    source = InputRecord("", key_of("source"), "data.csv")
    add(store, entry(1, inputs=(source,)))
    index.refresh()
    run = index.at(entry(1).location)
    assert run is not None
    assert run.inputs == (source,)
    assert index.at("at/nothing") is None


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for place in range(100, len(content), 7):
        content[place] ^= 0xFF
    file.write_bytes(content)


def older(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE facts")
        database.execute("CREATE TABLE facts (x)")
        database.execute("PRAGMA user_version = 0")
    database.close()


def without_table(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE facts")
    database.close()


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        older,
        without_table,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no database at all" * 100),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
    ],
)
def test_a_damaged_database_is_made_anew(
    store: Store, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    add(store, *(entry(number, {"a": float(number)}) for number in range(50)))
    with opened(store, tmp_path / "caches") as index:
        index.refresh()
    [file] = (tmp_path / "caches").rglob("*.sqlite")
    damage(file)
    with opened(store, tmp_path / "caches") as index:
        index.refresh()
        assert runs(index, order="metric:a", limit=2) == [49, 48]
        assert index.find(Query()).total == 50
    with opened(store, tmp_path / "caches") as index:
        assert index.refresh() == 0


def test_damage_while_it_is_used_loses_no_run(store: Store, index: RunIndex) -> None:
    add(store, *(entry(number) for number in range(5)))
    index.refresh("words")
    assert index._file is not None
    index.close()
    index._file.write_bytes(b"no database" * 1000)
    assert runs(index) == [4, 3, 2, 1, 0]


def test_without_a_place_to_write_it_is_made_in_memory(store: Store, tmp_path: Path) -> None:
    add(store, entry(1))
    (tmp_path / "caches").write_text("a file")
    with opened(store, tmp_path / "caches") as index:
        assert index.refresh() == 1
        assert runs(index) == [1]
        assert index.is_lost


def test_several_fill_it_at_once(store: Store, tmp_path: Path) -> None:
    add(store, *(entry(number) for number in range(200)))
    totals: list[int] = []

    def fill() -> None:
        with opened(store, tmp_path / "caches") as index:
            index.refresh()
            totals.append(index.find(Query()).total)

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [200] * 4
