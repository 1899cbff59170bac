"""One boundary for the errors of all commands: a message, a hint and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daintree.commands.command import complain, guarded
from daintree.errors import DaintreeError, Interrupted, SettingsError, UsageError, from_os_error

ROOT = Path(__file__).parents[2]


def failing(error: BaseException) -> Callable[[], int]:
    def fail() -> int:
        raise error

    return fail


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (2, 2)])
def test_what_a_command_returns_is_the_exit_code(result: int | None, code: int) -> None:
    assert guarded(lambda: result) == code


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DaintreeError("wrong"), 1, "error: wrong\n"),
        (SettingsError("wrong", hint="do this"), 1, "error: wrong\nhint: do this\n"),
        (Interrupted("stopped", signal_number=15), 143, "error: stopped\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; nothing half-made was kept\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            1,
            "error: /x/y: No space left on device\n"
            "hint: free some disk space; `doit gc` removes outputs that no pipeline reaches\n",
        ),
        (OSError(errno.EIO, "Input/output error"), 1, "error: Input/output error\n"),
        (TimeoutError("timed out"), 1, "error: timed out\n"),
    ],
)
def test_an_error_is_one_message_on_stderr(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(error)) == code
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", message)


def test_a_bug_shows_its_traceback_and_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing(ZeroDivisionError("a bug"))) == 3
    output = capsys.readouterr()
    assert output.err.startswith("Traceback (most recent call last):")
    assert output.err.endswith("ZeroDivisionError: a bug\n")
    assert output.out == ""


def test_a_termination_ends_with_143_and_the_handler_before_stands_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminate() -> None:
        signal.raise_signal(signal.SIGTERM)

    assert guarded(terminate) == 143
    assert capsys.readouterr().err == "error: terminated; nothing half-made was kept\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_away_is_no_success_and_no_traceback(stream: str) -> None:
    script = (
        "import sys\n"
        "from daintree.commands.command import guarded\n"
        f"sys.exit(guarded(lambda: print('x' * int(sys.argv[1]), file=sys.{stream})))\n"
    )
    for amount in ("10", "1000000"):
        reader, writer = os.pipe()
        os.close(reader)
        finished = subprocess.run(
            [sys.executable, "-c", script, amount],
            cwd=ROOT,
            check=False,
            stdout=writer if stream == "stdout" else subprocess.PIPE,
            stderr=writer if stream == "stderr" else subprocess.PIPE,
        )
        os.close(writer)
        assert finished.returncode == 141
        assert (finished.stdout or b"") + (finished.stderr or b"") == b""


# More than a pipe holds: the thread is in the midst of its write until somebody reads.
LEFT_BEHIND = """
import sys, threading
from daintree.commands.command import guarded

def action():
    threading.Thread(target=lambda: print("x" * 1_000_000, file=sys.stderr), daemon=True).start()
    sys.stdin.readline()
    return 7

sys.exit(guarded(action))
"""


def test_a_thread_that_is_left_behind_in_a_write_is_no_abort() -> None:
    command = [sys.executable, "-c", LEFT_BEHIND]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=buffered, stdin=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # Once the first of it is here, it is being written.
        begun = process.stderr.read(1)
        process.stdin.close()
        code = process.wait(timeout=60)
        printed = begun + process.stderr.read()
    assert code == 7
    assert set(printed) == {ord("x")}


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some disk space; `doit gc` removes outputs that no pipeline reaches"),
        (
            errno.EDQUOT,
            "your disk quota is used up; `doit gc` removes outputs that no pipeline reaches",
        ),
        (errno.EACCES, "check the permissions"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, ""),
    ],
)
def test_an_error_of_the_system_has_a_place_and_a_hint(number: int, hint: str) -> None:
    error = from_os_error(OSError(number, os.strerror(number), "/x/größe"))
    assert (error.message, error.hint) == (f"/x/größe: {os.strerror(number)}", hint)
    assert error.exit_code == 1


def test_a_message_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain(UsageError("wrong"))
    assert capsys.readouterr().err == "error: wrong\n"
