"""Child processes: run by argument lists, never by a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple


class Finished(NamedTuple):
    """A child's exit code (negative: the signal that killed it), stdout and stderr."""

    code: int
    stdout: bytes
    stderr: bytes

    def complaint(self) -> str:
        """stderr, or else stdout, as one stripped text."""
        return (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "replace")


def run_in_foreground(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run a program on this process's own input and output, to its end; its exit code, as a shell reports it.

    Interrupts are the program's alone. To be called from the main thread. Raises OSError as starting it does.
    """

    def ignore(number: int, frame: object) -> None:
        return

    # Not ignored but handled: what is ignored would be ignored by the program as well.
    previous = signal.signal(signal.SIGINT, ignore)
    try:
        code = subprocess.call(list(arguments), cwd=cwd, env=dict(env))
    finally:
        signal.signal(signal.SIGINT, previous)
    return code if code >= 0 else 128 - code


def stream(
    arguments: Sequence[str],
    *,
    stdin: bytes,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
) -> int:
    """Run a program to its end on `stdin`; each line of its stdout and stderr goes to `on_line`. Its exit code.

    When this call is left by an exception (an interrupt too), the program is killed. Raises OSError as starting it does.
    """
    import tempfile

    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        with subprocess.Popen(
            list(arguments),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
            except BaseException:
                process.kill()
                raise
        return process.returncode


class Running:
    """A program that runs beside this process; its output goes to files, so that it never waits for a reader."""

    def __init__(self, arguments: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start it without input. Raises OSError as starting it does."""
        self._stdout, self._stderr = _scratch_file(), _scratch_file()
        self._process = subprocess.Popen(
            arguments, env=env, stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=self._stderr
        )

    def finish(self) -> Finished:
        """Wait for its end."""
        code = self._process.wait()
        contents = []
        for file in (self._stdout, self._stderr):
            file.seek(0)
            contents.append(file.read())
            file.close()
        return Finished(code, *contents)

    def stop(self) -> None:
        """End it, unless it has ended."""
        self._process.terminate()
        self._process.wait()


def _scratch_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("output"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def capture(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run a program to its end and capture its output.

    The child gets exactly `env` (or this process's environment), `stdin` (or nothing) and the open
    files `pass_fds`.
    Raises FileNotFoundError when the program does not exist, OSError as starting it does.
    """
    done = subprocess.run(
        [os.fspath(argument) for argument in arguments],
        cwd=cwd,
        env=env,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        pass_fds=pass_fds,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)
