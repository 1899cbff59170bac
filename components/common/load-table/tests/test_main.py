from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import main
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from stageio import StageError, read_table

Rows = list[list[str]]
Load = Callable[..., Rows]

RATINGS = "user,item,rating,time"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads content, or files by name, with the given parameters; the header and the rows."""
    declared = yaml.safe_load(Path("component.yaml").read_text())["params"]
    defaults = {name: param["default"] for name, param in declared.items()}

    def rows(content: str | bytes | dict[str, bytes], **parameters: Any) -> Rows:
        source = tmp_path / "source"
        if isinstance(content, dict):
            for name, raw in content.items():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes(raw)
        else:
            source.write_bytes(content if isinstance(content, bytes) else content.encode())
        output = tmp_path / "output"
        output.mkdir()
        main.main(input=source, output=output, **{**defaults, **parameters})
        table = read_table(output / "records.csv")
        return [list(table), *table.to_numpy().tolist()]

    return rows


@pytest.mark.parametrize(
    ("content", "parameters", "first"),
    [
        pytest.param(
            "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
            {"delimiter": "tab", "names": RATINGS},
            {"user": "196", "item": "242", "rating": "3", "time": "881250949"},
            id="MovieLens 100k",
        ),
        pytest.param(
            "1::1193::5::978300760\n1::661::3::978302109\n",
            {"delimiter": "::", "names": RATINGS, "columns": "user,item,time"},
            {"user": "1", "item": "1193", "time": "978300760"},
            id="MovieLens 1M",
        ),
        pytest.param(
            "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n",
            {"columns": "userId=user, movieId=item, timestamp=time", "time": "time"},
            {"user": "1", "item": "1", "time": "964982703"},
            id="MovieLens latest",
        ),
        pytest.param(
            json.dumps(
                {"reviewerID": "A1", "asin": "0000031852", "helpful": [0, 0], "overall": 5.0,
                 "unixReviewTime": 1391040000, "reviewTime": "01 30, 2014"}
            ),
            {"columns": "reviewerID=user, asin=item, unixReviewTime=time"},
            {"user": "A1", "item": "0000031852", "time": "1391040000"},
            id="Amazon 2014",
        ),
        pytest.param(
            json.dumps(
                {"overall": 5.0, "vote": "5", "verified": True, "reviewTime": "10 20, 2014", "reviewerID": "A2",
                 "asin": "0700026657", "style": {"Size:": " L"}, "unixReviewTime": 1413763200, "image": ["x.jpg"]}
            ),
            {"columns": "reviewerID=user, asin=item, unixReviewTime=time"},
            {"user": "A2", "item": "0700026657", "time": "1413763200"},
            id="Amazon 2018",
        ),
        pytest.param(
            "user_id,parent_asin,rating,timestamp\nAE,0101635370,5.0,1403313000000\n",
            {"columns": "user_id=user, parent_asin=item, timestamp=time", "time": "time"},
            {"user": "AE", "item": "0101635370", "time": "1403313000"},
            id="Amazon 2023, ratings only",
        ),
        pytest.param(
            "0000031852,A1,5.0,1369699200\nB0,NA,1.0,1355443200\n",
            {"names": "item,user,rating,time", "columns": "user,item,time"},
            {"user": "A1", "item": "0000031852", "time": "1369699200"},
            id="Amazon 2018, ratings only",
        ),
        pytest.param(
            json.dumps(
                {"rating": 5.0, "title": "", "images": [], "asin": "B1", "parent_asin": "B2",
                 "user_id": "AE", "timestamp": 1588687728923, "verified_purchase": True}
            ),
            {"columns": "user_id=user, parent_asin=item, timestamp=time", "time": "time"},
            {"user": "AE", "item": "B2", "time": "1588687728"},
            id="Amazon 2023",
        ),
        pytest.param(
            'user_000001\t2009-05-04T23:08:57Z\tf1b1\tDeep "Dish\tb8d1\tFuck Me Im Famous, \t\n'.replace("\t\n", "\n"),
            {"delimiter": "tab", "names": "user,time,artist_id,artist,track_id,item",
             "columns": "user,artist,item,time", "time": "time"},
            {"user": "user_000001", "artist": 'Deep "Dish', "item": "Fuck Me Im Famous, ", "time": "1241478537"},
            id="Last.fm 1K",
        ),
    ],
)  # fmt: skip
def test_published_data_sets_are_loaded_by_parameters_alone(
    load: Load, content: str, parameters: dict[str, str], first: dict[str, str]
) -> None:
    header, row, *_ = load(content, **parameters)
    assert dict(zip(header, row, strict=True)) == first


def test_plays_of_last_fm_with_a_tab_in_a_name_are_skipped_and_broken_years_kept(
    load: Load,
) -> None:
    play = "user_000001\t{}\tf1b1\tDeep Dish\tb8d1\t{}\n"
    plays = [play.format("2009-05-04T23:08:57Z", 'Say "Hello')] * 199
    plays += [play.format("2009-05-04T23:08:57Z", "a\tb"), play.format("1970-01-01T00:00:00Z", "c")]
    parameters = {"delimiter": "tab", "names": "user,time,artist_id,artist,track_id,item"}
    parameters |= {"columns": "user, item, time", "time": "time", "on_error": "skip"}
    _, *rows = load("".join(plays), **parameters)
    assert len(rows) == 200
    assert rows[0] == ["user_000001", 'Say "Hello', "1241478537"]
    assert rows[-1] == ["user_000001", "c", "0"]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("1367452800", "1367452800"),
        ("1367452800000", "1367452800"),
        ("1367452800123456", "1367452800"),
        ("1367452800999999999", "1367452800"),
        ("1.3674528E9", "1367452800"),
        ("1367452800.0", "1367452800"),
        ("1367452800.9", "1367452800"),
        ("-1", "-1"),
        ("0", "0"),
        ("2013-05-02", "1367452800"),
        ("2013-05-02T00:00:00Z", "1367452800"),
        ("2013-05-02 02:00:00+02:00", "1367452800"),
        ("2013-05-02T00:00:00.999", "1367452800"),
        ("2013-05-02T00:00:00.999999999Z", "1367452800"),
        ("1969-12-31T23:59:59.5Z", "-1"),
        ("20130502T000000Z", "1367452800"),
        ("2013-05-02T00:00:00-0130", "1367458200"),
        ("2013-05-02T00:00:00.123456789Z", "1367452800"),
        ("9999-12-31", "253402214400"),
        ("-.5", "-1"),
        ("", ""),
    ],
)
def test_times_become_whole_seconds(load: Load, time: str, seconds: str) -> None:
    assert load(f"a,t\n1,{time}\n", time="t") == [["a", "t"], ["1", seconds]]


def test_a_unit_that_is_told_is_believed(load: Load) -> None:
    assert load("t\n86400000\n", time="t", time_unit="ms")[1] == ["86400"]


@pytest.mark.parametrize(
    "time",
    ["now", "nan", "inf", "yesterday", "2013-13-01", "1_000", "1e99", "１", "0x1", "2013-122"],
)
def test_what_is_no_time_is_an_error(load: Load, time: str) -> None:
    with pytest.raises(StageError, match=f"record 2, column t: '{time}' is no time"):
        load(f"t\n1\n{time}\n", time="t")


def packed_by_zip(content: bytes, members: int = 1) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/", b"")
        archive.writestr("__MACOSX/data/._0.csv", b"of the Finder")
        for number in range(members):
            archive.writestr(f"data/{number}.csv", content)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, packed_by_zip])
def test_packed_files_are_known_by_their_content(
    load: Load, pack: Callable[[bytes], bytes]
) -> None:
    assert load(pack(b"a,b\n1,2\n")) == [["a", "b"], ["1", "2"]]


def test_a_zip_archive_of_several_files_is_named(load: Load) -> None:
    with pytest.raises(StageError, match="a zip archive of 2 files"):
        load(packed_by_zip(b"a\n1\n", members=2))


def test_a_workbook_is_no_zip_archive_to_unpack(load: Load) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", b"<Types/>")
        archive.writestr("xl/workbook.xml", b"<workbook/>")
    with pytest.raises(StageError, match="a workbook of Excel or LibreOffice") as caught:
        load(buffer.getvalue())
    assert caught.value.hint == "save it as CSV"


def test_a_zip_archive_with_a_password_is_named(load: Load) -> None:
    content = bytearray(packed_by_zip(b"a\n1\n"))
    # The flag of each member in the directory at the end.
    for place in (place for place in range(len(content)) if content[place:].startswith(b"PK\1\2")):
        content[place + 8] |= 1
    with pytest.raises(StageError, match="a zip archive with a password"):
        load(bytes(content))


@pytest.mark.parametrize("damage", [slice(0, 200), slice(0, -20)])
def test_damaged_parquet_is_an_error(load: Load, damage: slice) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": ["1"] * 100}).to_parquet(buffer)
    with pytest.raises(StageError, match="unreadable Parquet after record 0"):
        load(buffer.getvalue()[damage])


def test_times_of_parquet_beyond_the_calendar_are_an_error(load: Load) -> None:
    buffer = io.BytesIO()
    times = pa.array([253_402_300_800_000], pa.timestamp("ms"))
    parquet.write_table(pa.table({"t": times}), buffer)
    with pytest.raises(StageError, match="unreadable Parquet after record 0: date value out of"):
        load(buffer.getvalue())


def test_packed_parquet_is_read(load: Load) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": ["0000031852"]}).to_parquet(buffer)
    assert load(gzip.compress(buffer.getvalue())) == [["a"], ["0000031852"]]


def test_parquet_is_known_by_its_content(load: Load) -> None:
    frame = pd.DataFrame(
        {"id": ["0000031852", "NA"], "n": [1, 2], "x": [0.5, None], "b": [True, False]}
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    header, *rows = load(buffer.getvalue(), columns="id=item,n,x,b")
    assert header == ["item", "n", "x", "b"]
    assert rows[0] == ["0000031852", "1", "0.5", "true"]
    assert rows[1][:2] == ["NA", "2"]


def test_every_type_of_parquet_is_text(load: Load) -> None:
    columns = {
        "id": pa.array([2**63 - 1, None]),
        "word": pa.array(["a", "b"]).dictionary_encode(),
        "time": pa.array([1367452800999999999, None], pa.timestamp("ns", "America/New_York")),
        "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "parts": pa.array([{"x": 1.5}, None]),
    }
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    _, *rows = load(buffer.getvalue(), time="time")
    assert rows[0] == ["9223372036854775807", "a", "1367452800", '[["k",1]]', '{"x":1.5}']
    assert rows[1] == ["", "b", "", "[]", ""]


def test_a_directory_is_one_table(load: Load) -> None:
    files = {
        "part-1.csv": b"a,b\n3,4\n",
        "part-0.csv.gz": gzip.compress(b"\xef\xbb\xbfa,b\n1,2\n"),
        "more/part-2.csv": b"b,a\n6,5\n",
        "_SUCCESS": b"x",
        "_committed_123": b"{}",
        ".part-1.csv.crc": b"crc",
    }
    assert sorted(load(files, columns="a,b")[1:]) == [["1", "2"], ["3", "4"], ["5", "6"]]


def test_files_of_a_directory_are_chosen_by_name(load: Load) -> None:
    files = {"orders.csv": b"a\n1\n", "more/part-0.csv": b"a\n2\n", "products.csv": b"b\n3\n"}
    assert load(files, files="orders.csv, part-*.csv") == [["a"], ["2"], ["1"]]


def test_a_file_that_is_not_there_is_an_error(load: Load) -> None:
    with pytest.raises(StageError, match="--files: no file fits") as caught:
        load({"orders.csv": b"a\n1\n", "_SUCCESS": b""}, files="order.csv")
    assert caught.value.hint == "there are orders.csv"


def test_quotes_line_breaks_and_byte_order_marks_of_joined_files(load: Load) -> None:
    content = '\ufeff"a",b\n"x, ""y""\nz",1\n\ufeff"0000031852",2\n'
    assert load(content) == [["a", "b"], ['x, "y"\nz', "1"], ["0000031852", "2"]]


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ("\ufeffa,b\n1,2\n\ufeffa,b\n3,4\n", "", [["a", "b"], ["1", "2"], ["3", "4"]]),
        ("a,b\n1,2\n", "a,b", [["a", "b"], ["1", "2"]]),
        ("a\nx\na\n", "", [["a"], ["x"], ["a"]]),
    ],
)
def test_headers_of_joined_files_are_no_records(
    load: Load, content: str, names: str, rows: Rows
) -> None:
    assert load(content, names=names) == rows


def test_a_quoted_cell_may_hold_a_delimiter_of_several_characters(load: Load) -> None:
    content = '"a"::b\n"x::y"::2\n'
    assert load(content, delimiter="::", quotes="yes") == [["a", "b"], ["x::y", "2"]]


def test_lines_that_an_open_quote_takes_count_as_skipped(load: Load) -> None:
    content = "a,b\n" + "1,2\n" * 50 + '"3,4\n' + "5,6\n" * 49
    with pytest.raises(StageError, match="50 of 100 lines are malformed"):
        load(content, on_error="skip", max_skipped=0.49)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"delimiter": ""}, "--delimiter: '' is none"),
        ({"delimiter": "\n"}, r"--delimiter: '\\n' is none"),
        ({"encoding": "latin-99"}, "--encoding: unknown encoding: latin-99"),
        ({"encoding": "\0"}, "--encoding: embedded null character"),
        ({"encoding": "hex"}, "--encoding: 'hex' is not a text encoding"),
        ({"columns": "a=x, a=y"}, "--columns: 'a' is repeated"),
        ({"columns": "a=x, b=x"}, "--columns: 'x' is repeated"),
    ],
)
def test_parameters_that_make_no_sense_are_errors(
    load: Load, parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        load("a,b\n1,2\n", **parameters)


@pytest.mark.parametrize("encoding", ["utf-16", "UTF16", "utf-8-sig", "cp1252"])
def test_text_is_read_in_the_encoding_that_is_told(load: Load, encoding: str) -> None:
    assert load("a,b\né,2\n".encode(encoding), encoding=encoding) == [["a", "b"], ["é", "2"]]


def test_latin_1_when_told(load: Load) -> None:
    content = "1|Café (1995)|x\n".encode("latin-1")
    parameters = {"delimiter": "|", "names": "item,title,genre"}
    with pytest.raises(StageError) as caught:
        load(content, **parameters)
    assert "--encoding" in caught.value.hint


def test_latin_1_is_read(load: Load) -> None:
    content = "1|Café (1995)|x\n".encode("latin-1")
    rows = load(content, delimiter="|", names="item,title,genre", encoding="latin-1")
    assert rows[1] == ["1", "Café (1995)", "x"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-8-sig"])
def test_lines_of_json_are_read_in_the_encoding_that_is_told(load: Load, encoding: str) -> None:
    content = '{"a": "é"}\n{"a": "x"}\n'.encode(encoding)
    assert load(content, encoding=encoding) == [["a"], ["é"], ["x"]]


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"a;b\n1;2\n", "one column, 'a;b'", "delimiter: ';'"),
        (b"a\tb\n1\t2\n", r"one column, 'a\\tb'", "delimiter: 'tab'"),
        (b"1::2::3\n", "one column, '1::2::3'", "delimiter: '::'"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells, but there are 2 columns", "--on-error skip"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16", "UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16", "UTF-8"),
        (b"<html><body>Not found", "XML or HTML", "error"),
        (b"SQLite format 3\0" + bytes(100), "an SQLite database", "load-sql"),
        (b"\x28\xb5\x2f\xfd\x04\x58", "zstd, 7z, rar or compress", "unpack"),
        (b'[\n{"a": 1}\n]\n', "a JSON array over several lines", "jq"),
        (b"{'a': 1}\n", "single-quoted Python records", "json.dumps"),
        (gzip.compress(gzip.compress(b"a\n1\n")), "packed data in packed data", "unpack"),
        (b"a,a\n1,2\n", "the header repeats a column", "a name of its own"),
        (b"%PDF-1.7\n%\xe2\xe3\n", "PDF, an image or R's data", "CSV"),
        (gzip.compress(b"RDX3\nX\n\0\0"), "R's data", "CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid a\n", "Git LFS", "git lfs pull"),
        ('{"a": "é"}\n'.encode("latin-1"), "line 1: not JSON: 'utf-8' codec", "--encoding"),
        ('{"a": "é"}\n'.encode("utf-16"), "UTF-16", "UTF-8"),
        (b'a,b\n1,"2\n', "line 2: unexpected end of data", "--on-error"),
        (b"a,b\n", "not a single record", ""),
    ],
)
def test_what_cannot_be_read_is_named(load: Load, content: bytes, message: str, hint: str) -> None:
    with pytest.raises(StageError, match=message) as caught:
        load(content)
    assert hint in caught.value.hint


@pytest.mark.parametrize("names", ["", "user,b"])
def test_a_missing_column_is_found_before_the_rows_are_read(load: Load, names: str) -> None:
    with pytest.raises(StageError, match="no column 'users'") as caught:
        load("user,b\n1,2\nmore,cells,than columns\n", names=names, columns="b, users=item")
    assert caught.value.hint == "--columns: did you mean user?"


def test_a_column_that_a_parquet_file_lacks_is_named(load: Load) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": ["1"]}).to_parquet(buffer)
    with pytest.raises(StageError, match="no column 'item'"):
        load(buffer.getvalue(), columns="item")


@pytest.mark.parametrize(
    ("content", "parameters", "message", "hint"),
    [
        ("1::2::3\n4::5::6\n", {}, "one column, '1::2::3'", "--delimiter '::'"),
        ("1,2,3\n4,5,6\n", {}, "line 1: 3 cells, but there are 2 columns in --names", "--names"),
        (
            "1\t2\n",
            {"names": "", "columns": "user", "delimiter": "tab"},
            "no column 'user'",
            "--names",
        ),
    ],
)
def test_a_file_that_is_not_as_the_parameters_say_is_not_to_be_skipped(
    load: Load, content: str, parameters: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(StageError, match=message) as caught:
        load(content, **{"names": "user,item", "on_error": "skip", **parameters})
    assert hint in caught.value.hint
    assert "skip" not in caught.value.hint


def test_a_field_that_no_json_record_has_is_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no record has the column 'c'") as caught:
        load('{"a": 1}\n{"b": 2}\n', columns="a, c=item")
    assert caught.value.hint == "there are a, b"
    assert not [*(tmp_path / "output").iterdir()]


def test_it_works_as_a_process(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("a,b\n1,2\n3\n")
    command = [sys.executable, main.__file__, "--input", str(tmp_path / "source")]
    command += ["--output", str(tmp_path / "output"), "--on-error=skip", "--max-skipped=0.5"]
    subprocess.run(command, check=True)
    assert (tmp_path / "output" / "records.csv").read_bytes() == b"a,b\n1,2\n"
