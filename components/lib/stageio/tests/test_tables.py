from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stageio import (
    StageError,
    numbered_cells,
    numbered_rows,
    read_header,
    read_rows,
    table,
    write_rows,
)

AWKWARD = [
    ["comma, quote \" and 'single'", "line\nfeed", "carriage\rreturn", "both\r\n"],
    ["", " leading and trailing ", "nul\0inside", "Ünïcode \U0001f600 \u2028"],
    ['"', "\r", "\n", "\\"],
]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_any_text_comes_back_as_it_went_in(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert write_rows(path, ["a", "b", "c", "d"], AWKWARD) == 3
    assert [list(row.values()) for row in read_rows(path)] == AWKWARD
    assert read_header(path) == ["a", "b", "c", "d"]


def test_the_bytes_are_those_of_a_plain_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_rows(path, ["a", "b"], [[1, 0.5], [None, True], ["x,y", 'say "yes"'], ["\r", "é"]])
    expected = 'a,b\n1,0.5\n,True\n"x,y","say ""yes"""\n"\r",é\n'
    assert path.read_bytes() == expected.encode()


def test_a_table_of_one_column_keeps_its_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_rows(path, ["a"], [[""], ["x"], [None]])
    assert [row["a"] for row in read_rows(path)] == ["", "x", ""]


def test_rows_are_numbered_by_the_line_they_start_on(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'a,b\n1,"x\ny"\n\n2,z\n')
    assert list(numbered_rows(path)) == [(1, ["a", "b"]), (2, ["1", "x\ny"]), (5, ["2", "z"])]


def test_the_cells_of_chosen_columns_come_with_their_line(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'a,b,c\n1,"2\n2",3\n4,5,6\n')
    assert list(numbered_cells(path, "c", "a")) == [(2, ["3", "1"]), (4, ["6", "4"])]


def test_a_column_that_is_not_there_is_named_even_where_there_are_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b"a,b\n")
    with pytest.raises(StageError, match=r"t\.csv: line 1: no column 'z'") as caught:
        list(numbered_cells(path, "a", "z"))
    assert caught.value.hint == "there are a, b"


def test_a_byte_order_mark_and_windows_line_ends_are_understood(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'\xef\xbb\xbf"a",b\r\n1,2\r\n')
    assert list(read_rows(path)) == [{"a": "1", "b": "2"}]


def test_a_cell_may_be_longer_than_the_csv_modules_default_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_rows(path, ["a"], [["x" * 300_000]])
    assert [len(row["a"]) for row in read_rows(path)] == [300_000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3\n", "line 3: 1 cells, but the header has 2 columns"),
        (b'a,b\n"x\ny",2\n3,4,5\n', "line 4: 3 cells"),
        (b'a,b\n1,2\n"3,4\n', "line 3: unexpected end of data"),
        (b'a,b\n"1"2,3\n', "line 2: "),
        (b"a,b\n1,\xff\n", "not UTF-8"),
        (b"a,b,a\n1,2,3\n", "line 1: the header repeats the column 'a'"),
        (b"", "no header line"),
        (b"\n\n", "no header line"),
    ],
)
def test_what_is_no_table_is_an_error_with_its_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = written(tmp_path / "t.csv", content)
    with pytest.raises(StageError) as caught:
        list(read_rows(path))
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["a", "b"], [[1, 2], [1]], "row 2: 1 cells, but the header has 2 columns"),
        (["a"], [["fine"], ["\ud800"]], "row 2: '\\ud800' cannot be written as UTF-8"),
        (["a", "a"], [], "the header repeats the column 'a'"),
        ([], [], "a table needs at least one column"),
    ],
)
def test_what_cannot_be_a_table_leaves_no_file(
    tmp_path: Path, header: list[str], rows: list[list[object]], message: str
) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(StageError) as caught:
        write_rows(path, header, rows)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    def rows() -> Iterator[list[str]]:
        assert not path.exists()
        yield ["1"]

    write_rows(path, ["a"], rows())
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.csv"]


def test_a_table_is_found_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b"a\n")
    assert table(tmp_path, "t.csv") == path


def test_a_missing_table_is_an_error_that_lists_what_is_there(tmp_path: Path) -> None:
    written(tmp_path / "other.csv", b"a\n")
    (tmp_path / "clean").mkdir()
    with pytest.raises(StageError) as caught:
        table(tmp_path, "t.csv")
    assert caught.value.message == f"{tmp_path}: no file t.csv"
    assert caught.value.hint == "the directory holds clean/, other.csv"


def test_a_long_listing_is_cut(tmp_path: Path) -> None:
    for number in range(12):
        written(tmp_path / f"{number:02}", b"")
    with pytest.raises(StageError) as caught:
        table(tmp_path, "t.csv")
    assert caught.value.hint.endswith("08, 09 and 2 more")


def test_a_table_in_what_is_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not a directory"):
        table(written(tmp_path / "t.csv", b"a\n"), "t.csv")
