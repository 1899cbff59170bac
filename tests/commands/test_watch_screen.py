from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from daintree.commands.run import Progress
from daintree.commands.watch import WatchReport
from daintree.errors import SourceError, StageFailed
from daintree.pipeline.decisions import Miss
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Planned
from daintree.store.records import RunManifest
from tests.contract.runs import manifest_of

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.MULTILINE)


@pytest.fixture
def made(planned: Callable[..., Planned]) -> Planned:
    return planned({name: Miss() for name in ("load", "left", "right", "join")})


@pytest.fixture
def failed() -> RunManifest:
    return manifest_of()


def tell_all(report: WatchReport, made: Planned, failed: RunManifest) -> None:
    """One of each."""
    report.watching("x", 60.0)
    report.unchanged(made.plan)
    report.failed_before(made.plan, failed)
    report.starting(made.plan)
    run = PipelineRun(made, Progress(made))
    run.output = "out"
    report.ran(run, 1.5)
    report.failed(StageFailed("stage x:load failed", hint="the whole log is there"))
    report.away(SourceError("the source is gone"))
    report.back()


def test_people_get_lines_with_the_time(
    made: Planned, failed: RunManifest, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_all(WatchReport(), made, failed)
    out, err = capsys.readouterr()
    assert out == "x: 0 hits, 0 runs, 1.50 s spent, 0.00 s saved\noutput in out\n"
    assert TIME.sub("now", err).splitlines() == [
        "now  watching the source of x, every 60 s",
        "now  nothing to run: the store has all of x (4 stages)",
        f"now  not run: words:train ended with exit code 1 on the same source before (run {failed.run})",
        "hint: doit run words tries it again",
        "now  running x on data.json",
        "now  failed: stage x:load failed",
        "hint: the whole log is there",
        "the watch goes on: it runs again when the source changes",
        "now  away: the source is gone",
        "the watch goes on",
        "now  back: what was away is there again",
    ]


def test_programs_get_an_event_a_line(
    made: Planned, failed: RunManifest, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_all(WatchReport(as_json=True), made, failed)
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert all(TIME.fullmatch(event.pop("time")) for event in events)
    ran = {"seconds": 1.5, "output": "out", "pipeline": "x", "runner": "local", "stages": []}
    assert events == [
        {"event": "watching", "pipeline": "x", "interval": 60.0},
        {"event": "unchanged", "source": "data.json"},
        {
            "event": "failed-before",
            "source": "data.json",
            "stage": "train",
            "run": failed.run,
            "failure": "ended with exit code 1",
        },
        {"event": "starting", "source": "data.json"},
        {"event": "ran", **ran},
        {"event": "failed", "message": "stage x:load failed", "hint": "the whole log is there"},
        {"event": "away", "message": "the source is gone", "hint": None},
        {"event": "back"},
    ]
    assert err == ""
