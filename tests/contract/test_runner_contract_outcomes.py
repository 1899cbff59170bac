"""What every runner guarantees of a stage's end: its exit code comes back, and nothing outlives it."""

from __future__ import annotations

import sys
import threading

import pytest

from daintree.errors import StageFailed
from tests.contract.stages import StageMaker
from tests.held_lock import released

# A descendant that would live for minutes, and holds a lock for as long as it lives.
HOLD = """\
import fcntl, os, subprocess, sys, time
lock = open(os.environ["TMPDIR"] + "/held", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], pass_fds=[lock.fileno()])
"""


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_comes_back(stages: StageMaker, code: int) -> None:
    assert stages.run(stages.job(f"raise SystemExit({code})")).exit_code == code


def test_a_signal_comes_back_as_its_negative_number(stages: StageMaker) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert stages.run(stages.job(source)).exit_code == -9


def test_what_outlives_it_is_ended(stages: StageMaker) -> None:
    job = stages.job(HOLD)
    assert stages.run(job).exit_code == 0
    assert released(job.scratch / "held")


def test_an_exception_ends_it_and_its_children(stages: StageMaker) -> None:
    job = stages.job(HOLD + "print('held', flush=True)\nchild.wait()\n")

    def refuse(line: str) -> None:
        raise ZeroDivisionError(line)

    with pytest.raises(ZeroDivisionError, match="held"):
        stages.run(job, refuse)
    assert released(job.scratch / "held")


def test_it_ends_when_it_is_cancelled(stages: StageMaker) -> None:
    cancelled = threading.Event()
    job = stages.job(HOLD + "print('held', flush=True)\nchild.wait()\n", cancelled=cancelled.is_set)
    with pytest.raises(KeyboardInterrupt):
        stages.run(job, lambda line: cancelled.set())
    assert released(job.scratch / "held")


def test_a_stage_that_cannot_be_started_says_so(stages: StageMaker) -> None:
    job = stages.job("pass", "--name", "nul\0byte")
    with pytest.raises(StageFailed, match=r"stage pipeline:stage: cannot be started: .*null byte"):
        stages.run(job)


def test_a_log_that_cannot_be_written_ends_it(stages: StageMaker) -> None:
    job = stages.job("print('x')\n")
    job.log.mkdir()
    with pytest.raises(StageFailed, match=r"stage pipeline:stage: cannot write the log .*log.txt"):
        stages.run(job)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_under_the_log_ends_it(stages: StageMaker) -> None:
    job = stages.job(HOLD + "print('held', flush=True)\nchild.wait()\n")
    job.log.symlink_to("/dev/full")
    with pytest.raises(StageFailed, match="No space left on device"):
        stages.run(job)
    assert released(job.scratch / "held")
