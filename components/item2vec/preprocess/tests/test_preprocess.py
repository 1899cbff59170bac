from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import main
import pytest
from stageio import run

HEADER = ("reviewerID", "asin", "overall", "unixReviewTime")
Row = tuple[Any, ...]


def preprocess(directory: Path, rows: list[Row], *flags: str, header: Row = HEADER) -> Path:
    records = directory / "input"
    records.mkdir(parents=True)
    with (records / "records.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    output = directory / "output"
    run(main.main, argv=["--input", str(records), "--output", str(output), *flags])
    return output


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def purchases(*sequence: tuple[str, str, int]) -> list[Row]:
    return [(user, item, 5.0, time) for user, item, time in sequence]


def some_purchases(seed: int) -> list[Row]:
    draw = random.Random(seed)
    return purchases(
        *(
            (f"u{draw.randrange(60)}", f"i{draw.randrange(30)}", draw.randrange(-50, 50))
            for _ in range(400)
        )
    )


def test_the_last_two_purchases_are_held_out(tmp_path: Path) -> None:
    rows = purchases(("u", "c", 30), ("u", "a", 10), ("u", "d", 40), ("u", "b", 20))
    output = preprocess(tmp_path, rows)
    assert read(output / "train.csv") == [["u", "a", "10"], ["u", "b", "20"]]
    assert read(output / "valid.csv") == [["u", "c", "30"]]
    assert read(output / "test.csv") == [["u", "d", "40"]]


def test_without_validation_all_but_the_last_purchase_are_trained_on(tmp_path: Path) -> None:
    rows = purchases(("u", "c", 30), ("u", "a", 10), ("u", "b", 20), ("v", "a", 1), ("v", "b", 2))
    output = preprocess(tmp_path, rows, "--validation=false")
    assert read(output / "train.csv") == [
        *(["u", "a", "10"], ["u", "b", "20"]),
        *(["v", "a", "1"], ["v", "b", "2"]),
    ]
    assert (output / "valid.csv").read_text() == "user,item,time\n"
    assert read(output / "test.csv") == [["u", "c", "30"]]


def test_purchases_of_one_time_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = purchases(*(("u", item, 7) for item in "zaybx"))
    output = preprocess(tmp_path, rows)
    assert [item for _, item, _ in read(output / "train.csv")] == ["z", "a", "y"]
    assert read(output / "valid.csv") == [["u", "b", "7"]]
    assert read(output / "test.csv") == [["u", "x", "7"]]


def test_times_before_1970_come_first(tmp_path: Path) -> None:
    rows = purchases(("u", "now", 0), ("u", "early", -86400), ("u", "late", 86400))
    output = preprocess(tmp_path, rows)
    assert read(output / "train.csv") == [["u", "early", "-86400"]]


def test_the_times_order_as_numbers(tmp_path: Path) -> None:
    output = preprocess(tmp_path, purchases(("u", "b", 10), ("u", "a", 9), ("u", "c", 100)))
    assert read(output / "train.csv") == [["u", "a", "9"]]


@pytest.mark.parametrize("seed", range(5))
def test_training_holds_no_purchase_that_is_held_out(tmp_path: Path, seed: int) -> None:
    rows = some_purchases(seed)
    output = preprocess(tmp_path, rows)
    train, valid, test = (read(output / f"{part}.csv") for part in ("train", "valid", "test"))
    given = Counter((str(user), str(item), str(time)) for user, item, _, time in rows)
    assert Counter(map(tuple, train + valid + test)) == given

    lengths = Counter(user for user, *_ in rows)
    held_out = {user for user, length in lengths.items() if length >= 3}
    assert {user for user, *_ in valid} == {user for user, *_ in test} == held_out
    valid_time = {user: int(time) for user, _, time in valid}
    assert all(int(time) <= valid_time[user] for user, _, time in train if user in held_out)
    assert all(int(time) >= valid_time[user] for user, _, time in test)


@pytest.mark.parametrize(("validation", "trained"), [("true", 3), ("false", 4)])
def test_training_does_not_depend_on_what_is_held_out(
    tmp_path: Path, validation: str, trained: int
) -> None:
    rows = purchases(*((user, f"{user}{time}", time) for user in "uvw" for time in range(5)))
    other = [
        (user, f"other{time}" if time >= trained else item, 5.0, time)
        for user, item, _, time in rows
    ]
    first, second = (
        preprocess(tmp_path / name, given, f"--validation={validation}")
        for name, given in (("1", rows), ("2", other))
    )
    assert (first / "train.csv").read_bytes() == (second / "train.csv").read_bytes()
    assert (first / "test.csv").read_bytes() != (second / "test.csv").read_bytes()
    counts = [
        {item: count for item, count in read(output / "items.csv") if count != "0"}
        for output in (first, second)
    ]
    assert counts[0] == counts[1]


def test_users_with_one_or_two_purchases_are_in_training_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = purchases(("one", "a", 1), ("two", "a", 1), ("two", "b", 2))
    output = preprocess(tmp_path, rows)
    assert len(read(output / "train.csv")) == 3
    assert (output / "valid.csv").read_text() == (output / "test.csv").read_text()
    assert (output / "test.csv").read_text() == "user,item,time\n"
    assert "2 users with fewer than 3" in capsys.readouterr().err


def test_repeated_purchases_of_an_item_are_kept_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = purchases(*(("u", "a", time) for time in range(4)))
    output = preprocess(tmp_path, rows)
    assert read(output / "train.csv") == [["u", "a", "0"], ["u", "a", "1"]]
    assert read(output / "test.csv") == [["u", "a", "3"]]
    assert "3 purchases repeat an item (kept)" in capsys.readouterr().err


def test_items_are_all_of_the_records_with_their_training_purchases(tmp_path: Path) -> None:
    rows = purchases(("u", "b", 1), ("u", "b", 2), ("u", "c", 3), ("u", "a", 4), ("v", "d", 1))
    output = preprocess(tmp_path, rows)
    assert read(output / "items.csv") == [["a", "0"], ["b", "2"], ["c", "0"], ["d", "1"]]


def test_split_counts_users_purchases_and_items(tmp_path: Path) -> None:
    rows = purchases(("u", "b", 1), ("u", "b", 2), ("u", "c", 3), ("u", "a", 4), ("v", "d", 1))
    output = preprocess(tmp_path, rows)
    assert read(output / "split.csv") == [
        ["train", "2", "3", "2"],
        ["valid", "1", "1", "1"],
        ["test", "1", "1", "1"],
    ]


def test_users_are_sorted(tmp_path: Path) -> None:
    rows = purchases(
        *((user, "a", time) for user in ("v", "ü", "V", "10", "9") for time in range(3))
    )
    output = preprocess(tmp_path, rows)
    assert [user for user, *_ in read(output / "test.csv")] == ["10", "9", "V", "v", "ü"]


def test_columns_are_chosen_by_name_and_others_ignored(tmp_path: Path) -> None:
    rows: list[Row] = [('text,\n"quoted"', time, "u", f"i{time}") for time in (3, 1, 2)]
    flags = ["--user-column=who", "--item-column=what", "--time-column=when"]
    output = preprocess(tmp_path, rows, *flags, header=("text", "when", "who", "what"))
    assert read(output / "train.csv") == [["u", "i1", "1"]]


def test_ids_may_hold_anything_and_be_long(tmp_path: Path) -> None:
    user, item = 'a, "b"\nc', "x" * 1_000_000
    output = preprocess(tmp_path, purchases((user, item, 1)))
    assert read(output / "train.csv") == [[user, item, "1"]]


def test_the_same_records_give_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    preprocess(tmp_path, some_purchases(1))
    outputs = []
    for seed in ("1", "2"):
        output = tmp_path / seed
        subprocess.run(
            [sys.executable, "main.py", "--input", tmp_path / "input", "--output", output],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
        outputs.append({path.name: path.read_bytes() for path in output.iterdir()})
    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == ["items.csv", "split.csv", "test.csv", "train.csv", "valid.csv"]


@pytest.mark.parametrize(
    ("rows", "flags", "message", "hint"),
    [
        ([], [], "records.csv: no records", "empty"),
        (
            purchases(("u", "a", 1)),
            ["--time-column=day"],
            "records.csv: line 1: no column 'day'",
            "--time-column: there are reviewerID, asin,",
        ),
        (
            purchases(("u", "a", 1)),
            ["--user-column=day"],
            "records.csv: line 1: no column 'day'",
            "--user-column: there are reviewerID",
        ),
        (
            [("u", "a", "line\nbreak", "1"), ("u", "b", "", "1.5")],
            [],
            "records.csv: line 4: unixReviewTime is not a whole number: '1.5'",
            "at most 18 digits",
        ),
        (
            [("u", "a", "", "9" * 5000)],
            [],
            "line 2: unixReviewTime is not a whole number: '9999",
            "at most 18 digits",
        ),
        (purchases(("u", "a", 1), ("", "b", 2)), [], "line 3: reviewerID is empty", "clean"),
        (purchases(("u", "", 1)), [], "line 2: asin is empty", "clean"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_no_output(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[Row],
    flags: list[str],
    message: str,
    hint: str,
) -> None:
    with pytest.raises(SystemExit) as exit_:
        preprocess(tmp_path, rows, *flags)
    error, advice = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 1
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert list((tmp_path / "output").iterdir()) == []


def test_a_missing_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "input").mkdir()
    with pytest.raises(SystemExit):
        run(main.main, argv=["--input", str(tmp_path / "input"), "--output", str(tmp_path / "o")])
    assert "no file records.csv" in capsys.readouterr().err
