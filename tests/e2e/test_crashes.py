"""Killed at any moment, or started twice: the next run finds whole outputs or computes them."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.slow_pipeline import kill, statuses

if TYPE_CHECKING:
    from tests.e2e.fifos import Channel, Gate
    from tests.e2e.projects import Project

EXPECTED = {
    "load": {"lines.txt": b"The cat sat on the mat\n"},
    "clean": {"lines.txt": b"the cat sat on the mat\n"},
}
TARGET = ("words:clean", "--set", "load.limit=1")
SHARDS = 4
POINTS_PER_SHARD = 4
DELAYS_PER_SHARD = 3
BOTH_RUN = {"load": "run", "wait": "run"}


def outputs(project: Project) -> dict[str, dict[str, bytes]]:
    """Run to the end; what each stage's output then holds."""
    return {name: project.contents(path) for name, path in project.outputs(*TARGET).items()}


def apart(project: Project, name: object) -> Project:
    """The project with a store and a cache of its own."""
    place = project.root.parent / f"apart-{name}"
    return project.at(
        project.root, DAINTREE_STORE=str(place / "store"), XDG_CACHE_HOME=str(place / "cache")
    )


def kill_with_its_stage(process: subprocess.Popen[str], channel: Channel) -> None:
    """Kill, and wait until the stage is gone too, so that it takes no byte at the gate any more."""
    kill(process)
    assert channel.receive() == ""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_before_any_write_no_half_written_run_is_a_hit(project: Project, shard: int) -> None:
    log = project.root.parent / "writes"
    # Otherwise the writes of whoever makes the environment, which all share, would be counted too.
    assert project.doit("run", *TARGET).code == 0
    whole = apart(project, "whole")
    assert whole.doit("run", *TARGET, env=project.watched(writes=log)).code == 0
    count = len(log.read_text().splitlines())
    assert count > SHARDS * POINTS_PER_SHARD
    points = [
        1 + count * n // (SHARDS * POINTS_PER_SHARD) for n in range(SHARDS * POINTS_PER_SHARD)
    ]

    for point in points[shard::SHARDS]:
        killed = apart(project, point)
        env = project.watched(kill_at=point)
        assert killed.doit("run", *TARGET, env=env).code == -signal.SIGKILL
        assert outputs(killed) == EXPECTED, f"killed before write {point} of {count}"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_after_any_time_no_half_written_run_is_a_hit(project: Project, shard: int) -> None:
    chance = random.Random(shard)
    for attempt in range(DELAYS_PER_SHARD):
        killed = apart(project, attempt)
        process = killed.start("run", *TARGET)
        try:
            process.wait(chance.uniform(0.1, 1.0))
        except subprocess.TimeoutExpired:
            kill(process)
        assert outputs(killed) == EXPECTED


def test_what_was_done_before_the_kill_is_not_done_again(
    waiting: Project, channel: Channel, gate: Gate
) -> None:
    process = waiting.start("run", "slow")
    assert channel.receive() == "here"
    kill_with_its_stage(process, channel)

    assert waiting.plan("slow") == {"load": "hit", "wait": "miss"}
    gate.open()
    assert waiting.run("slow") == {"load": "hit", "wait": "run"}
    assert waiting.executed("slow") == ["load", "wait"]


def test_the_kill_takes_the_stage_with_it(waiting: Project, channel: Channel) -> None:
    process = waiting.start("run", "slow")
    assert channel.receive() == "here"
    kill(process)

    assert channel.receive() == ""


def test_nothing_of_a_killed_run_stays_in_the_store(
    waiting: Project, channel: Channel, gate: Gate
) -> None:
    process = waiting.start("run", "slow")
    channel.receive()
    kill_with_its_stage(process, channel)
    staging = Path(waiting.environ["DAINTREE_STORE"]) / "_staging"
    assert list(staging.iterdir())

    gate.open()
    waiting.run("slow")

    assert list(staging.iterdir()) == []


def test_of_two_runs_at_once_one_waits_for_the_other(
    waiting: Project, channel: Channel, gate: Gate
) -> None:
    first = waiting.start("run", "slow", "--json")
    channel.receive()
    second = waiting.start("run", "slow", "--json")
    assert second.stderr is not None
    line = next(line for line in second.stderr if "waiting" in line)
    assert "another run computes the same" in line
    gate.open()

    assert statuses(waiting, first) == BOTH_RUN
    assert statuses(waiting, second) == {"load": "hit", "wait": "hit"}
    assert waiting.executed("slow") == ["load", "wait"]


def test_when_the_one_computing_is_killed_the_one_waiting_takes_over(
    waiting: Project, channel: Channel, gate: Gate
) -> None:
    first = waiting.start("run", "slow")
    channel.receive()
    second = waiting.start("run", "slow", "--json")
    assert second.stderr is not None
    assert any("waiting" in line for line in second.stderr)
    kill(first)
    gate.open()

    assert statuses(waiting, second) == {"load": "hit", "wait": "run"}


def test_many_runs_at_once_compute_each_stage_once(project: Project) -> None:
    runs = [project.start("run", *TARGET, "--json") for _ in range(4)]
    reports = [statuses(project, run) for run in runs]

    assert project.executed() == ["clean", "load"]
    for stage in EXPECTED:
        assert sorted(report[stage] for report in reports) == ["hit", "hit", "hit", "run"]
    assert outputs(project) == EXPECTED


def test_many_runs_at_once_make_an_environment_once(project: Project) -> None:
    environments = project.root.parent / "environments"
    fresh = project.at(project.root, DAINTREE_ENVIRONMENTS=str(environments))
    runs = [fresh.start("run", "words", "--json") for _ in range(3)]

    assert [fresh.finish(run).code for run in runs] == [0, 0, 0]
    assert len([path for path in environments.iterdir() if path.is_dir()]) == 1
