"""What people see of a run, line by line, on stderr alone."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from daintree.commands.run import Progress
from daintree.pipeline.decisions import Hit, Miss
from daintree.pipeline.plan import Planned

DECISIONS = {name: Miss() for name in ("load", "left", "right", "join")}


def test_every_event_is_a_line_with_its_stage(
    planned: Callable[..., Planned],
    hit: Callable[[str, float], Hit],
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = hit("r1", 1.5).record
    progress = Progress(planned(DECISIONS))
    progress.hit("load", record)
    progress.starting("left", "no run recorded", None)
    progress.note("left", "installing 3 packages, 12.0 MB")
    progress.line("left", "read 10 rows")
    progress.computed("left", msgspec.structs.replace(record, count=1))
    progress.warning("join", "stage join: output file x is missing; computing it again")
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "load   hit   saves 1.50 s",
        "left   run   no run recorded",
        "left   note  installing 3 packages, 12.0 MB",
        "left   | read 10 rows",
        "left   done  1.50 s, 1 file, 1.5 kB",
        "warning: stage join: output file x is missing; computing it again",
    ]
    assert printed.out == ""


def test_an_image_that_may_change_is_no_matter_of_a_virtual_environment(
    planned: Callable[..., Planned], capsys: pytest.CaptureFixture[str]
) -> None:
    Progress(planned(DECISIONS, warnings=("the base image has no pin",)))
    assert capsys.readouterr().err == ""


def test_a_silent_stage_shows_elapsed_and_expected_time(
    planned: Callable[..., Planned], capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    progress = Progress(planned(DECISIONS), clock=lambda: now)
    progress.starting("left", "no run recorded", 90.0)
    progress.starting("right", "no run recorded", None)
    shown = {}
    for now in (19.0, 21.0, 40.0, 62.0):
        if now == 40.0:
            progress.line("right", "read 10 rows")
        progress.print_silent()
        shown[now] = capsys.readouterr().err.splitlines()[-2:]
    progress.end()
    assert shown[19.0] == [
        "left   run   no run recorded",
        "right  run   no run recorded",
    ]
    assert shown[21.0] == [
        "left   …     running for 21.0 s; last run 1 min 30 s",
        "right  …     running for 21.0 s",
    ]
    assert shown[40.0] == ["right  | read 10 rows"]
    assert shown[62.0] == ["left   …     running for 1 min 02 s; last run 1 min 30 s"]
