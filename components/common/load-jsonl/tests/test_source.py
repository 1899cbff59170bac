from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import Load
from stageio import StageError

Lines = Callable[..., Path]

CONTENT = gzip.compress(b'{"a": 1}\n{"a": 2, "b": 3}\n', mtime=0)
ROWS = [{"a": "1", "b": ""}, {"a": "2", "b": "3"}]
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/missing":
            self.send_error(404)
            return
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) + 10 * (path == "/short")))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("path", ["/whole", "/moved", "/whole?signature=s3cret"])
@pytest.mark.parametrize("sha256", ["", SHA256, f"sha256:{SHA256.upper()}"])
def test_a_url_is_fetched_and_nothing_but_the_table_is_left(
    load: Load, server: str, output: Path, path: str, sha256: str
) -> None:
    assert load(server + path, sha256=sha256) == ROWS
    assert [entry.name for entry in output.iterdir()] == ["records.csv"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing?signature=s3cret", "/missing: cannot be fetched: HTTP Error 404: Not Found"),
        ("/short?signature=s3cret", f"got only {len(CONTENT)} out of {len(CONTENT) + 10} bytes"),
        ("/with space?signature=s3cret", "cannot be fetched: InvalidURL"),
    ],
)
def test_a_url_that_cannot_be_fetched_is_an_error_without_its_query(
    load: Load, server: str, output: Path, path: str, message: str
) -> None:
    with pytest.raises(StageError) as caught:
        load(server + path)
    assert caught.value.message.startswith(server)
    assert message in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint
    assert list(output.iterdir()) == []


def test_a_host_that_cannot_be_reached_is_an_error(load: Load) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as closed:
        port = closed.server_port
    with pytest.raises(StageError, match=f"http://127.0.0.1:{port}/x: cannot be fetched: "):
        load(f"http://127.0.0.1:{port}/x")


@pytest.mark.parametrize("url", ["http://me:hunter2@host/x", "http://host:port/x", "http:///x"])
def test_a_url_with_a_password_or_without_a_host_is_an_error(load: Load, url: str) -> None:
    with pytest.raises(StageError, match="--input: ") as caught:
        load(url)
    assert "hunter2" not in caught.value.message


def test_a_url_with_another_sha256_leaves_nothing_behind(
    load: Load, server: str, output: Path
) -> None:
    with pytest.raises(StageError) as caught:
        load(server + "/whole", sha256="0" * 64)
    assert caught.value.message == f"{server}/whole: the SHA-256 is {SHA256}, not {'0' * 64}"
    assert list(output.iterdir()) == []


def test_the_sha256_is_that_of_the_file_as_it_is(
    load: Load, lines: Lines, output: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    with pytest.raises(StageError, match=f"{source}: the SHA-256 is {SHA256}, not 1111"):
        load(source, sha256="1" * 64)
    assert list(output.iterdir()) == []
    assert load(source, sha256=SHA256) == ROWS


def test_a_sha256_has_64_digits(load: Load, lines: Lines) -> None:
    with pytest.raises(StageError, match="--sha256: 'abc' is not a SHA-256"):
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
