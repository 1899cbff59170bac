"""Commands of `doit` as forks of one process that has imported it: what an attack of many thousand commands can afford.

Each is a process group of its own, with its own directory, environment and output, and can be killed like any other.
"""

from __future__ import annotations

import functools
import importlib.metadata
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

_IMPORTED = (
    *("oracle", "hypothesis.stateful", "tomllib", "doit.doit_cmd", "yaml"),
    *("boto3.session", "boto3.s3.transfer", "botocore.retries.standard", "obstore.store"),
    *(f"daintree.commands.{name}" for name in ("gc", "history", "main", "plan", "run")),
    *("daintree.argo.submission", "daintree.images.builders", "daintree.images.image_versions"),
    *("daintree.components.snapshot", "daintree.pipeline.execute", "daintree.runners.local"),
    *(f"daintree.store.{name}" for name in ("cache", "directory", "remote", "s3")),
)
_LOCK = threading.Lock()
# doit reads six times a command what is installed; here it stays the same.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)  # type: ignore[assignment]
for _group in ("BACKEND", "COMMAND", "LOADER", "REPORTER"):
    importlib.metadata.entry_points(group=f"doit.{_group}")


@functools.cache
def _context() -> ForkServerContext:
    """The context of the one process, started when it is first needed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    before = os.environ.get("PYTHONPATH")
    # It has no other way to the modules of this directory.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    forkserver.ensure_running()
    del os.environ["PYTHONPATH"]
    if before is not None:
        os.environ["PYTHONPATH"] = before
    return context


class Command:
    """A command that has been started; a `subprocess.Popen` with pipes, as far as the attacks need one."""

    def __init__(
        self, program: Path, arguments: tuple[str, ...], directory: Path, env: Mapping[str, str]
    ) -> None:
        self._written = tempfile.TemporaryDirectory(prefix="command-")
        self._files = [Path(self._written.name, name) for name in ("out", "err")]
        # Whoever starts one looks after those that have ended, and only one may do that at a time.
        with _LOCK:
            self._process = _context().Process(
                target=_run, args=([str(program), *arguments], directory, dict(env), self._files)
            )
            self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, as `subprocess.Popen` has it; None before `communicate` has waited for it."""
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Wait for the end: stdout and stderr. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        if not connection.wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired("doit", timeout or 0)
        with _LOCK:
            self._process.join()
        out, err = (file.read_bytes() if file.exists() else b"" for file in self._files)
        self._written.cleanup()
        return out, err

    def kill(self) -> None:
        """Kill the command and all that it has started, at once."""
        assert self._process.pid
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            # It has ended, or leads no group yet.
            self._process.kill()


def _run(
    arguments: list[str], directory: Path, environment: dict[str, str], files: list[Path]
) -> None:
    from daintree.commands.main import main

    os.setsid()
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL), number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    main()
