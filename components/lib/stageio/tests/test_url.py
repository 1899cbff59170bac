from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from stageio import StageError
from stageio.url import fetch

CONTENT = b"content"


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
def test_a_url_gives_a_file(server: str, tmp_path: Path, path: str) -> None:
    file = fetch(server + path, tmp_path)
    assert (file.read_bytes(), file.name) == (CONTENT, path.partition("?")[0].lstrip("/"))


@pytest.mark.parametrize("path", ["", "/", "/a/..", "/" + 300 * "a"])
def test_a_url_whose_name_is_no_files_gives_a_file(server: str, tmp_path: Path, path: str) -> None:
    assert fetch(server + path, tmp_path).parent == tmp_path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing?signature=s3cret", "/missing: cannot be fetched: HTTP Error 404: Not Found"),
        ("/short?signature=s3cret", f"got only {len(CONTENT)} out of {len(CONTENT) + 10} bytes"),
        ("/with space?signature=s3cret", "cannot be fetched: InvalidURL"),
    ],
)
def test_a_url_that_cannot_be_fetched_is_an_error_without_its_query(
    server: str, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(StageError) as caught:
        fetch(server + path, tmp_path)
    assert caught.value.message.startswith(server)
    assert message in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_a_host_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as closed:
        port = closed.server_port
    with pytest.raises(StageError, match=f"http://127.0.0.1:{port}/x: cannot be fetched: "):
        fetch(f"http://127.0.0.1:{port}/x", tmp_path)


@pytest.mark.parametrize("url", ["http://me:hunter2@host/x", "http://host:port/x", "http:///x"])
def test_a_url_with_a_password_or_without_a_host_is_an_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(StageError, match="--input: ") as caught:
        fetch(url, tmp_path)
    assert "hunter2" not in caught.value.message
