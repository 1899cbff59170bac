from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import main
import pytest
from stageio import read_table

Load = Callable[..., list[dict[str, str]]]

DEFAULTS: dict[str, Any] = {
    "fields": "",
    "drop": "",
    "on_error": "fail",
    "max_skipped": 1.0,
    "sha256": "",
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "output"
    directory.mkdir()
    return directory


@pytest.fixture
def load(output: Path) -> Load:
    """Loads a source with the given parameters and returns the rows that were written."""

    def rows(source: Path, **parameters: object) -> list[dict[str, str]]:
        main.main(input=source, output=output, **{**DEFAULTS, **parameters})
        return read_table(output / "records.csv").to_dict("records")

    return rows


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """Writes a source file of the given lines."""

    def write(*content: str | bytes, name: str = "source.json", packed: bool = False) -> Path:
        raw = b"".join(
            (line if isinstance(line, bytes) else line.encode()) + b"\n" for line in content
        )
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
        return path

    return write
