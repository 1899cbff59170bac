"""A real image registry on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daintree.errors import EngineError
from daintree.images.engine import connect
from tests.services.availability import unavailable
from tests.services.engine import BASE_IMAGE, remove_images

if TYPE_CHECKING:
    from docker import APIClient

PROGRAMS = ("docker-registry", "registry")
LONGEST_SECONDS = 30
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Registry:
    """A registry that listens at `address` (host:port) and keeps everything below `directory`."""

    address: str
    directory: Path

    def digest(self, repository: str, tag: str) -> str:
        """What the registry says the digest of a tag is; "" where there is no such tag."""
        status, headers, _ = self.ask("HEAD", f"/v2/{repository}/manifests/{tag}")
        return headers.get("docker-content-digest", "") if status == 200 else ""

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, sorted."""
        status, _, body = self.ask("GET", f"/v2/{repository}/tags/list")
        return sorted(json.loads(body)["tags"] or []) if status == 200 else []

    def labels(self, repository: str, tag: str) -> dict[str, str]:
        """The labels of the image that a tag names."""
        manifest = json.loads(self.ask("GET", f"/v2/{repository}/manifests/{tag}")[2])
        blob = f"/v2/{repository}/blobs/{manifest['config']['digest']}"
        labels: dict[str, str] = json.loads(self.ask("GET", blob)[2])["config"]["Labels"]
        return labels

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any, bytes]:
        """(status, headers in lower case, body) of one request."""
        connection = http.client.HTTPConnection(self.address, timeout=LONGEST_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Accept": MANIFEST, "Content-Type": MANIFEST})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read()


@contextlib.contextmanager
def serve(directory: Path, settings: dict[str, Any] | None = None) -> Iterator[Registry]:
    """Start a registry with its files below `directory`, and stop it; `settings` are added to its configuration."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        unavailable("no registry: neither docker-registry nor registry is installed")
    address = f"127.0.0.1:{free_port()}"
    configuration = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "registry")},
            "delete": {"enabled": True},
        },
        "http": {"addr": address},
        **(settings or {}),
    }
    file = directory / "registry.json"
    # JSON is YAML.
    file.write_text(json.dumps(configuration), encoding="utf-8")
    with open(directory / "registry.log", "wb") as log:
        process = subprocess.Popen([program, "serve", file], stdout=log, stderr=log)
    try:
        wait_until_open(address, process)
        yield Registry(address, directory)
    finally:
        process.terminate()
        process.wait(LONGEST_SECONDS)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_until_open(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens there; it must not end."""
    host, _, port = address.rpartition(":")
    for _ in range(LONGEST_SECONDS * 20):
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((host, int(port))).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError(f"nobody listens at {address}")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for all tests of this worker; images that were named after it are removed from the engine."""
    with serve(tmp_path_factory.mktemp("registry")) as served:
        yield served
    with contextlib.suppress(EngineError), contextlib.closing(connect()) as client:
        for pattern in ("*", "*/*", "*/*/*", "*/*/*/*"):
            remove_images(client, reference=f"{served.address}/{pattern}")


@pytest.fixture(scope="session")
def based_registry(registry: Registry, engine: APIClient) -> Registry:
    """The registry with the base image's layers in it: what is pushed on top of them is small, and quick to push."""
    name = f"{registry.address}/base"
    engine.tag(BASE_IMAGE, name, "slim")
    answers = list(engine.push(name, "slim", stream=True, decode=True))
    assert not [line for line in answers if "error" in line], answers
    return registry
