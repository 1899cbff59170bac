"""Sources on the web, declared digests, and secrets that must not stay anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.web_server import Server, web_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.projects import Project

TEXT = b"to be or not to be\n"
ALL_HITS = {"load": "hit", "clean": "hit", "count": "hit"}
ALL_RUN = {"load": "run", "clean": "run", "count": "run"}


@pytest.fixture
def server() -> Iterator[Server]:
    with web_server() as running:
        yield running


def traces(project: Project, secret: str) -> list[Path]:
    """The files that a run has left anywhere and that hold the secret."""
    directories = (project.root, project.root.parent / "store", project.root.parent / "cache")
    files = (path for top in directories for path in top.rglob("*") if path.is_file())
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_a_url_is_fetched_once_and_again_when_its_etag_changes(
    project: Project, server: Server
) -> None:
    url = server.serve("/corpus.txt", TEXT, headers={"ETag": '"one"'})

    assert project.reasons("words", "--source", url)["load"] == "the source is not fetched yet"
    assert server.requests() == ["HEAD /corpus.txt"]
    assert project.run("words", "--source", url) == ALL_RUN
    assert "GET /corpus.txt" in server.requests()
    assert project.run("words", "--source", url) == ALL_HITS
    assert server.requests() == ["HEAD /corpus.txt"]

    server.serve("/corpus.txt", b"something else\n", headers={"ETag": '"two"'})
    assert project.run("words", "--source", url) == ALL_RUN
    server.serve("/corpus.txt", TEXT, headers={"ETag": '"three"'})
    assert project.run("words", "--source", url) == ALL_HITS


def test_a_source_of_a_declared_digest_needs_no_server_any_more(
    project: Project, server: Server
) -> None:
    url = server.serve("/corpus.txt", TEXT)
    source = {"location": url, "sha256": hashlib.sha256(TEXT).hexdigest()}
    project.pipeline("remote", "text/load", source=source)
    assert project.run("remote") == {"load": "run"}
    server.serve("/corpus.txt", status=503)
    server.requests()

    assert project.run("remote") == {"load": "hit"}
    assert server.requests() == []


@pytest.mark.parametrize("remote", [True, False])
def test_a_source_of_another_digest_than_declared_is_refused(
    project: Project, server: Server, remote: bool
) -> None:
    location = server.serve("/corpus.txt", TEXT) if remote else "corpus.txt"
    project.pipeline("declared", "text/load", source={"location": location, "sha256": "ab" * 32})

    complaint = project.doit("run", "declared").complaint()

    assert f"{location} is not the file that the pipeline declares" in complaint
    assert project.executed("declared") == []


@pytest.mark.parametrize(
    ("status", "message"), [(404, "the server answers 404"), (401, "the server answers 401")]
)
def test_what_a_server_refuses_is_told(
    project: Project, server: Server, status: int, message: str
) -> None:
    url = server.serve("/corpus.txt", status=status)

    complaint = project.doit("run", "words", "--source", url).complaint()

    assert f"error: --source: the source {url}" in complaint
    assert message in complaint


def test_nobody_who_listens_is_told(project: Project, server: Server) -> None:
    with web_server() as gone:
        url = gone.serve("/corpus.txt")

    assert f"{url} cannot be reached" in project.doit("run", "words", "--source", url).complaint()


def test_secrets_stay_nowhere(project: Project, server: Server) -> None:
    server.serve("/corpus.txt", TEXT, headers={"ETag": '"one"'})
    urls = [
        f"http://reader:hunter2@{server.address}/corpus.txt",
        f"http://{server.address}/corpus.txt?signature=hunter2",
    ]
    for url in urls:
        secrets = {"AWS_SECRET_ACCESS_KEY": "hunter2", "API_TOKEN": "hunter2"}
        finished = project.doit("run", "words", "--source", url, env=secrets)
        assert finished.code == 0, finished.stderr
        shown = project.doit("show", "words:load").stdout
        assert "hunter2" not in finished.stdout + finished.stderr + shown

    assert server.received[0][2].startswith("Basic ")
    assert traces(project, "not to be")
    assert traces(project, "hunter2") == []


def test_a_record_says_where_a_redirect_led(project: Project, server: Server) -> None:
    real = server.serve("/real", TEXT, headers={"ETag": '"one"'})
    url = server.serve("/corpus.txt", status=302, headers={"Location": "/real?signature=hunter2"})
    assert project.run("words", "--source", url) == ALL_RUN
    shown = json.loads(project.doit("show", "words:load", "--json").stdout)
    (given,) = shown["inputs"]
    assert (given["origin"], given["final_origin"]) == (url, real)
    assert traces(project, "hunter2") == []
