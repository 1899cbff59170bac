from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The library is imported by its own name, as it is beside a component's main.py.
sys.path.append(str(Path(__file__).absolute().parents[2]))

import serving

MODEL_RUN = "20260301T101500000Z-0a1b2c3d"
NEWER_RUN = "20260302T101500000Z-0a1b2c3d"

LIBRARY_PARENT = Path(serving.__file__).absolute().parents[1]

DESCRIPTION = """\
description: prices, for the tests
params:
  factor: {type: int, default: 1}
"""

# The smallest service there is: its model is a table of prices.
SOURCE = """\
import asyncio
import json
from pathlib import Path

from serving import Answer, Name, NotKnown, Question, serve
from serving.problems import responses
from stageio import StageError


class Asked(Question):
    items: list[Name]


class Price(Answer):
    prices: list[int]
    run: str


def read_prices(directory):
    content = json.loads((directory / "prices.json").read_bytes())
    if content["schema"] != 1:
        raise StageError(f"a model of schema {content['schema']}", "train it again")
    return content["prices"]


def main(service, *, factor):
    # In the training data, a occurs 7 times, the others as often as they cost.
    models = service.models(read_prices, lambda directory: read_prices(directory) | {"a": 7})

    @service.app.post("/price", responses=responses(404))
    async def price(asked: Asked) -> Price:
        prices = models.current
        unknown = [item for item in asked.items if item not in prices]
        service.served(asked.items, unknown)
        if unknown:
            raise NotKnown("items", unknown)
        return Price(prices=[prices[item] * factor for item in asked.items], run=service.run)

    @service.app.get("/slow")
    async def slow() -> Price:
        run = service.run
        while not Path(service.options.output, "go").exists():
            await asyncio.sleep(0.01)
        return Price(prices=[], run=run)

    @service.app.get("/broken")
    async def broken() -> Price:
        raise ValueError("a secret of the inside")


if __name__ == "__main__":
    serve(main)
"""


@dataclass
class Reply:
    """One answer: its status, its headers and its body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A service that runs as a process of its own and said where it listens."""

    process: subprocess.Popen[str]
    host: str
    port: int
    said: list[str]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=30)

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = self.connect()
        content = body if isinstance(body, bytes) or body is None else json.dumps(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, content, sent)
        response = connection.getresponse()
        reply = Reply(response.status, response.headers, response.read())
        connection.close()
        return reply

    def line(self, start: str) -> str:
        """The next line on stderr that begins so; fails when the service ends without it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if line.startswith(start):
                return self.said[-1]
        raise AssertionError(f"no line {start!r}: {self.said}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


Start = Callable[..., Running]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the service as a process, with these arguments and variables."""
    component = tmp_path / "component"
    component.mkdir()
    (component / "main.py").write_text(SOURCE, encoding="utf-8")
    (component / "component.yaml").write_text(DESCRIPTION, encoding="utf-8")

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(component / "main.py"), *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(LIBRARY_PARENT), **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start


@pytest.fixture
def start(tmp_path: Path, command: Callable[..., subprocess.Popen[str]]) -> Iterator[Start]:
    """Starts the service on a free port and waits until it listens."""
    processes = []

    def run(model: object, *arguments: object, **environment: str) -> Running:
        output = tmp_path / "output"
        process = command(
            "--input", model, "--output", output, "--port", 0, *arguments, **environment
        )
        processes.append(process)
        running = Running(process, "", 0, [])
        address = running.line("serving ").partition("http://")[2].split()[0]
        running.host, _, port = address.rpartition(":")
        running.port = int(port)
        return running

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def write_prices(directory: Path, schema: int = 1, **prices: int) -> Path:
    """A model directory of the tests' service."""
    directory.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"schema": schema, "prices": prices})
    partial = directory / "partial"
    partial.write_text(content)
    partial.rename(directory / "prices.json")
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model directory that knows a and b."""
    return write_prices(tmp_path / "model", a=1, b=2)


def signed(path: str, record: dict[str, object]) -> bytes:
    """A record as the store keeps it at a path: with the checksum of its path and its other bytes."""
    body = json.dumps(record, separators=(",", ":")).encode()[1:] + b"\n"
    checksum = hashlib.sha256(f"daintree:stored:1\n{path}\n".encode() + body).hexdigest()
    return f'{{"checksum":"{checksum}",'.encode() + body


def history_entry(store: Path, stage: str, run: str) -> Path:
    """Where the history keeps a run: by day and time, inverted, so that the newest sorts first."""
    digits = str.maketrans("0123456789", "9876543210")
    day, time = run[:8].translate(digits), run[9:18].translate(digits)
    return store / "_history" / "shop" / stage / day / f"{time}-{run}"


def write_run(
    store: Path, run: str, stage: str, files: dict[str, str], *, reads: str = "", result: str = ""
) -> Path:
    """A run as the artifact store keeps it; its digest is `sha256:<run>`."""
    location = f"group/{stage}/{run}"
    output = store / location / "output"
    output.mkdir(parents=True)
    entries = []
    for name, content in files.items():
        (output / name).write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        entries.append({"path": name, "size": len(content), "sha256": digest})
    manifest = {
        "run": run,
        "location": location,
        "pipeline": "shop",
        "stage": stage,
        "result": result or "succeeded",
        "inputs": [{"name": "train", "digest": reads, "origin": ""}],
        "output": {"digest": f"sha256:{run}", "files": entries},
    }
    (store / location / "run.json").write_bytes(signed(f"{location}/run.json", manifest))
    entry = history_entry(store, stage, run)
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(json.dumps({"schema": 2, "run": run, "location": location}))
    return store / location


def write_name(store: Path, name: str, stage: str, run: Path) -> Path:
    """Let `shop@name` lead to the run at a place."""
    content = (run / "run.json").read_bytes()
    named = {
        "location": run.relative_to(store).as_posix(),
        "record": hashlib.sha256(content).hexdigest(),
    }
    path = f"_names/shop/{name}"
    (store / path).parent.mkdir(parents=True, exist_ok=True)
    (store / path).write_bytes(signed(path, {"schema": 2, "runs": {stage: named}}))
    return store / path


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that lead to a MinIO of the tests' own."""
    program = shutil.which("minio")
    if program is None:
        problem = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        problem("no minio on PATH")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    user, password = "the-access-key", "the-secret-key"
    server = subprocess.Popen(
        [program, "server", "--address", address, str(tmp_path_factory.mktemp("minio"))],
        env={**os.environ, "MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        assert server.stdout is not None
        assert any("API: " in line for line in server.stdout), "MinIO has not started"
        yield {
            "MINIO_ENDPOINT": f"http://{address}",
            "MINIO_ACCESS_KEY": user,
            "MINIO_SECRET_KEY": password,
        }
    finally:
        server.terminate()
        server.communicate()


@pytest.fixture
def s3(minio: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A boto3 client of that MinIO, which the service reaches by its variables, too."""
    import boto3

    for name, value in minio.items():
        monkeypatch.setenv(name, value)
    return boto3.client(
        "s3",
        endpoint_url=minio["MINIO_ENDPOINT"],
        aws_access_key_id=minio["MINIO_ACCESS_KEY"],
        aws_secret_access_key=minio["MINIO_SECRET_KEY"],
        region_name="us-east-1",
    )
