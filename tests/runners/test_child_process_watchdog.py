from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from daintree.runners.child_process import Watchdog, watchdog

Process = subprocess.Popen[bytes]


@pytest.fixture
def groups() -> Iterator[list[Process]]:
    """Three processes, each the leader of a group of its own."""
    sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
    with ExitStack() as stack:
        made = [
            stack.enter_context(subprocess.Popen(sleep, start_new_session=True)) for _ in range(3)
        ]
        for process in made:
            stack.callback(process.kill)
        yield made


def test_what_has_not_ended_when_the_maker_ends_is_killed(groups: list[Process]) -> None:
    watching = Watchdog()
    for process in groups:
        watching.add(process.pid)
    watching.remove(groups[1].pid)
    watching.close()
    assert groups[0].wait(60) == -signal.SIGKILL
    assert groups[2].wait(60) == -signal.SIGKILL
    assert groups[1].poll() is None


def test_a_watch_with_nothing_to_do_just_ends() -> None:
    watching = Watchdog()
    watching.close()
    assert watching._process.returncode == 0


def test_a_watch_that_is_closed_may_still_be_told(groups: list[Process]) -> None:
    watching = Watchdog()
    watching.add(groups[0].pid)
    watching.close()
    watching.remove(groups[0].pid)
    assert groups[0].wait(60) == -signal.SIGKILL


def test_a_watch_that_was_killed_harms_nothing(groups: list[Process]) -> None:
    watching = Watchdog()
    watching._process.kill()
    watching._process.wait(60)
    watching.add(groups[0].pid)
    watching.remove(groups[0].pid)
    watching.close()
    assert groups[0].poll() is None


def test_a_process_has_one_watch_and_a_fork_its_own() -> None:
    mine = watchdog()
    assert watchdog() is mine
    child = os.fork()
    if not child:
        os._exit(0 if watchdog() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
