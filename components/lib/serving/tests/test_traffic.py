from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from serving.traffic import Traffic, read_served
from stageio import StageError


def line(**changed: object) -> str:
    request = {
        "time": "2026-03-01T10:15:00.000+00:00",
        "run": "r1",
        "asked": ["a", "b", "new"],
        "unknown": ["new"],
        "answered": ["c"],
    }
    return json.dumps({**request, **changed}) + "\n"


def test_requests_are_counted_by_the_run_that_answered(tmp_path: Path) -> None:
    later = "2026-03-02T10:15:00.000+00:00"
    newest = line(run="r2", time=later)
    (tmp_path / "requests.jsonl").write_text(line() + newest + line(answered=[]))

    served = read_served(str(tmp_path))

    assert (served.newest, served.broken, served.by_tenth) == ("r2", 0, False)
    early = "2026-03-01T10:15:00.000+00:00"
    assert served.runs["r1"] == Traffic(2, 2, served.runs["r1"].asked, {"c": 1}, early, early)  # type: ignore[arg-type]
    assert served.runs["r1"].asked == {"a": 2, "b": 2}
    assert served.runs["r2"].requests == 1


def test_an_empty_log_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").touch()
    served = read_served(str(tmp_path))
    assert (served.runs, served.newest, served.broken) == ({}, "", 0)


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[1]",
        "7",
        "{}",
        '{"time": 7, "run": "r1", "asked": [], "unknown": [], "answered": []}',
        line(asked=None).strip(),
        line(asked=[1]).strip(),
        line(unknown=7).strip(),
        "[" * 100_000,
        "",
    ],
)
def test_broken_lines_are_counted_and_hide_no_other(tmp_path: Path, broken: str) -> None:
    (tmp_path / "requests.jsonl").write_text(line() + broken + "\n" + line())
    served = read_served(str(tmp_path))
    assert served.broken == 1
    assert served.runs["r1"].requests == 2


def test_bytes_that_are_no_text_are_a_broken_line(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_bytes(b"\xff\xfe\0\n" + line().encode())
    served = read_served(str(tmp_path))
    assert (served.broken, served.runs["r1"].requests) == (1, 1)


def test_a_last_line_that_is_being_written_is_not_broken(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(line() + line()[:20])
    served = read_served(str(tmp_path))
    assert (served.broken, served.runs["r1"].requests) == (0, 1)


def test_rotated_logs_and_those_of_other_processes_count(tmp_path: Path) -> None:
    for name in ("requests.jsonl", "requests.jsonl.1", "requests.jsonl.2", "b/requests.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(line())
    (tmp_path / "other.jsonl").write_text(line())
    assert read_served(str(tmp_path)).runs["r1"].requests == 4


def test_a_file_that_is_met_under_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(line())
    (tmp_path / "requests.jsonl.1").hardlink_to(tmp_path / "requests.jsonl")
    assert read_served(str(tmp_path)).runs["r1"].requests == 1


def test_what_is_older_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(line() + line(time="2026-03-02T10:15:00.000+00:00"))
    served = read_served(str(tmp_path / "requests.jsonl"), since="2026-03-02T00:00:00.000+00:00")
    assert served.runs["r1"].requests == 1


@pytest.mark.parametrize("name", ["none", "empty"])
def test_where_there_is_no_log_it_says_where_one_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError, match="no ") as failure:
        read_served(str(tmp_path / name))
    assert "a service has as --output" in failure.value.hint


def test_a_log_may_lie_in_a_bucket(s3: Any) -> None:
    s3.create_bucket(Bucket="logs")
    s3.put_object(Bucket="logs", Key="day/requests.jsonl", Body=line().encode())
    assert read_served("s3://logs/day").runs["r1"].requests == 1


def test_a_service_tells_the_same_by_its_counters(
    start: Start, model: Path, tmp_path: Path
) -> None:
    service = start(model)
    for items in (["a", "b"], ["a", "zzz"]):
        service.ask("POST", "/price", {"items": items})
    counted = read_served(f"http://{service.host}:{service.port}/").runs[""]
    assert service.end() == 0
    logged = read_served(str(tmp_path / "output")).runs[""]

    assert counted.requests == logged.requests == 2
    assert counted.unknown == logged.unknown == 1
    assert logged.asked == {"a": 2, "b": 1}
    # The tests' service knows how often its items occur: a, most often, makes up the first tenths.
    assert counted.asked == {"1": 2, "8": 1}
    assert counted.answered.total() == logged.answered.total() == 0


Answering = Callable[[int, bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts a server that answers everything so; its address."""
    servers = []

    def start(status: int, body: bytes) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                return

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b"", "the answer is 503"),
        (200, b"<html>", "these are no metrics of a service"),
        (200, b"\xff", "the service cannot be reached"),
        (200, b"up 1\n", "these are no metrics of a service"),
        (200, b'serving_model{version="1"} 1\n', "these are no metrics of a service"),
        (200, b'serving_questions_total{run="r"} NaN\n', "these are no metrics of a service"),
    ],
)
def test_what_is_no_service_is_told(
    answering: Answering, status: int, body: bytes, message: str
) -> None:
    with pytest.raises(StageError, match=message):
        read_served(answering(status, body))


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://[::1", "http://127.0.0.1:x"])
def test_a_service_that_cannot_be_reached_is_told(address: str) -> None:
    with pytest.raises(StageError, match="cannot be re"):
        read_served(address)


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(StageError) as failure:
        read_served("http://user:secret@127.0.0.1:1/?token=secret")
    assert "secret" not in failure.value.message + failure.value.hint


def test_counters_have_no_times() -> None:
    with pytest.raises(StageError, match="--hours: "):
        read_served("http://127.0.0.1:1", since="2026-03-02")
