from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import main
import pytest
from conftest import Load
from stageio import StageError

Lines = Callable[..., Path]

RECORDS = ['{"a": 1, "b": 2}', '{"b": 3, "c": 4}', '{"d": null, "a": 5}']


@pytest.mark.parametrize(
    ("parameters", "header", "rows"),
    [
        ({}, "abcd", [["1", "2", "", ""], ["", "3", "4", ""], ["5", "", "", ""]]),
        ({"drop": "b"}, "acd", [["1", "", ""], ["", "4", ""], ["5", "", ""]]),
        ({"drop": "a, b"}, "cd", [["", ""], ["4", ""], ["", ""]]),
        ({"fields": "c,a"}, "ca", [["", "1"], ["4", ""], ["", "5"]]),
        ({"fields": "b"}, "b", [["2"], ["3"], [""]]),
        ({"fields": " a , b ", "drop": "c"}, "ab", [["1", "2"], ["", "3"], ["5", ""]]),
    ],
)
def test_fields_are_kept_or_dropped(
    load: Load, lines: Lines, parameters: dict[str, str], header: str, rows: list[list[str]]
) -> None:
    loaded = load(lines(*RECORDS), **parameters)
    assert [list(row) for row in loaded] == [list(header)] * 3
    assert [list(row.values()) for row in loaded] == rows


def test_a_record_without_fields_is_a_row_of_empty_cells(load: Load, lines: Lines) -> None:
    assert load(lines("{}", '{"a": 1}')) == [{"a": ""}, {"a": "1"}]


def test_a_field_that_no_record_has_is_pointed_out(
    load: Load, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    load(lines(*RECORDS), fields="a,bb", drop="zz,b")
    assert capsys.readouterr().err.splitlines() == [
        "warning: no record has the field 'bb'",
        "warning: no record has the field 'zz'",
        "records: 3, malformed lines skipped: 0",
    ]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fields": "a,b", "drop": "c,b"}, "the field 'b' is in both --fields and --drop"),
        ({"fields": "a,b,a"}, "--fields: 'a' is repeated"),
        ({"drop": "a,,b"}, "--drop: an empty name"),
        ({"drop": "a,b,c,d"}, "the records have no fields"),
    ],
)
def test_a_choice_of_fields_that_makes_no_sense_is_an_error(
    load: Load, lines: Lines, output: Path, parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        load(lines(*RECORDS), **parameters)
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("fields", ["", "a"])
@pytest.mark.parametrize("content", [[], ["", "  "]])
def test_a_source_without_a_record_is_an_error(
    load: Load, lines: Lines, output: Path, content: list[str], fields: str
) -> None:
    with pytest.raises(StageError, match=r"not a single record \(files: 1, malformed lines: 0\)"):
        load(lines(*content), fields=fields)
    assert list(output.iterdir()) == []


def test_a_source_of_malformed_lines_alone_is_an_error(load: Load, lines: Lines) -> None:
    with pytest.raises(StageError, match=r"not a single record \(files: 1, malformed lines: 2\)"):
        load(lines("x", "y"), on_error="skip")


def test_it_works_as_a_process(lines: Lines, output: Path) -> None:
    source = lines('{"a": 1}', "{")
    command = [sys.executable, main.__file__, "--input", str(source), "--output", str(output)]
    failed = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        f"error: {source}: line 2: not JSON: Expecting property name enclosed in double quotes"
        " at column 2 (char 1)",
        "hint: --on-error skip (in a pipeline on_error: skip) leaves malformed lines out",
    ]
    assert list(output.iterdir()) == []
    subprocess.run([*command, "--on-error", "skip", "--max-skipped", "0.5"], check=True)
    assert (output / "records.csv").read_bytes() == b"a\n1\n"
