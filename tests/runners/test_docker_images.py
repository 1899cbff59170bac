"""The image of a version: the one in the engine, else the registry's, else one that is built; never another's."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import ComponentVersion
from daintree.errors import ImageError
from daintree.images.builders import BuildInput, ClassicBuilder
from daintree.images.engine import Engine
from daintree.images.registry import COMPONENT_LABEL, VERSION_LABEL
from daintree.runners.docker import ensure_image
from daintree.runners.runner import Prepared
from daintree.settings import Settings, read_settings
from tests.component_version import component_version
from tests.services.engine import TEST_LABEL, remove_images

if TYPE_CHECKING:
    from docker import APIClient

    from tests.services.registry import Registry

COMPONENT = "odd/thing"


def version_of(digest: str, image: str = "") -> ComponentVersion:
    return component_version(
        COMPONENT,
        digest,
        *(() if image else ("Dockerfile",)),
        image=image,
    )


class Workshop:
    """Versions nobody else has, images of them, and what was said."""

    def __init__(self, engine: APIClient, settings: Settings, directory: Path) -> None:
        self.engine = engine
        self.settings = settings
        self.directory = directory
        self.mark = os.urandom(8).hex()
        self.lines: list[str] = []
        self.digest = f"sha256:{os.urandom(32).hex()}"

    @property
    def reference(self) -> str:
        """The version's tag."""
        registry = f"{self.settings.registry}/" if self.settings.registry else ""
        return f"{registry}{COMPONENT}:{self.digest[7:27]}"

    def make(self, labelled: str = "") -> str:
        """Build an image with the version's tag, and this version in its label; its id."""
        dockerfile = f"FROM scratch\nCOPY Dockerfile /\nLABEL {TEST_LABEL}={self.mark}\n".encode()
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(dockerfile)
            archive.addfile(member, io.BytesIO(dockerfile))
        build = BuildInput(
            context=context.getvalue(),
            dockerfile=dockerfile,
            build_args={},
            labels={COMPONENT_LABEL: COMPONENT, VERSION_LABEL: labelled or self.digest},
            reference=self.reference,
            platform="linux/amd64",
        )
        return ClassicBuilder().build(build, lambda line: None)

    def push(self) -> str:
        """Push the version's tag and remove the image from the engine; its digest."""
        digest = Engine().push(self.reference, lambda line: None)
        self.clear()
        return digest

    def clear(self) -> None:
        """Remove this workshop's images from the engine."""
        remove_images(self.engine, label=f"{TEST_LABEL}={self.mark}")

    def ensure(self, image: str = "", snapshot: Callable[[], Path] | None = None) -> Prepared:
        """What is being tested."""

        def none_needed() -> Path:
            raise AssertionError("no snapshot is needed")

        version = version_of(self.digest, image)
        return ensure_image(
            self.engine, version, snapshot or none_needed, self.settings, self.lines.append
        )


@pytest.fixture
def workshop(engine: APIClient, tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(engine, read_settings(tmp_path, {"HOME": str(tmp_path)}), tmp_path)
    yield made
    made.clear()


@pytest.fixture
def shared(workshop: Workshop, registry: Registry) -> Workshop:
    environ = {"HOME": str(workshop.directory), "DAINTREE_REGISTRY": f"{registry.address}/ml"}
    workshop.settings = read_settings(workshop.directory, environ)
    return workshop


def test_one_in_the_engine_is_taken_without_a_word(workshop: Workshop) -> None:
    image = workshop.make()
    assert workshop.ensure() == Prepared(image=image)
    assert workshop.lines == []


def test_one_of_another_name_is_found_by_its_label(workshop: Workshop) -> None:
    image = workshop.make()
    workshop.engine.tag(image, f"{COMPONENT}-renamed", workshop.mark)
    workshop.engine.remove_image(workshop.reference)
    assert workshop.ensure() == Prepared(image=image)
    assert workshop.lines == []


def test_a_tag_alone_is_not_believed(workshop: Workshop) -> None:
    other = workshop.make(labelled=workshop.digest[:27] + "0" * 44)
    (workshop.directory / "Dockerfile").write_text(
        f"FROM scratch\nLABEL {TEST_LABEL}={workshop.mark}\nCOPY Dockerfile /other/\n"
    )
    made = workshop.ensure(snapshot=lambda: workshop.directory)
    assert made.image != other
    [line] = workshop.lines
    assert line.startswith(f"building {workshop.reference} with ")
    assert line.endswith(", the first time only")
    assert "BuildKit" in line
    labels = workshop.engine.inspect_image(made.image)["Config"]["Labels"]
    assert (labels[COMPONENT_LABEL], labels[VERSION_LABEL]) == (COMPONENT, workshop.digest)
    assert workshop.ensure() == made


def test_one_in_the_registry_is_pulled_by_its_digest(shared: Workshop) -> None:
    image = shared.make()
    digest = shared.push()
    assert shared.ensure() == Prepared(image=image, digest=digest)
    assert shared.lines == [f"pulling {shared.reference}, the first time only"]
    assert shared.ensure() == Prepared(image=image, digest=digest)


def test_one_in_the_registry_of_another_version_is_refused(shared: Workshop) -> None:
    shared.make(labelled="sha256:" + "0" * 64)
    shared.push()
    with pytest.raises(ImageError, match="its label is") as failure:
        shared.ensure()
    assert "doit build --push" in failure.value.hint


def test_one_that_is_named_is_pulled_and_must_be_that_version(shared: Workshop) -> None:
    image = shared.make()
    name = f"{shared.reference.rpartition(':')[0]}@{shared.push()}"
    assert shared.ensure(name).image == image
    assert shared.lines == [f"pulling {name}, the first time only"]
    shared.digest = "sha256:" + "0" * 64
    with pytest.raises(ImageError, match=r"is not odd/thing at sha256:000"):
        shared.ensure(name)


def test_one_that_is_named_and_is_gone_is_said(workshop: Workshop) -> None:
    with pytest.raises(ImageError, match="is gone from the Docker engine"):
        workshop.ensure("sha256:" + "0" * 64)


def test_one_that_the_registry_does_not_have_is_said(shared: Workshop, registry: Registry) -> None:
    name = f"{registry.address}/ml/{COMPONENT}@sha256:{'0' * 64}"
    with pytest.raises(ImageError, match=f"pull {name}"):
        shared.ensure(name)


def test_a_registry_that_is_away_is_said_and_the_image_is_built(workshop: Workshop) -> None:
    environ = {"HOME": str(workshop.directory), "DAINTREE_REGISTRY": "127.0.0.1:1/ml"}
    workshop.settings = read_settings(workshop.directory, environ)
    (workshop.directory / "Dockerfile").write_text(
        f"FROM scratch\nLABEL {TEST_LABEL}={workshop.mark}\nCOPY Dockerfile /\n"
    )
    assert workshop.ensure(snapshot=lambda: workshop.directory).digest == ""
    assert workshop.lines[0] == (
        "the registry 127.0.0.1:1 cannot be reached: Connection refused: the image is built here"
    )
