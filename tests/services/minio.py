"""A real MinIO server for the tests of one process, on a free port of the loopback address, and its client `mc`."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from daintree.store.s3 import S3Access
from tests.services.availability import unavailable

LONGEST_SECONDS = 60
USER, PASSWORD = "root-of-the-tests", "secret-of-the-tests"


class Minio(msgspec.Struct, frozen=True):
    """A running server. `access` is its root's; `process` its process id."""

    access: S3Access
    directory: str
    process: int

    def bucket(self) -> str:
        """The name of a fresh bucket."""
        name = f"ml-artifacts-{uuid.uuid4().hex[:12]}"
        self.mc("mb", "--quiet", f"it/{name}")
        return name

    def key(self, policy: object, *, name: str = "") -> S3Access:
        """A new key that may do what the policy (as MinIO's JSON has it) allows."""
        user = name or f"user-{uuid.uuid4().hex[:8]}"
        file = Path(self.directory, f"{user}.json")
        file.write_text(json.dumps(policy), encoding="utf-8")
        self.mc("admin", "user", "add", "it", user, PASSWORD)
        self.mc("admin", "policy", "create", "it", user, file)
        self.mc("admin", "policy", "attach", "it", user, "--user", user)
        return msgspec.structs.replace(self.access, access_key=user, secret_key=PASSWORD)

    def mc(self, *arguments: str | Path) -> str:
        """Run MinIO's client, which must succeed; `it` is the server. What it printed."""
        directory = Path(self.directory, "mc")
        done = subprocess.run(
            [program("mc"), "--config-dir", directory, *arguments],
            env={**os.environ, "MC_HOST_it": self._alias()},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _alias(self) -> str:
        host = self.access.endpoint.partition("://")[2]
        return f"http://{self.access.access_key}:{self.access.secret_key}@{host}"


def variables(access: S3Access) -> dict[str, str]:
    """The environment variables that name this server and this key."""
    return {
        "MINIO_ENDPOINT": access.endpoint,
        "MINIO_ACCESS_KEY": access.access_key,
        "MINIO_SECRET_KEY": access.secret_key,
    }


def read_only(bucket: str) -> Mapping[str, object]:
    """The policy of a key that may read a bucket and nothing else."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        ],
    }


@functools.cache
def program(name: str) -> str:
    """The path of `minio` or `mc`: on PATH or where `go install` puts it. Skips the test where it is neither."""
    program = shutil.which(name)
    if program is None and shutil.which("go"):
        answer = subprocess.run(["go", "env", "GOPATH"], capture_output=True, text=True)
        program = shutil.which(name, path=f"{answer.stdout.strip()}/bin")
    program = program or shutil.which(name, path=f"{os.path.expanduser('~')}/go/bin")
    if program is None:
        unavailable(f"no {name}: neither on PATH nor where `go install` puts it")
    return program


def start(directory: Path, port: int, certificates: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a server with its files below `directory`; it answers when this returns.

    With a directory of `certificates` (public.crt, private.key) it speaks https.
    """
    command = [program("minio"), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += ["--certs-dir", str(certificates)] if certificates else []
    log = open(directory / "minio.log", "ab")  # noqa: SIM115
    process = subprocess.Popen(
        [*command, directory / "data"],
        env={**os.environ, "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    _wait_until_it_answers(port, process, "https" if certificates else "http")
    return process


def access_to(port: int) -> S3Access:
    """How the server at this port is reached by its root."""
    return S3Access(
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key=USER,
        secret_key=PASSWORD,
    )


@functools.cache
def running_server() -> Minio:
    """The server of this process, started when it is first asked for and stopped when the process ends."""
    directory = Path(tempfile.mkdtemp(prefix="daintree-minio-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    port = free_port()
    process = start(directory, port)
    atexit.register(stop, process)
    return Minio(access_to(port), str(directory), process.pid)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server that `start` has started."""
    process.kill()
    process.wait(LONGEST_SECONDS)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], scheme: str) -> None:
    import ssl
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    for _ in range(LONGEST_SECONDS * 20):
        assert process.poll() is None, "the server ended"
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            if scheme == "https":
                context = ssl._create_unverified_context()
                connection = HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
            connection.request("GET", "/minio/health/ready")
            if connection.getresponse().status == 200:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError(f"nobody answers at port {port}")


@pytest.fixture(scope="session")
def minio() -> Minio:
    """The server that all tests of this process share."""
    return running_server()
