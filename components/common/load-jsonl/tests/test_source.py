from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import main
import pytest
from conftest import Load
from stageio import StageError, read_table, run

Lines = Callable[..., Path]

CONTENT = gzip.compress(b'{"a": 1}\n{"a": 2, "b": 3}\n', mtime=0)
ROWS = [{"a": "1", "b": ""}, {"a": "2", "b": "3"}]
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_url_is_fetched_and_nothing_but_the_table_is_left(output: Path) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}/reviews.json.gz?signature=s3cret"
        arguments = ["--input", url, "--output", str(output), "--sha256", SHA256]
        run(main.main, accepts_url=True, argv=arguments)
        http.shutdown()
    assert [entry.name for entry in output.iterdir()] == ["records.csv"]
    assert read_table(output / "records.csv").to_dict("records") == ROWS


def test_the_sha256_is_that_of_the_file_as_it_is(
    load: Load, lines: Lines, output: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    with pytest.raises(StageError, match=f"{source}: the SHA-256 is {SHA256}, not 1111"):
        load(source, sha256="1" * 64)
    assert list(output.iterdir()) == []
    assert load(source, sha256=SHA256) == ROWS


def test_what_is_no_sha256_fits_no_file(load: Load, lines: Lines) -> None:
    with pytest.raises(StageError, match=r"the SHA-256 is [0-9a-f]{64}, not abc"):
        load(lines('{"a": 1}'), sha256="abc")


def test_a_directory_is_loaded_file_by_file_in_order(load: Load, lines: Lines) -> None:
    lines('{"a": 3}', name="source/b.json")
    lines('{"a": 1}', name="source/a 1.json.gz", packed=True)
    lines('{"a": 2}', name="source/a2/part-0")
    lines("hidden", name="source/.a.json.crc")
    lines("hidden", name="source/.hidden/a.json")
    source = lines(name="source/_SUCCESS").parent
    assert [row["a"] for row in load(source)] == ["1", "2", "3"]


def test_a_directory_may_hold_links_to_files(load: Load, lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to(lines('{"a": 1}'))
    assert load(tmp_path / "source") == [{"a": "1"}]


def test_a_malformed_line_in_a_directory_names_its_file(load: Load, lines: Lines) -> None:
    lines('{"a": 3}', name="source/a.json")
    broken = lines('{"a": 1}', "x", name="source/b.json")
    with pytest.raises(StageError, match=r"^b\.json: line 2: not JSON"):
        load(broken.parent)


def test_an_empty_directory_is_an_error(load: Load, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(StageError, match=r"not a single record \(files: 0"):
        load(tmp_path / "source")


@pytest.mark.parametrize("count", [0, 2])
def test_a_sha256_needs_a_single_file(load: Load, lines: Lines, tmp_path: Path, count: int) -> None:
    (tmp_path / "source").mkdir()
    for number in range(count):
        lines('{"a": 1}', name=f"source/{number}")
    with pytest.raises(StageError, match=f"{count} files, but --sha256 is that of one file"):
        load(tmp_path / "source", sha256=SHA256)


def test_a_sha256_fits_a_directory_of_one_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "only").write_bytes(CONTENT)
    assert load(tmp_path / "source", sha256=SHA256) == ROWS
