"""Child processes: an argument list, exactly the environment given, and all that they say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from daintree.process import Finished, capture


def python(script: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-c", script, *arguments]


def test_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    words = ["'; touch x; #", "$HOME", "*", "a b", "", "größe", "--set=a.b=c"]
    script = "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())"
    finished = capture(python(script, *words, tmp_path))
    assert finished.stdout.decode().split("\0") == [*words, str(tmp_path)]


def test_both_streams_and_the_exit_code_are_kept() -> None:
    finished = capture(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    )
    assert finished == Finished(3, b"out\n", b"err\n")


def test_a_signal_is_a_negative_code() -> None:
    finished = capture(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert finished.code == -9


@pytest.mark.parametrize("given", [None, b"", b"a\0b\n"])
def test_the_child_reads_what_it_is_given_and_never_the_terminal(given: bytes | None) -> None:
    script = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert capture(python(script), stdin=given).stdout == (given or b"")


def test_the_child_gets_exactly_the_environment_given() -> None:
    script = "import os; print(sorted(name for name in os.environ if name != 'LC_CTYPE'))"
    finished = capture(python(script), env={"DAINTREE_TEST": "1"})
    assert finished.stdout == b"['DAINTREE_TEST']\n"


def test_the_child_runs_where_it_is_told(tmp_path: Path) -> None:
    finished = capture(python("import os; print(os.getcwd())"), cwd=tmp_path)
    assert finished.stdout.decode().strip() == os.path.realpath(tmp_path)


def test_open_files_are_passed_only_when_asked() -> None:
    reader, writer = os.pipe()
    try:
        script = "import os, sys; os.write(int(sys.argv[1]), b'x')"
        assert capture(python(script, str(writer))).code == 1
        assert capture(python(script, str(writer)), pass_fds=[writer]).code == 0
        assert os.read(reader, 8) == b"x"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_program_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        capture([tmp_path / "missing"])


@pytest.mark.parametrize(
    ("stdout", "stderr", "complaint"),
    [
        (b"out", b" err\n", "err"),
        (b" out\n", b" \n", "out"),
        (b"", b"", ""),
        (b"", b"\xff\xc3\xa9", "\ufffdé"),
    ],
)
def test_a_complaint_is_what_was_said_last(stdout: bytes, stderr: bytes, complaint: str) -> None:
    assert Finished(1, stdout, stderr).complaint() == complaint
