from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import main
import pandas as pd
import pytest
from stageio import StageError, read_table, write_table

DEFAULTS: dict[str, object] = {
    "missing": "",
    "types": "",
    "on_invalid": "fail",
    "required": "",
    "on_missing": "drop",
    "duplicates": "drop",
    "user_column": "reviewerID",
    "item_column": "asin",
    "min_user": 0,
    "min_item": 0,
}

Clean = Callable[..., list[list[str]]]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "output"
    directory.mkdir()
    return directory


@pytest.fixture
def clean(tmp_path: Path, output: Path) -> Clean:
    """Cleans a table of the given rows and returns the rows that are left."""

    def rows_left(header: str, rows: list[list[str]], **parameters: object) -> list[list[str]]:
        source = tmp_path / "input"
        source.mkdir()
        table = pd.DataFrame(rows, columns=header.split(","), dtype="str")
        write_table(source / "records.csv", table)
        main.main(input=source, output=output, **{**DEFAULTS, **parameters})  # type: ignore[arg-type]
        return read_table(output / "records.csv").to_numpy().tolist()

    return rows_left


def test_the_defaults_drop_nothing_but_equal_rows(
    clean: Clean, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [["1", " x "], ["", "a\r\nb"], ["1", "x"], ["", ""], ["01", "x"], ['"', "\0,"]]
    assert clean("a,b", [*rows, ["1", "x"], ["", ""]]) == rows
    assert capsys.readouterr().err == "rows kept: 6, dropped: 2 duplicate\n"


def test_texts_that_stand_for_nothing_are_empty_cells(clean: Clean) -> None:
    rows = [["\\N", "1"], ["a", "NA"], ["N", "2"]]
    kept = clean("u,n", rows, missing="\\N, NA", types="n:int", required="u")
    assert kept == [["a", ""], ["N", "2"]]


def test_a_review_of_the_2014_files_stays_as_it_is(clean: Clean) -> None:
    header = (
        "reviewerID,asin,reviewerName,helpful,reviewText,overall,summary,unixReviewTime,reviewTime"
    )
    review = [
        "A1",
        "B1",
        "",
        "[2,3]",
        'Good.\n\n"Very" good,\r\nit is.',
        "5.0",
        "",
        "1",
        "01 30, 2014",
    ]
    assert clean(header, [review]) == [review]


@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        (
            "int",
            ["42", "-042", "+7", "42.0", " 5 ", "", "9" * 30],
            ["42", "-42", "7", "42", "5", "", "9" * 30],
        ),
        (
            "float",
            ["5", "1.10", ".5", "1e3", "-0.0", " "],
            ["5.0", "1.1", "0.5", "1000.0", "-0.0", ""],
        ),
        (
            "bool",
            ["true", "FALSE", "1", "0", "Yes", "no", "T", "f", "1.0", "0.0", ""],
            [*["true", "false"] * 5, ""],
        ),
        ("str", ["x", " y "], ["x", "y"]),
    ],
)
def test_a_typed_cell_is_written_in_one_form(
    clean: Clean, kind: str, cells: list[str], expected: list[str]
) -> None:
    rows = [[cell] for cell in cells]
    assert clean("a", rows, types=f"a:{kind}", duplicates="keep") == [[cell] for cell in expected]


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("int", "1.5"), ("int", "1_000"), ("int", "٣"), ("int", "x"), ("int", "9" * 5000),
        ("float", "nan"), ("float", "inf"), ("float", "1e999"), ("float", "1_0.5"), ("float", "."),
        ("bool", "maybe"), ("bool", "2"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_an_error_with_its_line_or_drops_the_row(
    clean: Clean, tmp_path: Path, output: Path, kind: str, cell: str
) -> None:
    rows = [["first\nrow", ""], ["second", cell]]
    with pytest.raises(StageError) as caught:
        clean("a,b", rows, types=f"b:{kind}")
    place = f"{tmp_path / 'input' / 'records.csv'}: line 4: b: '{cell[:40]}"
    assert caught.value.message.startswith(place)
    assert caught.value.message.endswith(f" is no {kind}")
    assert caught.value.hint == "on_invalid: drop leaves such rows out (--on-invalid drop)"
    assert list(output.iterdir()) == []
    (tmp_path / "input" / "records.csv").unlink()
    (tmp_path / "input").rmdir()
    assert clean("a,b", rows, types=f"b:{kind}", on_invalid="drop") == rows[:1]


def test_a_row_that_lacks_a_required_cell_is_dropped(
    clean: Clean, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [["1", "x", ""], ["", "x", "y"], ["2", " ", "y"], ["3", "y", "z"]]
    assert clean("a,b,c", rows, required="a, b") == [rows[0], rows[3]]
    assert capsys.readouterr().err == "rows kept: 2, dropped: 2 missing\n"


def test_a_row_that_lacks_a_required_cell_may_be_an_error(clean: Clean, output: Path) -> None:
    with pytest.raises(StageError, match="line 3: b is empty"):
        clean("a,b", [["1", "x"], ["2", ""]], required="b", on_missing="fail")
    assert list(output.iterdir()) == []


def test_duplicates_are_told_by_the_typed_cells(clean: Clean) -> None:
    assert clean("a", [["5"], ["5.0"], ["6"]], types="a:float") == [["5.0"], ["6.0"]]


def test_cells_that_only_look_alike_when_joined_are_no_duplicates(clean: Clean) -> None:
    rows = [["x", "y,z"], ["x,y", "z"], ["x', 'y", "z"], ["x", "y', 'z"]]
    assert clean("a,b", rows) == rows


def test_duplicates_can_be_kept(clean: Clean) -> None:
    assert clean("a", [["1"], ["1"]], duplicates="keep") == [["1"], ["1"]]


def test_a_duplicate_may_be_an_error(clean: Clean) -> None:
    with pytest.raises(StageError, match="line 4: equal to an earlier row"):
        clean("a", [["1"], ["2"], ["1"]], duplicates="fail")


SQUARE = [["u", "a"], ["v", "b"], ["u", "b"], ["v", "a"]]


def test_the_k_core_is_kept_in_order(clean: Clean, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [SQUARE[0], ["w", "a"], *SQUARE[1:3], ["w", "c"], SQUARE[3], ["", "a"], ["u", "a"]]
    assert clean("reviewerID,asin", rows, min_user=2, min_item=2) == SQUARE
    report = "rows kept: 4, dropped: 1 missing, 1 duplicate, 2 outside the k-core\n"
    assert capsys.readouterr().err == report


def test_ids_of_the_k_core_are_told_apart_as_text(clean: Clean) -> None:
    rows = [["u", "31852"], ["u", "0000031852"], ["u", "NA"], ["v", "NA"]]
    assert clean("reviewerID,asin", rows, min_item=2) == rows[2:]


def test_the_k_core_may_be_that_of_other_columns(clean: Clean) -> None:
    rows = [["a", "u"], ["a", "v"], ["b", "w"]]
    left = clean("sku,customer", rows, user_column="customer", item_column="sku", min_item=2)
    assert left == rows[:2]


@pytest.mark.parametrize(
    ("parameters", "message", "hint"),
    [
        ({"min_user": 2}, "no column 'reviewerID'", "did you mean reviewer?"),
        ({"min_item": 2, "user_column": "x"}, "no column 'x'", "there are a, b, reviewer"),
        ({"required": "a,zzz"}, "no column 'zzz'", "there are a, b, reviewer"),
        ({"types": "zzz:int"}, "no column 'zzz'", "there are"),
        ({"types": "a:date"}, "--types: 'a:date' is not COLUMN:TYPE, …", "int, float, bool, str"),
        ({"types": "a"}, "--types: 'a' is not COLUMN:TYPE", "int, float, bool, str"),
        ({"types": "a:int,a:str"}, "--types: 'a:int,a:str' is not", "each column once"),
    ],
)
def test_a_parameter_that_does_not_fit_the_table_is_an_error(
    clean: Clean, output: Path, parameters: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(StageError) as caught:
        clean("a,b,reviewer", [["1", "2", "3"]], **parameters)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert list(output.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "parameters", "hint"),
    [
        ([], {}, "dropped: none"),
        ([["", "x"]], {"required": "reviewerID"}, "dropped: 1 missing"),
        (SQUARE, {"min_user": 3}, "dropped: 4 outside the k-core"),
    ],
)
def test_that_no_row_is_left_is_an_error(
    clean: Clean, rows: list[list[str]], parameters: dict[str, object], hint: str
) -> None:
    with pytest.raises(StageError, match=r"records\.csv: no row is left") as caught:
        clean("reviewerID,asin", rows, **parameters)
    assert caught.value.hint == hint


@pytest.mark.parametrize(("header", "delimiter"), [("a;b", ";"), ("a\tb", "\t"), ("a::b", "::")])
def test_a_table_that_is_one_column_by_its_delimiter_is_refused(
    clean: Clean, output: Path, header: str, delimiter: str
) -> None:
    with pytest.raises(StageError) as caught:
        clean(header, [["1;2"]])
    assert f"one column, {header!r}, separated by {delimiter!r}" in caught.value.message
    assert list(output.iterdir()) == []


def test_it_works_as_a_process(tmp_path: Path, output: Path) -> None:
    (tmp_path / "records.csv").write_bytes(b"a,b\n2,x\n1,\n2,x\n")
    command = [sys.executable, main.__file__, "--input", str(tmp_path), "--output", str(output)]
    failed = subprocess.run(
        [*command, "--required=b", "--on-missing=fail"],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        f"error: {tmp_path / 'records.csv'}: line 3: b is empty",
        "hint: on_missing: drop leaves such rows out (--on-missing drop)",
    ]
    assert list(output.iterdir()) == []
    subprocess.run([*command, "--types", "a:float"], check=True)
    assert (output / "records.csv").read_bytes() == b"a,b\n2.0,x\n1.0,\n"
