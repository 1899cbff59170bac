from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Start, write_prices

Command = Callable[..., "subprocess.Popen[str]"]
TOKEN = {"Authorization": "Bearer a-token"}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("a-token\n")
    return path


def test_a_service_answers_and_names_its_parameters(start: Start, model: Path) -> None:
    service = start(model, "--factor", 3)
    reply = service.ask("POST", "/price", {"items": ["b", "a"]})
    assert (reply.status, reply.json) == (200, {"prices": [6, 3], "run": ""})


def test_health_and_metrics(start: Start, model: Path) -> None:
    service = start(model)
    assert service.ask("GET", "/health/live").json == {"status": "live"}
    assert service.ask("GET", "/health/ready").json == {"status": "ready"}
    service.ask("POST", "/price", {"items": ["a", "zzz"]})
    service.ask("GET", "/no/such/route")
    reply = service.ask("GET", "/metrics")
    lines = reply.body.decode().splitlines()
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert 'serving_requests_total{method="POST",route="/price",status="404"} 1.0' in lines
    assert 'serving_requests_total{method="GET",route="none",status="404"} 1.0' in lines
    assert 'serving_request_seconds_count{route="/price"} 1.0' in lines
    assert "serving_items_total 2.0" in lines
    assert "serving_unknown_items_total 1.0" in lines
    assert 'serving_model{commit="",run="",version=""} 1.0' in lines


@pytest.mark.parametrize(
    ("body", "status", "error", "message"),
    [
        (b'{"items": ', 400, "malformed_json", "the body is not JSON"),
        (b'{"items": ["a"], "x": 1}', 422, "invalid_request", "x: Extra inputs are not permitted"),
        (b'{"items": [NaN]}', 422, "invalid_request", "items.0: Input should be a valid string"),
        (b'{"items": ["\\ud800"]}', 422, "invalid_request", "items.0: "),
        (b'{"items": [""]}', 422, "invalid_request", "items.0: String should have at least 1"),
        (b"[" * 100_000, 400, "malformed_json", "the body is not JSON"),
        (b"\xff", 400, "malformed_json", "the body is not JSON"),
        (b" " * 1_000_000, 413, "too_large", "a body has at most 262,144 bytes"),
    ],
)
def test_what_cannot_be_answered_gets_one_clear_body(
    start: Start, model: Path, body: bytes, status: int, error: str, message: str
) -> None:
    reply = start(model).ask("POST", "/price", body)
    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.json["message"].startswith(message)


def test_a_body_without_a_length_is_bounded_too(start: Start, model: Path) -> None:
    connection = start(model).connect()
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/price", iter([b" " * 1000] * 1000), headers, encode_chunked=True)
    assert connection.getresponse().status == 413


def test_unknown_items_are_told_apart_from_an_unknown_path(start: Start, model: Path) -> None:
    service = start(model)
    reply = service.ask("POST", "/price", {"items": ["a", "zzz"]})
    assert reply.status == 404
    assert reply.json["error"] == "unknown_items"
    assert reply.json["unknown"] == ["zzz"]
    assert service.ask("GET", "/zzz").json["error"] == "not_found"
    assert service.ask("DELETE", "/price").status == 405


def test_a_bug_is_a_500_that_tells_nothing_of_the_inside(start: Start, model: Path) -> None:
    service = start(model)
    reply = service.ask("GET", "/broken")
    assert (reply.status, reply.json["error"]) == (500, "internal_error")
    assert b"secret" not in reply.body
    assert service.ask("GET", "/health/live").status == 200


def test_the_request_log_has_a_line_for_each_request(
    start: Start, model: Path, tmp_path: Path
) -> None:
    service = start(model)
    service.ask("POST", "/price", {"items": ["a", "zzz"]})
    assert service.end() == 0
    (line,) = (tmp_path / "output" / "requests.jsonl").read_text().splitlines()
    logged = json.loads(line)
    assert logged.pop("time").endswith("+00:00")
    assert logged == {"run": "", "asked": ["a", "zzz"], "unknown": ["zzz"], "answered": []}


def test_the_request_log_can_be_turned_off(start: Start, model: Path, tmp_path: Path) -> None:
    service = start(model, "--request-log=false")
    service.ask("POST", "/price", {"items": ["a"]})
    service.end()
    assert not (tmp_path / "output").exists()


def test_openapi_names_every_problem_a_route_answers_with(start: Start, model: Path) -> None:
    described = start(model).ask("GET", "/openapi.json").json
    assert set(described["paths"]["/price"]["post"]["responses"]) == {
        "200", "400", "404", "413", "422",
    }  # fmt: skip
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_a_hangup_loads_the_newer_model(start: Start, model: Path) -> None:
    service = start(model)
    write_prices(model, a=7)
    service.process.send_signal(signal.SIGHUP)
    service.line("reloaded: ")
    assert service.ask("POST", "/price", {"items": ["a"]}).json["prices"] == [7]


def test_reload_asks_for_the_token(start: Start, model: Path, token: Path) -> None:
    service = start(model, "--reload-token-file", token)
    write_prices(model, a=7)
    assert service.ask("POST", "/reload").status == 401
    assert service.ask("POST", "/reload", headers={"Authorization": "Bearer x"}).status == 401
    assert service.ask("POST", "/price", {"items": ["a"]}).json["prices"] == [1]
    assert service.ask("POST", "/reload", headers=TOKEN).status == 200
    assert service.ask("POST", "/price", {"items": ["a"]}).json["prices"] == [7]
    assert not any("a-token" in line for line in service.said)


def test_without_a_token_reload_is_turned_off(start: Start, model: Path) -> None:
    reply = start(model).ask("POST", "/reload", headers={"Authorization": "Bearer "})
    assert (reply.status, reply.json["error"]) == (403, "forbidden")


def test_a_reload_that_fails_leaves_the_model(start: Start, model: Path, token: Path) -> None:
    service = start(model, "--reload-token-file", token)
    write_prices(model, schema=2, a=7)
    reply = service.ask("POST", "/reload", headers=TOKEN)
    assert (reply.status, reply.json["error"]) == (409, "not_reloaded")
    assert reply.json["message"] == "a model of schema 2"
    assert service.ask("POST", "/price", {"items": ["a"]}).json["prices"] == [1]


def test_a_reload_drops_no_request(start: Start, model: Path, token: Path) -> None:
    service = start(model, "--reload-token-file", token)
    kept = service.connect()
    headers = {"Content-Type": "application/json"}
    seen = []
    for price in range(1, 21):
        write_prices(model, a=price)
        reloading = service.connect()
        reloading.request("POST", "/reload", headers=TOKEN)
        for _ in range(5):
            kept.request("POST", "/price", b'{"items": ["a"]}', headers)
            response = kept.getresponse()
            assert response.status == 200
            seen += json.loads(response.read())["prices"]
        assert reloading.getresponse().status == 200
        reloading.close()
    assert seen == sorted(seen)
    assert seen[-1] >= 19


def test_term_answers_what_has_come_in_before_it_ends(
    start: Start, model: Path, tmp_path: Path
) -> None:
    service = start(model, "--drain-seconds", 1)
    waiting = service.connect()
    waiting.request("GET", "/slow")
    assert service.ask("GET", "/health/ready").status == 200
    service.process.send_signal(signal.SIGTERM)
    # Until it has taken notice of the signal, it is ready.
    while (reply := service.ask("GET", "/health/ready")).status == 200:
        pass
    assert (reply.status, reply.json["error"]) == (503, "service_unavailable")
    assert service.ask("POST", "/price", {"items": ["a"]}).status == 200
    (tmp_path / "output" / "go").touch()
    assert waiting.getresponse().status == 200
    assert service.process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(start: Start, model: Path, number: int) -> None:
    assert start(model).end(number) == 0


def refusal(command: Command, *arguments: object, **environment: str) -> list[str]:
    process = command(*arguments, **environment)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, said
    return said.splitlines()


def test_a_model_of_another_schema_is_refused_at_start(command: Command, tmp_path: Path) -> None:
    model = write_prices(tmp_path / "model", schema=2)
    said = refusal(command, "--input", model, "--output", tmp_path / "o", "--port=0")
    assert said == ["error: a model of schema 2", "hint: train it again"]


def test_what_is_no_model_is_refused_at_start(command: Command, tmp_path: Path) -> None:
    error, hint = refusal(command, "--input", tmp_path, "--output", tmp_path / "o", "--port=0")
    assert error.startswith(f"error: {tmp_path}: not a model that can be read: ")
    assert hint == "hint: take the output of the stage that trains it"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "999.1.1.1"], "cannot listen on 999.1.1.1, port 8000: "),
        (["--port", "70000"], "--port 70000: out of range"),
        (["--drain-seconds", "-1"], "--drain-seconds -1.0: out of range"),
        (["--idle-seconds", "0"], "--idle-seconds 0.0: out of range"),
        (["--request-seconds", "0"], "--request-seconds 0.0: out of range"),
        (["--connections", "0"], "--connections 0: out of range"),
        (["--output", "s3://bucket/log"], "--output s3://bucket/log: a service writes"),
        (["--reload-token-file", "none.txt"], "none.txt: No such file or directory"),
        (["--ports", "1"], "unknown argument --ports"),
    ],
)
def test_bad_arguments_are_named(
    command: Command, model: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    said = refusal(command, "--input", model, "--output", tmp_path / "o", *arguments)
    assert said[0].startswith(f"error: {message}")
    assert len(said) <= 2


def test_a_port_that_is_taken_is_an_error(start: Start, command: Command, model: Path) -> None:
    port = start(model).port
    error, _ = refusal(command, "--input", model, "--output", model.parent / "o", "--port", port)
    assert error.startswith(f"error: cannot listen on 127.0.0.1, port {port}: ")
