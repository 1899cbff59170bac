"""A real MLflow server with an SQLite backend, for the tests of `doit export mlflow`.

It lives in an environment of its own, which `requirements/mlflow-server.txt` locks: MLFLOW_SERVER is its `mlflow` program.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from tests.services.availability import unavailable

START_SECONDS = 300
STOP_SECONDS = 30


@contextmanager
def mlflow_server(directory: Path) -> Iterator[str]:
    """The address of a server that keeps everything in a directory. Skips the test where there is no server, which in CI is a failure."""
    program = os.environ.get("MLFLOW_SERVER") or shutil.which("mlflow-server")
    if program is None:
        unavailable("MLFLOW_SERVER is not set: requirements/mlflow-server.in says what it is")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db"]
    command += ["--artifacts-destination", str(directory / "artifacts"), "--serve-artifacts"]
    with open(directory / "server.log", "wb") as log:
        server = subprocess.Popen(
            command,
            cwd=directory,
            # Its queues of jobs would be eight processes more, of which the export needs none.
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/health", server, directory / "server.log")
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (OSError, HTTPException):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
