"""Pushes through the real engine, and the errors of those that fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import ImageError
from daintree.images.builders import ClassicBuilder, build_failure
from daintree.images.engine import Engine, push_failure
from tests.services.engine import remove_images
from tests.services.image_input import LABEL, SCRATCH, image_input
from tests.services.registry import free_port, serve

if TYPE_CHECKING:
    from docker import APIClient

    from tests.services.registry import Registry


@pytest.fixture
def nonce(engine: APIClient) -> Iterator[str]:
    """A label's value of this test's own; its images are removed."""
    value = os.urandom(6).hex()
    yield value
    remove_images(engine, label=f"{LABEL}={value}")


def make(directory: Path, nonce: str, reference: str) -> None:
    ClassicBuilder().build(image_input(directory, nonce, SCRATCH, reference), lambda line: None)


def test_a_push(tmp_path: Path, nonce: str, registry: Registry) -> None:
    reference = f"{registry.address}/{nonce}/thing:one"
    make(tmp_path, nonce, reference)
    lines: list[str] = []
    digest = Engine().push(reference, lines.append)
    assert digest == registry.digest(f"{nonce}/thing", "one") != ""
    assert lines


def test_images_are_found_by_a_label_and_tagged(
    tmp_path: Path, nonce: str, engine: APIClient
) -> None:
    make(tmp_path, nonce, f"daintree-test/{nonce}:one")
    [image] = Engine().images(LABEL, [nonce, "another"]).values()
    assert image.references == (f"daintree-test/{nonce}:one",)
    assert image.labels == {LABEL: nonce}
    Engine().tag(image.id, [f"daintree-test/{nonce}:two"])
    assert engine.inspect_image(f"daintree-test/{nonce}:two")["Id"] == image.id
    assert Engine().images(LABEL, ["another"]) == {}


def test_a_push_to_a_registry_that_is_down(tmp_path: Path, nonce: str) -> None:
    reference = f"127.0.0.1:{free_port()}/{nonce}:one"
    make(tmp_path, nonce, reference)
    with pytest.raises(ImageError) as failure:
        Engine().push(reference, lambda line: None)
    assert failure.value.message.startswith(f"cannot push {reference}: ")
    assert "is it running?" in failure.value.hint


def test_a_push_without_a_login(
    tmp_path: Path, nonce: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "passwords").write_text("")
    password = {"auth": {"htpasswd": {"realm": "x", "path": str(tmp_path / "passwords")}}}
    with serve(tmp_path, password) as locked:
        reference = f"{locked.address}/{nonce}:one"
        make(tmp_path, nonce, reference)
        with pytest.raises(ImageError) as failure:
            Engine().push(reference, lambda line: None)
    assert failure.value.hint == f"docker login {locked.address}"


FULL = "write /var/lib/docker/tmp/x: no space left on device"


def test_a_full_disk_in_the_stream() -> None:
    """An engine's disk cannot be filled here; these are the words it uses."""
    built = build_failure("build x", FULL, ["Step 1/1"])
    pushed = push_failure("registry.example/x:1", "registry.example", FULL)
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
        ("Get https://x/v2/: x509: certificate signed by unknown authority", "does not trust"),
        ("toomanyrequests: You have reached your pull rate limit", "no more requests for now"),
        ("net/http: TLS handshake timeout", "cannot reach registry.example"),
        ('Get "https://blobs.example/x": dial tcp: i/o timeout', "cannot reach blobs.example"),
        ("received unexpected HTTP status: 500", "run it again"),
        ("open /var/lib/docker/x: permission denied", "run it again"),
    ],
)
def test_a_push_that_failed_has_a_hint(reason: str, hint: str) -> None:
    error = push_failure("registry.example/x:1", "registry.example", reason)
    assert error.message == f"cannot push registry.example/x:1: {reason}"
    assert hint in error.hint
