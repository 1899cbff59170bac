"""The guarantees of everything that builds images: BuildKit and the engine's classic builder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import ImageError
from daintree.images.builders import BuildKitBuilder, ClassicBuilder, ImageBuilder, find_buildkit
from tests.services.availability import unavailable
from tests.services.engine import remove_images
from tests.services.image_input import LABEL, SCRATCH, image_input
from tests.services.registry import free_port

if TYPE_CHECKING:
    from docker import APIClient


def buildkit() -> str:
    """The command that has BuildKit; the test is skipped where there is none."""
    program = find_buildkit()
    if not program:
        unavailable("no docker command here can use BuildKit")
    return program


@pytest.fixture(params=["buildkit", "classic"])
def builder(request: pytest.FixtureRequest, engine: APIClient) -> ImageBuilder:
    return BuildKitBuilder(buildkit()) if request.param == "buildkit" else ClassicBuilder()


@pytest.fixture
def nonce(engine: APIClient) -> Iterator[str]:
    """A label's value of this test's own; its images are removed."""
    value = os.urandom(6).hex()
    yield value
    remove_images(engine, label=f"{LABEL}={value}")


def silent(line: str) -> None:
    """A listener that ignores each line."""


def test_an_image_has_its_files_its_labels_and_its_name(
    builder: ImageBuilder, tmp_path: Path, nonce: str, engine: APIClient
) -> None:
    lines: list[str] = []
    image = builder.build(image_input(tmp_path, nonce, SCRATCH), lines.append)
    made = engine.inspect_image(f"daintree-test/{nonce}:one")
    assert made["Id"] == image
    assert made["Config"]["Labels"] == {LABEL: nonce}
    assert made["Architecture"] == "amd64"
    assert any(line.startswith("Step 1/") for line in lines)
    container = engine.create_container(image, ["/content"])
    try:
        stream, _ = engine.get_archive(container["Id"], "/content")
        assert nonce.encode() in b"".join(stream)
    finally:
        engine.remove_container(container["Id"])


def test_a_build_argument_reaches_the_steps_and_their_output_is_said(
    builder: ImageBuilder, tmp_path: Path, nonce: str
) -> None:
    lines: list[str] = []
    dockerfile = "FROM python:3.11-slim\nARG WHAT\nRUN echo the $WHAT\n"
    builder.build(image_input(tmp_path, nonce, dockerfile, fresh=True), lines.append)
    assert "the content" in lines


def test_a_build_uses_what_was_built_before_unless_it_is_fresh(
    builder: ImageBuilder, tmp_path: Path, nonce: str
) -> None:
    dockerfile = "FROM python:3.11-slim\nRUN cat /proc/sys/kernel/random/uuid > /made\n"
    first = builder.build(image_input(tmp_path, nonce, dockerfile), silent)
    again = builder.build(image_input(tmp_path, nonce, dockerfile), silent)
    fresh = builder.build(image_input(tmp_path, nonce, dockerfile, fresh=True), silent)
    assert first == again
    assert fresh != first


def test_a_step_that_fails_is_told_with_its_last_lines(
    builder: ImageBuilder, tmp_path: Path, nonce: str
) -> None:
    dockerfile = "FROM python:3.11-slim\nRUN echo all went well until now; exit 3\n"
    with pytest.raises(ImageError) as failure:
        builder.build(image_input(tmp_path, nonce, dockerfile), silent)
    message = failure.value.message
    assert message.startswith(f"cannot build daintree-test/{nonce}:one: ")
    assert "code: 3" in message.splitlines()[0]
    assert "\n  | all went well until now" in message
    assert "mend the step of the Dockerfile" in failure.value.hint


def test_a_base_image_that_is_nowhere(builder: ImageBuilder, tmp_path: Path, nonce: str) -> None:
    dockerfile = f"FROM 127.0.0.1:{free_port()}/nowhere\n"
    with pytest.raises(ImageError) as failure:
        builder.build(image_input(tmp_path, nonce, dockerfile), silent)
    assert "an image that the Dockerfile names is not here" in failure.value.hint


def test_a_dockerfile_that_cannot_be_read(
    builder: ImageBuilder, tmp_path: Path, nonce: str
) -> None:
    with pytest.raises(ImageError, match="dockerfile parse error") as failure:
        builder.build(image_input(tmp_path, nonce, "FORM scratch\n"), silent)
    assert "a word that this Docker engine does not know" in failure.value.hint


def test_an_interrupt_ends_the_build(builder: ImageBuilder, tmp_path: Path, nonce: str) -> None:
    dockerfile = "FROM python:3.11-slim\nRUN echo begun; sleep 30\n"

    def interrupt(line: str) -> None:
        if line == "begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.build(image_input(tmp_path, nonce, dockerfile, fresh=True), interrupt)


def test_caches_and_secrets_of_a_step_are_buildkits(
    tmp_path: Path, nonce: str, engine: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKAGES_PASSWORD", f"password-{nonce}")
    dockerfile = (
        "FROM python:3.11-slim\n"
        "RUN --mount=type=cache,target=/cache --mount=type=secret,id=packages"
        " wc -c < /run/secrets/packages > /length\n"
    )
    builder = BuildKitBuilder(buildkit(), {"packages": "PACKAGES_PASSWORD"})
    image = builder.build(image_input(tmp_path, nonce, dockerfile), silent)
    made = engine.inspect_image(image)
    assert f"password-{nonce}" not in str(made) + str(engine.history(image))
    monkeypatch.delenv("PACKAGES_PASSWORD")
    with pytest.raises(ImageError, match="the variable PACKAGES_PASSWORD is not set") as failure:
        builder.build(image_input(tmp_path, nonce, dockerfile), silent)
    assert "build_secrets" in failure.value.hint


def test_an_image_with_its_cache_is_still_one_image(
    tmp_path: Path, nonce: str, engine: APIClient
) -> None:
    builder = BuildKitBuilder(buildkit(), inline_cache=True)
    image = builder.build(image_input(tmp_path, nonce, SCRATCH), silent)
    assert engine.inspect_image(f"daintree-test/{nonce}:one")["Id"] == image


@pytest.mark.parametrize(
    ("step", "feature"),
    [
        ("RUN --mount=type=cache,target=/c true", "RUN --mount"),
        ("RUN <<EOF\necho hello\nEOF", "a here-document of RUN"),
        ("COPY --link content /", "COPY --link"),
    ],
)
def test_the_classic_builder_refuses_what_only_buildkit_knows(
    engine: APIClient, tmp_path: Path, nonce: str, step: str, feature: str
) -> None:
    with pytest.raises(ImageError) as failure:
        ClassicBuilder().build(
            image_input(tmp_path, nonce, f"FROM python:3.11-slim\n{step}\n"), silent
        )
    assert failure.value.message == (
        f"cannot build daintree-test/{nonce}:one: its Dockerfile uses {feature}, which only BuildKit knows"
    )
    assert "buildx" in failure.value.hint
