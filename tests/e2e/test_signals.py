"""Interrupted or terminated: the stage and its children are gone, and nothing is half-published."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.fifos import Channel
    from tests.e2e.projects import Project

# The stage and its child hold the channel open until they are gone, or a minute has passed.
WORK = """\
signal.alarm(60)
{prologue}
channel = open(arguments.channel, "w")
child = subprocess.Popen(
    [sys.executable, "-c", "import signal; signal.alarm(60); signal.pause()"],
    pass_fds=[channel.fileno()],
)
(output / "half.txt").write_text("half")
print("here", file=channel, flush=True)
child.wait()
"""
PROLOGUES = {
    "polite": "",
    "stubborn": "for n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)",
}
SIDE = {"type": "str", "affects_output": False}


@pytest.fixture(params=list(PROLOGUES.values()), ids=list(PROLOGUES))
def working(request: pytest.FixtureRequest, project: Project, channel: Channel) -> Project:
    """A project with a pipeline `work` whose second stage does not end by itself."""
    project.component("odd/work", WORK.format(prologue=request.param), channel=SIDE)
    params = {"channel": str(channel.path)}
    project.pipeline("work", "text/load", {"component": "odd/work", "params": params})
    return project


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_the_stage_and_its_children(
    working: Project, channel: Channel, number: signal.Signals, code: int, word: str
) -> None:
    process = working.start("run", "work")
    assert channel.receive() == "here\n"
    os.killpg(process.pid, number)
    finished = working.finish(process)

    assert finished.code == code
    assert channel.receive() == ""
    assert f"error: {word}; nothing half-made was kept" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    assert working.plan("work") == {"load": "hit", "work": "miss"}
    assert working.executed("work") == ["load"]


@pytest.mark.parametrize("prologue", list(PROLOGUES.values()), ids=list(PROLOGUES))
def test_a_signal_ends_stages_that_run_side_by_side(
    project: Project, channel: Channel, prologue: str
) -> None:
    body = WORK.format(prologue=prologue)
    project.component("odd/work", body, channel=SIDE, side={"type": "str"})
    sides = [
        {
            "component": "odd/work",
            "name": side,
            "needs": ["load"],
            "params": {"channel": str(channel.path), "side": side},
        }
        for side in ("left", "right")
    ]
    project.pipeline("work", "text/load", *sides)
    process = project.start("run", "work", "-n", "2")
    received = channel.receive()
    while received.count("here") < 2:
        more = channel.receive()
        assert more, "a stage is gone before both were there"
        received += more
    os.killpg(process.pid, signal.SIGINT)
    finished = project.finish(process)

    assert finished.code == 130
    assert finished.stderr.endswith("\nerror: interrupted; nothing half-made was kept\n")
    assert channel.receive() == ""
    assert project.executed("work") == ["load"]


def test_a_signal_while_waiting_for_another_run(working: Project, channel: Channel) -> None:
    first = working.start("run", "work")
    channel.receive()
    second = working.start("run", "work")
    assert second.stderr is not None
    assert any("waiting" in line for line in second.stderr)
    os.killpg(second.pid, signal.SIGINT)

    assert working.finish(second).code == 130
    os.killpg(first.pid, signal.SIGINT)
    assert working.finish(first).code == 130
    assert channel.receive() == ""


def test_after_an_interrupt_the_store_holds_no_remains(project: Project, channel: Channel) -> None:
    project.component("odd/work", WORK.format(prologue=""), channel=SIDE)
    params = {"channel": str(channel.path)}
    project.pipeline("work", {"component": "odd/work", "params": params})
    process = project.start("run", "work")
    channel.receive()
    os.killpg(process.pid, signal.SIGINT)
    project.finish(process)

    staging = os.path.join(project.environ["DAINTREE_STORE"], "_staging")
    assert os.listdir(staging) == []
    assert project.doit("store", "--json").json()["runs"] == 0
