"""A pipeline `slow` whose second stage waits at a gate, and what is done to those who run it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.fifos import Channel, Gate
    from tests.e2e.projects import Project

# A stage that tells when it is there, holds the channel for as long as it lives, and waits at a gate, but for half a
# minute at most.
WAIT = """\
signal.alarm(30)
channel = open(arguments.channel, "w")
print("here", end="", file=channel, flush=True)
with open(arguments.gate, "rb", buffering=0) as gate:
    gate.read(1)
(output / "done.txt").write_text("done")
"""
SIDE = {"type": "str", "affects_output": False}


def with_slow_pipeline(project: Project, channel: Channel, gate: Gate) -> Project:
    """The project with the pipeline `slow`, its second stage at this channel and this gate."""
    project.component("odd/wait", WAIT, channel=SIDE, gate=SIDE)
    params = {"channel": str(channel.path), "gate": str(gate.path)}
    project.pipeline("slow", "text/load", {"component": "odd/wait", "params": params})
    return project


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process with its group, and wait for it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def statuses(project: Project, process: subprocess.Popen[str]) -> dict[str, str]:
    """How each stage got its output in a run that must succeed."""
    return project.finish(process).statuses()
