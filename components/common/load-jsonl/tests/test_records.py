from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import main
import pytest
from conftest import DEFAULTS, Load
from sources import records
from stageio import StageError

Lines = Callable[..., Path]

REVIEW = {
    "reviewerID": "A1YJEY40YUW4SE",
    "asin": "7806397051",
    "reviewerName": 'Andrea "Andi", \\o/',
    "helpful": [3, 4],
    "reviewText": "Very oily.\nNot nice,\r\nreally.\rNo \u2028 \u0000 \U0001f600 &#34;x&#34;",
    "overall": 1.0,
    "summary": '"Don\'t waste your money"',
    "unixReviewTime": 1391040000,
    "reviewTime": "01 30, 2014",
}


def test_a_review_of_the_2014_files_goes_through_unchanged(load: Load, lines: Lines) -> None:
    rows = load(lines(json.dumps(REVIEW), json.dumps(REVIEW, ensure_ascii=False)))
    expected = {**REVIEW, "helpful": "[3,4]", "overall": "1.0", "unixReviewTime": "1391040000"}
    assert rows == [expected, expected]
    assert list(rows[0]) == list(REVIEW)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('"text"', "text"),
        ('""', ""),
        ("null", ""),
        ("true", "true"),
        ("5.0", "5.0"),
        ("1.10", "1.10"),
        ("1E400", "1E400"),
        ("-0", "-0"),
        ("12345678901234567890.12345678901234567890", "12345678901234567890.12345678901234567890"),
        ("9" * 5000, "9" * 5000),
        ("[]", "[]"),
        ("[2, 3.50]", "[2,3.50]"),
        (
            '{"a": [null, true, "\\u00e9\\n\\u0000\\""], "b": {}}',
            '{"a":[null,true,"é\\n\\u0000\\""],"b":{}}',
        ),
        ('"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_a_value_becomes_the_text_of_a_cell(
    load: Load, lines: Lines, value: str, cell: str
) -> None:
    assert load(lines(f'{{"x": {value}}}')) == [{"x": cell}]


def test_of_a_repeated_key_the_last_value_counts(load: Load, lines: Lines) -> None:
    assert load(lines('{"a": 1, "b": 2, "a": 3}')) == [{"a": "3", "b": "2"}]


MALFORMED = [
    (b'{"a": 1', "not JSON: Expecting ',' delimiter at column"),
    (b'{"a": 1} {"a": 2}', "not JSON: Extra data at column 10"),
    (b"[1, 2]", "not JSON: expected an object, got [1, 2]"),
    (b'"text"', 'expected an object, got "text"'),
    (b'{"a": NaN}', "not JSON: NaN"),
    (b'{"a": [-Infinity]}', "not JSON: -Infinity"),
    (b'{"a": "\xff"}', "'utf-8' codec can't decode byte 0xff in position 7: invalid start byte"),
    (b'{"a": "\\ud800"}', "surrogates not allowed"),
    (b'{"a": [{"\\uDC00": 1}]}', "surrogates not allowed"),
    (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "maximum recursion depth exceeded"),
]


@pytest.mark.parametrize(("line", "reason"), MALFORMED)
def test_a_malformed_line_is_an_error_with_file_and_line(
    load: Load, lines: Lines, output: Path, line: bytes, reason: str
) -> None:
    source = lines('{"a": 0}', "", line)
    with pytest.raises(StageError) as caught:
        load(source)
    assert caught.value.message.startswith(f"{source}: line 3: ")
    assert reason in caught.value.message
    assert caught.value.hint
    assert list(output.iterdir()) == []


@pytest.mark.parametrize(("line", "reason"), MALFORMED)
def test_a_malformed_line_can_be_counted_and_skipped(
    load: Load, lines: Lines, capsys: pytest.CaptureFixture[str], line: bytes, reason: str
) -> None:
    source = lines('{"a": 0}', line, '{"a": 1}')
    assert load(source, on_error="skip") == [{"a": "0"}, {"a": "1"}]
    log = capsys.readouterr().err.splitlines()
    assert log[0].startswith(f"skipped: {source}: line 2: ")
    assert reason in log[0]
    assert log[-1] == "records: 2, malformed lines skipped: 1"


def test_only_the_first_few_skipped_lines_are_shown(
    load: Load, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    # The field b makes a second pass necessary: it must not count or show anything twice.
    load(lines('{"a": 0}', *["x"] * 9, '{"b": 1}'), on_error="skip")
    log = capsys.readouterr().err.splitlines()
    assert len(log) == 6
    assert log[-1] == "records: 2, malformed lines skipped: 9"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('[\n{"a": 1}\n]', "a JSON array over several lines"),
        ('{"reviews": [\n{"a": 1}\n]}', "a JSON object around a list"),
        ('{"reviews": [{"a": 1}, {"a": 2}]}', "a JSON object around a list"),
        ("{\n", "a JSON object over several lines"),
        ('{"a": 1,\n "b": 2}\n', "a JSON object over several lines"),
        ('{"a": {\n"b": 2}}\n', "a JSON object over several lines"),
        ('{"a": 1}{"a": 2}', "JSON objects without line breaks"),
        ("{'a': \"it's\", 'b': None}", "single-quoted Python records"),
        ("<!DOCTYPE html>\n<html>", "XML or HTML"),
        ("<?xml version='1.0'?>", "XML or HTML"),
        ("{'a': 1}", "single-quoted Python records"),
        ("196\t242\t3\t881250949", "tab-separated, not JSON"),
        ("1::1193::5::978300760", "separated by ::, not JSON"),
        ("userId,movieId,rating", "comma-separated, not JSON"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_file_of_another_kind_is_named(
    load: Load, lines: Lines, content: str, kind: str, on_error: str
) -> None:
    source = lines(content)
    with pytest.raises(StageError) as caught:
        load(source, on_error=on_error)
    assert caught.value.message == f"{source}: {kind}"
    assert caught.value.hint
    assert "skip" not in caught.value.hint


RECORD = '{"a": 1}'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        *((RECORD.encode(f"utf-{form}"), "UTF-16 or UTF-32") for form in ("16", "16-le", "16-be")),
        (RECORD.encode("utf-32"), "UTF-16 or UTF-32"),
        (gzip.compress(b'{"a": 1}'), "packed data in packed data"),
        (b"\x28\xb5\x2f\xfd\x04\x58", "zstd, 7z, rar or compress"),
        (b"7z\xbc\xaf\x27\x1c", "zstd, 7z, rar or compress"),
        (b"data.json" + bytes(248) + b"ustar\x0000", "a tar archive"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"PAR1\x15\x04", "Parquet, not JSON"),
        (b"ARROW1\0\0", "Arrow, ORC, Avro or HDF5"),
        (b"\x80\x04\x95\x10", "NumPy's or Python's own data"),
        (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_binary_data_is_named(
    load: Load, lines: Lines, content: bytes, kind: str, on_error: str
) -> None:
    with pytest.raises(StageError) as caught:
        load(lines(content, packed=True), on_error=on_error)
    assert caught.value.message.endswith(f": {kind}")
    assert "skip" not in caught.value.hint


def test_more_than_a_share_is_not_skipped(
    load: Load, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    source = lines('{"a": 0}', *["{"] * 2, *['{"a": 1}'] * 97)
    assert len(load(source, on_error="skip", max_skipped=0.02)) == 98
    with pytest.raises(StageError, match="2 of 100 lines are malformed"):
        load(source, on_error="skip", max_skipped=0.01)
    assert f"skipped: {source}: line 2: " in capsys.readouterr().err


def test_byte_order_marks_of_joined_files_are_no_part_of_a_name(load: Load, lines: Lines) -> None:
    source = lines(b'{"a": 1}', b'\xef\xbb\xbf{"a": 2}', '{"\ufeffa": 3}')
    assert load(source) == [{"a": "1"}, {"a": "2"}, {"a": "3"}]


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_a_damaged_archive_of_any_kind_is_an_error(
    load: Load, lines: Lines, pack: Callable[[bytes], bytes]
) -> None:
    source = lines("")
    content = bytearray(pack(b'{"a": 1}\n' * 100))
    content[len(content) // 2] ^= 255
    source.write_bytes(content)
    with pytest.raises(StageError, match="damaged archive"):
        load(source)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_known_by_their_content(
    load: Load, lines: Lines, pack: Callable[[bytes], bytes]
) -> None:
    source = lines("")
    source.write_bytes(pack(b'{"a": 1}\n'))
    assert load(source) == [{"a": "1"}]


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_do_not_matter(
    load: Load, lines: Lines
) -> None:
    source = lines(b'\xef\xbb\xbf{"a": 1}\r', "", " \t\r", '  {"a": 2} ')
    source.write_bytes(source.read_bytes() + b'{"a": 3}')
    assert load(source) == [{"a": "1"}, {"a": "2"}, {"a": "3"}]


def test_a_file_without_line_breaks_does_not_fill_the_memory(
    load: Load, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONGEST_LINE", 1 << 20)
    source = lines('{"a": 1}', b"x" * (2 << 20))
    with pytest.raises(StageError, match="line 2: longer than 1 MiB"):
        load(source, on_error="skip")


def test_gzip_is_recognised_by_its_content(load: Load, lines: Lines) -> None:
    assert load(lines('{"a": 1}', name="packed.json", packed=True)) == [{"a": "1"}]


def test_a_name_that_ends_in_gz_is_no_sign_of_gzip(load: Load, lines: Lines) -> None:
    assert load(lines('{"a": 1}', name="plain.json.gz")) == [{"a": "1"}]


def test_a_gzip_file_may_have_several_members(load: Load, lines: Lines) -> None:
    source = lines('{"a": 1}', packed=True)
    source.write_bytes(source.read_bytes() * 2)
    assert load(source) == [{"a": "1"}, {"a": "1"}]


@pytest.fixture
def cut_off(lines: Lines) -> tuple[Path, int]:
    """A gzip file that is cut off, and the number of its lines that are whole."""
    source = lines(*(f'{{"a": {number * 7919}}}' for number in range(2000)), packed=True)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 2 // 3])
    text = zlib.decompressobj(wbits=31).decompress(source.read_bytes())
    return source, text.count(b"\n")


def test_a_gzip_file_that_is_cut_off_is_an_error(
    load: Load, output: Path, cut_off: tuple[Path, int]
) -> None:
    source, _ = cut_off
    with pytest.raises(StageError, match=r"after line \d+: damaged archive") as caught:
        load(source)
    assert caught.value.message.startswith(f"{source}: ")
    assert list(output.iterdir()) == []


def test_of_a_gzip_file_that_is_cut_off_all_whole_lines_can_be_loaded(
    load: Load, lines: Lines, cut_off: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    source, whole = cut_off
    rows = load(source, on_error="skip")
    assert len(rows) == whole > 1000
    assert rows[-1] == {"a": str((whole - 1) * 7919)}
    assert capsys.readouterr().err.endswith(f"records: {whole}, malformed lines skipped: 1\n")


def test_a_flipped_bit_in_a_gzip_file_is_an_error(load: Load, lines: Lines) -> None:
    source = lines(*['{"a": 1}'] * 100, packed=True)
    content = bytearray(source.read_bytes())
    content[-6] ^= 1
    source.write_bytes(content)
    with pytest.raises(StageError, match="damaged archive"):
        load(source)


def test_memory_does_not_grow_with_the_file(lines: Lines) -> None:
    # The last line brings a new field, so that both passes over the file are measured.
    source = lines(*[f'{{"a": "{"x" * 20_000}"}}'] * 5_000, '{"b": 1}', packed=True)
    tracemalloc.start()
    try:
        main.main(input=source, output=source.parent, **DEFAULTS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (source.parent / "records.csv").stat().st_size > 100_000_000
    assert peak < 40_000_000
