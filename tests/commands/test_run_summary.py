from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from daintree.commands.run import Progress, run_as_json, run_summary
from daintree.pipeline.decisions import Hit, Miss, Result
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Planned


@pytest.fixture
def run(planned: Callable[..., Planned], hit: Callable[[str, float], Hit]) -> PipelineRun:
    """A run of which `load` was a hit and `left` was computed."""
    made = planned({name: Miss() for name in ("load", "left", "right", "join")})
    run = PipelineRun(made, Progress(made))
    run.results["load"] = Result("hit", hit("r1", 60.0).record)
    run.results["left"] = Result("run", hit("r2", 2.0).record)
    return run


def test_each_stage_has_its_path_and_the_last_line_counts(run: PipelineRun) -> None:
    assert run_summary(run, 2.345).splitlines() == [
        "  load  hit  1 min 00 s  r1",
        "  left  run  2.00 s      r2",
        "x: 1 hit, 1 run, 2.35 s spent, 1 min 00 s saved",
    ]


def test_a_copied_output_is_said_last(run: PipelineRun) -> None:
    run.output = "out/x"
    assert run_summary(run, 0).splitlines()[-1] == "output in out/x"


def test_programs_get_the_same(run: PipelineRun) -> None:
    report = run_as_json(run)
    assert (report["pipeline"], report["runner"]) == ("x", "local")
    assert report["stages"][1] == {
        "name": "left",
        "status": "run",
        "run": "r2",
        "seconds": 2.0,
        "digest": "sha256:r2",
        "path": str(run.session.store.address("at/r2")),
    }
    assert json.loads(json.dumps(report)) == report
