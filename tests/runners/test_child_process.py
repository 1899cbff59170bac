from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daintree.runners import child_process as child
from daintree.runners.child_process import run_child
from tests.held_lock import released

# Holds a lock until it dies, and ignores the polite signal.
STUBBORN = """\
import fcntl, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open("held", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(300)
"""

# Runs STUBBORN as a stage; says when that has begun.
DRIVER = """\
import sys
from pathlib import Path
from daintree.runners import child_process as child
child.GRACE_SECONDS = 0.1
here = Path(sys.argv[1])
child.run_child([sys.executable, "stubborn.py"], env={}, cwd=here, log=here / "log", on_line=print)
"""


@pytest.fixture
def driver(tmp_path: Path) -> subprocess.Popen[str]:
    """A process in which a stage runs, and has begun."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    root = Path(child.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", DRIVER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_an_interrupt_ends_a_stage_that_ignores_the_polite_signal(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert released(tmp_path / "held")


def test_the_stage_does_not_outlive_a_killed_parent(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    driver.kill()
    driver.communicate(timeout=60)
    assert released(tmp_path / "held")


def test_a_polite_stage_may_clean_up(tmp_path: Path) -> None:
    source = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('cleaned', 'w'), sys.exit(1)))\n"
        "print('ready', flush=True)\ntime.sleep(300)\n"
    )

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(
            [sys.executable, "-c", source],
            env={},
            cwd=tmp_path,
            log=tmp_path / "log",
            on_line=interrupt,
        )
    assert (tmp_path / "cleaned").exists()


def test_a_daemon_in_a_session_of_its_own_holds_up_nothing(tmp_path: Path) -> None:
    # It keeps the output open and goes on writing to it.
    source = (
        "import subprocess, sys\n"
        "daemon = subprocess.Popen(['/bin/sh', '-c', 'while echo noise; do :; done'],"
        " start_new_session=True)\n"
        "print('daemon', daemon.pid, flush=True)\n"
    )
    lines: list[str] = []
    outcome = run_child(
        [sys.executable, "-c", source],
        env={},
        cwd=tmp_path,
        log=tmp_path / "log",
        on_line=lines.append,
    )
    daemon = next(int(line.split()[1]) for line in lines if line.startswith("daemon "))
    os.kill(daemon, signal.SIGKILL)
    assert outcome.exit_code == 0


def test_output_closed_early_does_not_end_it(tmp_path: Path) -> None:
    source = "import os\nos.close(1)\nos.close(2)\nopen('later', 'w')\nos._exit(7)\n"
    outcome = run_child(
        [sys.executable, "-c", source],
        env={},
        cwd=tmp_path,
        log=tmp_path / "log",
        on_line=print,
    )
    assert outcome.exit_code == 7
    assert (tmp_path / "later").exists()


def test_nothing_stays_open(tmp_path: Path) -> None:
    def once() -> None:
        run_child(
            [sys.executable, "-c", "print(1)"],
            env={},
            cwd=tmp_path,
            log=tmp_path / "log",
            on_line=lambda line: None,
        )

    once()
    before = sorted(os.listdir("/dev/fd"))
    for _ in range(3):
        once()
    with pytest.raises(child.ChildFailed, match="No such file or directory"):
        run_child(
            [str(tmp_path / "missing")],
            env={},
            cwd=tmp_path,
            log=tmp_path / "log",
            on_line=print,
        )
    assert sorted(os.listdir("/dev/fd")) == before


def test_a_log_that_cannot_be_written_is_a_child_that_failed(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with pytest.raises(child.ChildFailed, match=r"cannot write the log .*: Is a directory"):
        run_child(
            [sys.executable, "-c", "print(1)"],
            env={},
            cwd=tmp_path,
            log=tmp_path / "log",
            on_line=print,
        )


def test_the_log_is_added_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    run_child(
        [sys.executable, "-c", "print('after')"],
        env={},
        cwd=tmp_path,
        log=tmp_path / "log",
        on_line=lambda line: None,
    )
    assert (tmp_path / "log").read_text() == "before\nafter\n"
