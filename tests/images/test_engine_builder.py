"""Builds and pushes through the real engine, and what is said when they fail."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import ImageError
from daintree.images.context import build_context
from daintree.images.engine import EngineBuilder, _build_failure, _push_failure
from daintree.images.protocol import BuildOrder
from tests.services.engine import remove_images
from tests.services.registry import free_port, serve

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.services.registry import Registry

LABEL = "ml.daintree.test.builder"


@pytest.fixture
def nonce(engine: DockerClient) -> Iterator[str]:
    """A label's value of this test's own; its images are removed."""
    value = os.urandom(6).hex()
    yield value
    remove_images(engine, label=f"{LABEL}={value}")


def order(
    directory: Path, nonce: str, dockerfile: str, *references: str, fresh: bool = False
) -> BuildOrder:
    (directory / "content").write_text(nonce)
    return BuildOrder(
        context=build_context(directory, ["Dockerfile", "content"], dockerfile.encode()),
        build_args={"WHAT": "content"},
        labels={LABEL: nonce},
        references=references or (f"daintree-test/{nonce}:one",),
        platform="linux/amd64",
        fresh=fresh,
    )


SCRATCH = "FROM scratch\nARG WHAT\nCOPY ${WHAT} /\n"


def test_a_build_and_its_names(tmp_path: Path, nonce: str, engine: DockerClient) -> None:
    names = (f"daintree-test/{nonce}:one", f"daintree-test/{nonce}:two")
    lines: list[str] = []
    builder = EngineBuilder()
    image = builder.build(order(tmp_path, nonce, SCRATCH, *names), lines.append)
    assert "Step 1/" in lines[0]
    [found] = builder.images(LABEL, [nonce, "another"]).values()
    assert (found.id, sorted(found.references)) == (image, sorted(names))
    assert found.labels == {LABEL: nonce}
    builder.name(image, [f"daintree-test/{nonce}:three"])
    assert engine.images.get(f"daintree-test/{nonce}:three").id == image
    assert builder.images(LABEL, ["another"]) == {}


def test_a_step_that_fails_is_told_with_its_last_lines(tmp_path: Path, nonce: str) -> None:
    dockerfile = "FROM python:3.11-slim\nRUN echo all went well until now; exit 3\n"
    with pytest.raises(ImageError) as failure:
        EngineBuilder().build(order(tmp_path, nonce, dockerfile), lambda line: None)
    message = failure.value.message
    assert message.startswith(f"cannot build daintree-test/{nonce}:one: The command '/bin/sh -c")
    assert "returned a non-zero code: 3" in message
    assert "\n  | all went well until now" in message


def test_a_base_image_that_is_nowhere(tmp_path: Path, nonce: str) -> None:
    dockerfile = f"FROM 127.0.0.1:{free_port()}/nowhere\n"
    with pytest.raises(ImageError) as failure:
        EngineBuilder().build(order(tmp_path, nonce, dockerfile), lambda line: None)
    assert "the base image is not here and could not be pulled" in failure.value.hint


def test_a_dockerfile_that_cannot_be_read(tmp_path: Path, nonce: str) -> None:
    with pytest.raises(ImageError, match="dockerfile parse error"):
        EngineBuilder().build(order(tmp_path, nonce, "FORM scratch\n"), lambda line: None)


def test_a_push(tmp_path: Path, nonce: str, registry: Registry) -> None:
    reference = f"{registry.address}/{nonce}/thing:one"
    EngineBuilder().build(order(tmp_path, nonce, SCRATCH, reference), lambda line: None)
    lines: list[str] = []
    digest = EngineBuilder().push(reference, lines.append)
    assert digest == registry.digest(f"{nonce}/thing", "one") != ""
    assert lines


def test_a_push_to_a_registry_that_is_down(tmp_path: Path, nonce: str) -> None:
    reference = f"127.0.0.1:{free_port()}/{nonce}:one"
    EngineBuilder().build(order(tmp_path, nonce, SCRATCH, reference), lambda line: None)
    with pytest.raises(ImageError) as failure:
        EngineBuilder().push(reference, lambda line: None)
    assert failure.value.message.startswith(f"cannot push {reference}: ")
    assert "is the registry running?" in failure.value.hint


def test_a_push_without_a_login(
    tmp_path: Path, nonce: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "passwords").write_text("")
    password = {"auth": {"htpasswd": {"realm": "x", "path": str(tmp_path / "passwords")}}}
    with contextlib.ExitStack() as stack:
        locked = stack.enter_context(serve(tmp_path, password))
        reference = f"{locked.address}/{nonce}:one"
        EngineBuilder().build(order(tmp_path, nonce, SCRATCH, reference), lambda line: None)
        with pytest.raises(ImageError) as failure:
            EngineBuilder().push(reference, lambda line: None)
    assert failure.value.hint == f"docker login {locked.address}"


FULL = "write /var/lib/docker/tmp/x: no space left on device"


def test_a_full_disk_in_the_stream() -> None:
    """An engine's disk cannot be filled here; these are the words it uses."""
    built = _build_failure("build x", {"error": FULL}, ["Step 1/1"])
    pushed = _push_failure("registry.example/x:1", "registry.example", FULL)
    assert built.message == "cannot build x: the disk of the Docker engine is full"
    assert pushed.message == (
        "cannot push registry.example/x:1: the disk of the Docker engine is full"
    )
    assert "docker system prune" in built.hint == pushed.hint


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("denied: requested access to the resource is denied", "docker login registry.example"),
        ("unauthorized: authentication required", "docker login registry.example"),
        ("http: server gave HTTP response to HTTPS client", "insecure-registries"),
        ("dial tcp: lookup registry.example: no such host", "cannot reach registry.example"),
        ("received unexpected HTTP status: 500", "run it again"),
    ],
)
def test_what_to_do_about_a_push_that_failed(reason: str, hint: str) -> None:
    error = _push_failure("registry.example/x:1", "registry.example", reason)
    assert error.message == f"cannot push registry.example/x:1: {reason}"
    assert hint in error.hint
