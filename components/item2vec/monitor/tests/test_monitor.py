from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from item2vec_model import SCHEMA, write_description
from stageio import write_table

MAIN = Path(__file__).parents[1] / "main.py"
ITEMS = [f"i{number}" for number in range(10)]


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_table(path, pd.DataFrame(rows, columns=header))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What training leaves of its data: each item was bought four times."""
    directory = tmp_path / "model"
    directory.mkdir()
    write_description(directory)
    rows = [(f"u{user}", item, 0) for user in range(4) for item in ITEMS]
    write_rows(directory / "train.csv", ("user", "item", "time"), rows)
    return directory


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """200 requests, each item as often as the others."""
    with (tmp_path / "requests.jsonl").open("w") as file:
        for number in range(200):
            item = ITEMS[number % len(ITEMS)]
            line = {"time": "", "run": "", "asked": [item], "unknown": [], "answered": [item]}
            file.write(json.dumps(line) + "\n")
    return tmp_path


def monitor(model: Path, log: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, MAIN, "--input", model, "--output", log / "report"]
    return subprocess.run(
        [*command, "--served", log, *arguments], capture_output=True, encoding="utf-8"
    )


def test_what_is_served_is_compared_with_the_purchases_in_training(model: Path, log: Path) -> None:
    assert monitor(model, log).returncode == 0
    report = json.loads((log / "report" / "report.json").read_text())
    assert [(t["items"], t["trained"], t["asked"]) for t in report["tenths"]] == [(1, 4, 20)] * 10
    assert report["alerts"] == []


def test_an_alert_ends_it_with_code_two(model: Path, log: Path) -> None:
    rows = [("u", ITEMS[0], 0)] * 99 + [("u", item, 0) for item in ITEMS]
    write_rows(model / "train.csv", ("user", "item", "time"), rows)
    done = monitor(model, log)
    assert done.returncode == 2
    assert done.stderr.startswith("alert: stability index, asked: ")


def test_a_model_of_an_older_schema_is_refused(model: Path, log: Path) -> None:
    (model / "model.json").write_text(json.dumps({"kind": "item2vec", "schema": SCHEMA - 1}))
    done = monitor(model, log)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.endswith(f"a model of schema {SCHEMA - 1}, and this program knows schema {SCHEMA}")
    assert hint.startswith("hint: train the model again")


def test_a_model_without_its_training_data_is_refused(model: Path, log: Path) -> None:
    (model / "train.csv").unlink()
    done = monitor(model, log)
    assert done.returncode == 1
    assert "no file train.csv" in done.stderr
