from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageio import (
    StageError,
    place,
    read_chunks,
    read_header,
    read_table,
    table,
    tables,
    write_table,
)

AWKWARD = [
    ["comma, quote \" and 'single'", "line\nfeed", "carriage\rreturn", "both\r\n"],
    ["", " leading and trailing ", "nul\0inside", "Ünïcode \U0001f600 \u2028"],
    ['"', "\r", "\n", "\\"],
    ["0000031852", "NA", "null", "1e5"],
    ["#", "nan", "True", "-inf"],
]

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from([*chain(*AWKWARD)])
NAMES = st.lists(TEXT, min_size=1, max_size=4, unique=True)


def frame(header: list[str], rows: list[list[str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=header, dtype="str")


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_any_text_comes_back_as_it_went_in(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert write_table(path, frame(["a", "b", "c", "d"], AWKWARD)) == 5
    assert read_table(path).to_numpy().tolist() == AWKWARD
    assert read_header(path) == ["a", "b", "c", "d"]


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT | st.none(), TEXT | st.integers() | st.floats()), max_size=6))
def test_text_is_written_as_pandas_writes_it(cells: list[tuple[object, object]]) -> None:
    rows = pd.DataFrame(cells, columns=["a", "b"], dtype="object").replace("\r", "", regex=True)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "t.csv")
        write_table(path, rows)
        assert path.read_bytes() == rows.to_csv(index=False, lineterminator="\n").encode()


@settings(deadline=None)
@given(st.data())
def test_tables_of_any_text_come_back(data: st.DataObject) -> None:
    header = data.draw(NAMES)
    row = st.lists(TEXT, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(row, max_size=6))
    cut = data.draw(st.integers(0, len(rows)))
    with tempfile.TemporaryDirectory() as directory:
        whole, parts = Path(directory, "whole.csv"), Path(directory, "parts.csv")
        assert write_table(whole, frame(header, rows)) == len(rows)
        write_table(parts, [frame(header, rows[:cut]), frame(header, rows[cut:])])
        assert whole.read_bytes() == parts.read_bytes()
        assert read_header(whole) == header
        assert read_table(whole).to_numpy().tolist() == rows


@pytest.mark.parametrize("blanks", range(262_120, 262_145, 3))
def test_white_space_at_the_edge_of_a_buffer_is_kept(tmp_path: Path, blanks: int) -> None:
    rows = [["x" * blanks, "1"], ["     y", "2"], ["  ", "3"], ["   z", "4"]]
    write_table(tmp_path / "t.csv", frame(["a", "b"], rows))
    assert read_table(tmp_path / "t.csv").to_numpy().tolist() == rows


def test_the_bytes_are_those_of_a_plain_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [[1, 0.5], [None, True], ["x,y", 'say "yes"'], ["\r", "é"]]
    write_table(path, pd.DataFrame(rows, columns=["a", "b"], dtype=object))
    expected = 'a,b\n1,0.5\n,True\n"x,y","say ""yes"""\n"\r","é"\n'
    assert path.read_bytes() == expected.encode()


def test_a_table_of_one_column_keeps_its_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, frame(["a"], [[""], ["x"], ["  "]]))
    assert read_table(path)["a"].tolist() == ["", "x", "  "]


def test_a_table_is_read_in_parts_whose_index_counts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 2)
    path = written(tmp_path / "t.csv", b"a\n1\n2\n3\n")
    assert [list(part.index) for part in read_chunks(path)] == [[0, 1], [2]]
    assert list(read_table(path).index) == [0, 1, 2]


def test_a_row_is_found_by_the_line_it_starts_on(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'a,b\n1,"x\ny"\n2,z\n')
    assert [place(path, row) for row in (0, 1)] == [f"{path}: line 2", f"{path}: line 4"]


def test_chosen_columns_come_in_the_order_they_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'a,b,c\n1,"2\n2",3\n4,5,6\n')
    chosen = read_table(path, ["c", "a"])
    assert list(chosen) == ["c", "a"]
    assert chosen.to_numpy().tolist() == [["3", "1"], ["6", "4"]]


def test_a_column_that_is_not_there_is_named_even_where_there_are_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b"a,bird\n")
    with pytest.raises(StageError, match=r"t\.csv: line 1: no column 'z'") as caught:
        read_table(path, ["a", "z"])
    assert caught.value.hint.endswith("there are a, bird")
    with pytest.raises(StageError) as caught:
        read_table(path, ["birds"])
    assert caught.value.hint.endswith("did you mean bird?")


def test_a_byte_order_mark_and_windows_line_ends_are_understood(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'\xef\xbb\xbf"a",b\r\n1,2\r\n')
    assert read_table(path).to_dict("records") == [{"a": "1", "b": "2"}]


def test_a_cell_may_be_longer_than_the_csv_modules_default_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, frame(["a"], [["x" * 300_000]]))
    assert read_table(path)["a"].str.len().tolist() == [300_000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3\n", "line 3: 1 cells, but the header has 2 columns"),
        (b"a,b\n1,2,3\n4,5,6\n", "line 2: 3 cells"),
        (b'a,b\n"x\ny",2\n3,4,5\n', "line 4: 3 cells"),
        (b"a,b\n1\n2,3,4\n", "line 2: 1 cells"),
        (b"a,b\n1,2\n\n3,4\n", "line 3: 0 cells"),
        (b'a,b\n1,2\n"3,4\n', "line 3: unexpected end of data"),
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
        read_table(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (frame(["a"], [["fine"], ["\ud800"]]), "line 3: '\\ud800' cannot be written as UTF-8"),
        (frame(["a", "a"], []), "the header repeats the column 'a'"),
        (pd.DataFrame(), "a table needs at least one column"),
        ([], "a table needs at least one column"),
        ([frame(["a"], [["1"]]), frame(["b"], [["1"]])], "line 3: the columns are b, not a"),
    ],
)
def test_what_cannot_be_a_table_leaves_no_file(
    tmp_path: Path, rows: pd.DataFrame | list[pd.DataFrame], message: str
) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(StageError) as caught:
        write_table(path, rows)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    def parts() -> Iterator[pd.DataFrame]:
        assert not path.exists()
        yield frame(["a"], [["1"]])

    write_table(path, parts())
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
