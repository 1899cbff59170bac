"""What past runs measured, over a real store."""

from __future__ import annotations

import csv
import json

import pytest

from daintree.commands.metrics import (
    Measured,
    best_first,
    measured,
    metrics_csv,
    metrics_table,
    read_metrics,
)
from daintree.store.records import HistoryEntry, InputRecord, RunManifest
from daintree.store.store import Store
from tests.contract.runs import key_of, location_of, publish, publish_failed

COMMIT = "0123456789" * 4


def run_id(number: int) -> str:
    return f"20260301T10150000{number}Z-0000000{number}"


def evaluated(store: Store, number: int, content: object, **changed: object) -> RunManifest:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return publish(
        store, run_id(number), {"metrics.json": text}, **{"stage": "evaluate", **changed}
    )


def entry_of(run: RunManifest, store: Store) -> HistoryEntry:
    return next(entry for entry in store.history() if entry.run == run.run)


def test_numbers_are_named_by_their_path_and_all_else_left_out(store: Store) -> None:
    content = {"test": {"hr@10": 0.5, "whole": 3}, "on": True, "list": [1], "text": "x", "no": None}
    run = evaluated(store, 1, content)
    assert read_metrics(entry_of(run, store), store) == {"test.hr@10": 0.5, "test.whole": 3}
    assert isinstance(entry_of(run, store).metrics["test.whole"], int)


def test_a_run_without_the_file_and_a_failed_run_have_no_metrics(store: Store) -> None:
    assert read_metrics(entry_of(publish(store), store), store) is None
    assert read_metrics(entry_of(publish_failed(store, run_id(2)), store), store) is None


@pytest.mark.parametrize(
    "content",
    [
        *(b"{", b"[1]", b"\xff", b'{"a": NaN}', b"[" * 100_000),
        *(b'{"a": 1e999}', b'{"a": 1' + b"0" * 400 + b"}"),
    ],
)
def test_what_is_no_json_object_is_refused(store: Store, content: bytes) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        read_metrics(entry_of(evaluated(store, 1, content), store), store)


def test_what_decided_a_run_is_found_through_its_inputs(store: Store) -> None:
    source = InputRecord("", key_of("source"), "data.json")
    load = publish(store, run_id(1), stage="load", inputs=(source,), parameters={"strict": True})
    needed = InputRecord("load", key_of("x"), load.location)
    train = publish(store, run_id(2), stage="train", inputs=(needed,), parameters={"epochs": 5})
    lost = InputRecord("lost", key_of("x"), location_of(run_id(9)))
    needs = (InputRecord("train", key_of("y"), train.location), needed, lost)
    run = evaluated(store, 3, {"a": 1}, inputs=needs, parameters={"top": 3}, commit=COMMIT)
    (row,) = measured([(run, {"a": 1.0})], store)
    assert row.parameters == {"evaluate.top": 3, "train.epochs": 5, "load.strict": True}
    assert set(row.versions) == {"evaluate", "train", "load"}
    assert (row.source, row.commit, row.previous, row.difference) == ("data.json", COMMIT, "", {})


def test_the_difference_is_to_the_run_before_of_the_same_stage(store: Store) -> None:
    runs = [
        (evaluated(store, 3, {}), {"a": 0.3, "new": 1.0}),
        (evaluated(store, 2, {}, stage="other"), {"a": 9.0}),
        (evaluated(store, 1, {}), {"a": 0.1, "old": 1.0}),
    ]
    newest, other, oldest = measured(runs, store)
    assert (newest.previous, newest.difference) == (run_id(1), {"a": 0.2})
    assert (other.previous, oldest.previous) == ("", "")


def test_the_difference_is_to_the_run_with_the_fewest_other_parameters(store: Store) -> None:
    def tried(number: int, score: float, **parameters: int) -> tuple[RunManifest, dict[str, float]]:
        return evaluated(store, number, {}, parameters=parameters), {"a": score}

    rows = measured(
        [
            tried(4, 0.4, epochs=20, dimension=32, seed=1),
            tried(3, 0.3, epochs=50, dimension=64, seed=2),
            tried(2, 0.2, epochs=10, dimension=32, seed=1),
            tried(1, 0.1, epochs=20, dimension=32, seed=9),
        ],
        store,
    )
    assert [r.previous for r in rows] == [run_id(2), run_id(2), run_id(1), ""]
    assert rows[0].difference == {"a": 0.2}


def test_values_have_the_digits_that_tell_them_apart_and_lines_fit() -> None:
    rows = [row("r1", a=0.123456), row("r2", a=0.123457), row("r3", a=0.5)]
    assert [line.split()[2] for line in metrics_table(rows, ["a"])[1:]] == [
        "0.123456",
        "0.123457",
        "0.500000",
    ]
    assert max(map(len, metrics_table(rows, ["a"], width=20))) == 20


def test_whole_numbers_are_shown_as_people_wrote_them() -> None:
    rows = [row("r1", a=142, b=1), row("r2", a=1234567.0, b=0.5)]
    table = [line.split() for line in metrics_table(rows, ["a", "b"])]
    assert [cells[2:4] for cells in table[1:]] == [["142", "1.0000"], ["1234567", "0.5000"]]
    assert metrics_csv(rows[:1]).splitlines()[1].startswith("r1,evaluate,142,1,")


def test_csv_has_everything_with_all_its_digits() -> None:
    first = Measured(
        run="r1",
        stage="s",
        metrics={"a": 0.1234567890123},
        parameters={"s.x": "a,b"},
        commit="c0ffee",
        dirty=True,
    )
    assert list(csv.reader(metrics_csv([first, row("r2", b=1)]).splitlines())) == [
        ["run", "stage", "a", "b", "s.x", "commit", "dirty", "finished"],
        ["r1", "s", "0.1234567890123", "", "a,b", "c0ffee", "true", ""],
        ["r2", "evaluate", "", "1", "", "", "false", ""],
    ]


def row(run: str, difference: float | None = None, **metrics: float) -> Measured:
    gained = {} if difference is None else dict.fromkeys(metrics, difference)
    return Measured(run=run, stage="evaluate", metrics=metrics, difference=gained)


def test_the_best_come_first_and_those_without_the_metric_last() -> None:
    rows = [row("none"), row("low", a=-1), row("high", a=2), row("as high", a=2)]
    assert [r.run for r in best_first(rows, ["a"], lowest=False)] == [
        "high",
        "as high",
        "low",
        "none",
    ]
    assert [r.run for r in best_first(rows, ["a"], lowest=True)] == [
        "low",
        "high",
        "as high",
        "none",
    ]


def test_the_next_metric_decides_between_those_equal_in_the_first() -> None:
    rows = [row("r1", a=1, b=1), row("r2", a=2, b=1), row("r3", a=2), row("r4", a=2, b=3)]
    assert [r.run for r in best_first(rows, ["a", "b"], lowest=False)] == ["r4", "r2", "r3", "r1"]
    assert [r.run for r in best_first(rows, ["a", "b"], lowest=True)] == ["r1", "r2", "r4", "r3"]


def test_what_was_swept_is_shown_also_of_a_single_run() -> None:
    alone = Measured(run="r1", stage="s", metrics={"a": 1}, parameters={"s.x": 3, "s.y": 4})
    assert metrics_table([alone], ["a"])[1].split()[-1] == "-"
    assert metrics_table([alone], ["a"], always=["s.x"])[1].split()[-1] == "s.x=3"


def test_the_table_shows_only_what_differs_among_the_runs() -> None:
    shared: dict[str, object] = {"stage": "evaluate", "source": "data.json"}
    rows = [
        Measured(
            run="r2",
            metrics={"a": 0.5},
            difference={"a": 0.25},
            parameters={"train.epochs": 20, "train.seed": 1},
            versions={"train": "sha256:" + "1" * 64},
            commit=COMMIT,
            dirty=True,
            **shared,  # type: ignore[arg-type]
        ),
        Measured(
            run="r1",
            metrics={},
            parameters={"train.epochs": 50, "train.seed": 1},
            versions={"train": "sha256:" + "2" * 64},
            **shared,  # type: ignore[arg-type]
        ),
    ]
    assert metrics_table(rows, ["a"]) == [
        "run  stage     a                 commit     differs in",
        "r2   evaluate  0.5000 (+0.2500)  01234567+  train.epochs=20 train@version=11111111",
        "r1   evaluate  -                 -          train.epochs=50 train@version=22222222",
    ]
