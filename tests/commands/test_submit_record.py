"""One line a stage says what became of it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from daintree.argo.recording import StageReport
from daintree.commands.submit import record_as_json, stage_line

RUN = "20260301T101509000Z-words-1-load-0"


def report(**more: Any) -> StageReport:
    """A stage's report."""
    return StageReport(**{"stage": "load", "status": "recorded", "state": "succeeded", **more})


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (report(run=RUN, files=3, bytes=1234), "load   recorded: 3 files, 1.2 kB"),
        (report(status="known", run=RUN, files=1, bytes=0), "load   known already: 1 file, 0 B"),
        (
            report(run=RUN, files=1, bytes=9, why="run x stands under its key, and stays"),
            "load   recorded: 1 file, 9 B; run x stands under its key, and stays",
        ),
        (report(status="refused", why="wrote nothing"), "load   not recorded: wrote nothing"),
        (
            report(status="absent", state="failed", why="main: Error (exit code 1)"),
            "load   failed: main: Error (exit code 1)",
        ),
        (report(status="absent", state="omitted"), "load   omitted"),
    ],
)
def test_a_stage_is_one_line(made: StageReport, line: str) -> None:
    assert stage_line(made, 5, io.StringIO()) == line


def test_programs_get_all_of_it() -> None:
    described = record_as_json("words-1", "daintree", [report(run=RUN, files=3, bytes=1234)])
    assert described == {
        "workflow": "words-1",
        "namespace": "daintree",
        "stages": [
            {
                "stage": "load",
                "status": "recorded",
                "state": "succeeded",
                "why": "",
                "run": RUN,
                "files": 3,
                "bytes": 1234,
            }
        ],
    }
