from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import LIBRARY_PARENT, MODEL_RUN, NEWER_RUN, write_run

SOURCE = """\
import json

from serving import monitor
from stageio import StageError


def main(directory, factor):
    counts = json.loads((directory / "model").read_text())
    if not isinstance(counts, dict):
        raise StageError("a model of schema 1", "train it again")
    return {item: count * factor for item, count in counts.items()}


if __name__ == "__main__":
    monitor(main)
"""
COUNTS = json.dumps({f"i{number}": 10 for number in range(10)})

Monitor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    """Runs the tests' monitor with these arguments, its output in `report`."""
    component = tmp_path / "component"
    component.mkdir()
    (component / "main.py").write_text(SOURCE)
    (component / "component.yaml").write_text("params: {factor: {type: int, default: 1}}\n")

    command = [sys.executable, component / "main.py", "--output", tmp_path / "report"]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(LIBRARY_PARENT)},
            capture_output=True,
            encoding="utf-8",
        )

    return run


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An artifact store with two runs of the stage that trains."""
    store = tmp_path / "store"
    write_run(store, MODEL_RUN, "train", {"model": COUNTS})
    write_run(store, NEWER_RUN, "train", {"model": COUNTS})
    return store


def write_log(directory: Path, run: str, requests: int = 200, **changed: object) -> Path:
    """A log of requests that this run's model answered, each item asked with as often as the others."""
    directory.mkdir(exist_ok=True)
    with (directory / "requests.jsonl").open("a") as file:
        for number in range(requests):
            line = {
                "time": "2026-03-01T10:15:00.000+00:00",
                "run": run,
                "asked": [f"i{number % 10}"],
                "unknown": [],
                "answered": [f"i{number % 10}"],
                **changed,
            }
            file.write(json.dumps(line) + "\n")
    return directory


def report(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "report" / "report.json").read_text())


def test_the_run_that_answered_last_is_judged(
    tmp_path: Path, store: Path, monitor: Monitor
) -> None:
    log = write_log(tmp_path / "log", MODEL_RUN)
    done = monitor("--input", "shop:train", "--store", store, "--served", log)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert report(tmp_path)["run"] == MODEL_RUN, "not the latest, which has answered nothing"
    text = (tmp_path / "report" / "report.txt").read_text()
    assert text.startswith(f"200 requests to the model of run {MODEL_RUN}")
    assert text.endswith("no alert\n")


def test_an_alert_has_an_exit_code_of_its_own(
    tmp_path: Path, store: Path, monitor: Monitor
) -> None:
    log = write_log(tmp_path / "log", MODEL_RUN, asked=["new", "i1"], unknown=["new"])
    done = monitor("--input", "shop:train", "--store", store, "--served", log)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "alert: unknown items: 0.5000 > 0.1"
    assert report(tmp_path)["alerts"][0] == "unknown items: 0.5000 > 0.1"


def test_one_run_can_be_named(tmp_path: Path, store: Path, monitor: Monitor) -> None:
    log = write_log(tmp_path / "log", MODEL_RUN)
    write_log(log, NEWER_RUN, 300, time="2026-03-02T10:15:00.000+00:00")
    monitor("--input", MODEL_RUN, "--store", store, "--served", log)
    assert report(tmp_path)["requests"] == 200
    monitor("--input", "shop:train", "--store", store, "--served", log)
    assert report(tmp_path)["requests"] == 300


def test_a_model_in_a_directory_needs_no_store(tmp_path: Path, monitor: Monitor) -> None:
    log = write_log(tmp_path / "log", "")
    (tmp_path / "model").write_text(COUNTS)
    done = monitor("--input", tmp_path, "--served", log, "--factor", 3)
    assert done.returncode == 0
    assert report(tmp_path)["tenths"][0]["trained"] == 30


def test_only_the_last_hours_can_be_judged(tmp_path: Path, store: Path, monitor: Monitor) -> None:
    log = write_log(tmp_path / "log", MODEL_RUN)
    recent = datetime.now(UTC) - timedelta(minutes=30)
    write_log(log, MODEL_RUN, 250, time=recent.isoformat(timespec="milliseconds"))
    monitor("--input", "shop:train", "--store", store, "--served", log, "--hours", 1)
    assert report(tmp_path)["requests"] == 250


@pytest.mark.parametrize(
    ("run", "wanted", "arguments", "error"),
    [
        (
            MODEL_RUN,
            "shop:train",
            ["--min-requests", 201],
            "200 requests were answered by the model",
        ),
        (MODEL_RUN, NEWER_RUN, [], f"it takes 200 to judge; there are 200 of run {MODEL_RUN}"),
        ("", "shop:train", [], "the model that answered is no run of the store"),
        (MODEL_RUN, "shop:serve", [], "is of shop:train and not of shop:serve"),
        ("20260303T101500000Z-0a1b2c3d", "shop:train", [], "no such run that succeeded in "),
        (MODEL_RUN, "shop:train", ["--hours", -1], "--hours -1.0: out of range"),
        (MODEL_RUN, "shop:train", ["--max-psi", -1], "--max-psi -1.0: out of range"),
        (MODEL_RUN, "shop:train", ["--max-psy", 1], "unknown argument --max-psy"),
    ],
)
def test_what_cannot_be_judged_is_one_error_and_no_report(
    tmp_path: Path,
    store: Path,
    monitor: Monitor,
    run: str,
    wanted: str,
    arguments: list[object],
    error: str,
) -> None:
    log = write_log(tmp_path / "log", run)
    done = monitor("--input", wanted, "--store", store, "--served", log, *arguments)
    assert done.returncode == 1
    said, hint = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert error in said
    assert hint.startswith("hint: ")
    assert not (tmp_path / "report").exists()


def test_an_empty_log_is_too_few_requests(tmp_path: Path, store: Path, monitor: Monitor) -> None:
    log = write_log(tmp_path / "log", MODEL_RUN, requests=0)
    done = monitor("--input", "shop:train", "--store", store, "--served", log)
    assert done.returncode == 1
    assert f"{log}: 0 requests were answered by the model of run {NEWER_RUN}" in done.stderr


def test_a_model_of_another_schema_is_refused(tmp_path: Path, monitor: Monitor) -> None:
    store = tmp_path / "store"
    write_run(store, MODEL_RUN, "train", {"model": "1"})
    log = write_log(tmp_path / "log", MODEL_RUN)
    done = monitor("--input", "shop:train", "--store", store, "--served", log)
    assert done.returncode == 1
    assert done.stderr == "error: a model of schema 1\nhint: train it again\n"
