"""Which image the record step and scheduled runs use, and what is said when there is none."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.commands.build import Lines
from daintree.components import TOOLING as NAME
from daintree.errors import DaintreeError, ImageError, RegistryError, SettingsError, UsageError
from daintree.images.build import Request, Result, build_images
from daintree.images.image_versions import tooling_image
from daintree.images.registry import RegistryClient, Repository
from daintree.settings import Settings, read_settings
from tests.services.engine import remove_images

if TYPE_CHECKING:
    from docker import APIClient

    from tests.conftest import Monorepo
    from tests.services.registry import Registry


class Shop:
    """A project with the tooling's sources, and its own part of a registry."""

    def __init__(self, monorepo: Monorepo, registry: Registry, cache: Path) -> None:
        self.monorepo = monorepo
        self.address = registry.address
        self.prefix = os.urandom(6).hex()
        self.cache = cache

    @property
    def repository(self) -> str:
        return f"{self.address}/{self.prefix}/{NAME}"

    def settings(self, **more: str) -> Settings:
        variables = {
            "DAINTREE_REGISTRY": f"{self.address}/{self.prefix}",
            "XDG_CACHE_HOME": str(self.cache),
        }
        return read_settings(self.monorepo.root, {**variables, **more})

    def refused(self, **more: str) -> DaintreeError:
        with pytest.raises(DaintreeError) as failure:
            tooling_image(self.settings(**more))
        return failure.value

    def push(self) -> Result:
        """As `doit build --push daintree/tooling`."""
        settings = self.settings()
        request = Request(names=(NAME,), push=True)
        [result] = build_images(settings, request, Lines(0, io.StringIO()))
        assert result.pushed, result
        return result


@pytest.fixture
def shop(
    monorepo: Monorepo, registry: Registry, engine: APIClient, tmp_path: Path
) -> Iterator[Shop]:
    monorepo.write("tooling/__init__.py", os.urandom(6).hex())
    monorepo.write(
        "deploy/tooling/Dockerfile", 'FROM scratch\nCOPY . /application/\nENTRYPOINT ["doit"]\n'
    )
    monorepo.commit()
    shop = Shop(monorepo, registry, tmp_path / "cache")
    yield shop
    remove_images(engine, reference=shop.repository)


def test_it_is_that_of_the_files_by_its_digest(shop: Shop) -> None:
    pushed = shop.push()
    assert tooling_image(shop.settings()) == f"{shop.repository}@{pushed.digest}"
    # The files count, not the commit.
    shop.monorepo.write("README.md", "x")
    assert tooling_image(shop.settings()) == f"{shop.repository}@{pushed.digest}"


def test_one_that_was_not_pushed(shop: Shop) -> None:
    error = shop.refused()
    assert isinstance(error, ImageError)
    assert error.message.startswith(f"the registry has no image {shop.repository}:")
    assert error.hint == "doit build --push daintree/tooling"


def test_files_that_are_not_committed(shop: Shop) -> None:
    shop.push()
    shop.monorepo.write("tooling/new.py", "")
    error = shop.refused()
    assert isinstance(error, ImageError)
    assert error.message == (
        "daintree/tooling is not committed, so no registry has its image: tooling/new.py added"
    )
    assert error.hint.startswith(
        "commit it, then doit build --push daintree/tooling; or argo_image"
    )


def test_a_tag_that_somebody_has_moved_is_not_believed(shop: Shop) -> None:
    before = shop.push()
    shop.monorepo.write("tooling/new.py", "")
    shop.monorepo.commit()
    registry = RegistryClient(shop.address)
    repository = Repository(shop.address, f"{shop.prefix}/{NAME}")
    wanted = shop.refused().message.partition(f"{shop.repository}:")[2].partition(":")[0]
    assert before.digest is not None
    registry.tag(repository, registry.manifest(repository, before.digest), wanted)
    assert f"its label is {before.version}" in shop.refused().message


def test_a_setting_names_another(shop: Shop) -> None:
    pushed = shop.push()
    digest = f"{shop.repository}@{pushed.digest}"
    shop.monorepo.git("rm", "-rfq", "deploy")
    for given in (shop.repository, f"{shop.repository}:latest", digest):
        assert tooling_image(shop.settings(DAINTREE_ARGO_IMAGE=given)) == digest
    named = f"registry.example/ml/{NAME}:1@sha256:{'0' * 64}"
    assert tooling_image(shop.settings(DAINTREE_ARGO_IMAGE=named)) == named.replace(":1@", "@")
    error = shop.refused(DAINTREE_ARGO_IMAGE=f"{shop.repository}:nope")
    assert isinstance(error, RegistryError)
    assert error.message == f"the registry {shop.address} has no {shop.repository}:nope"
    assert "doit build --push daintree/tooling" in error.hint


@pytest.mark.parametrize("given", ["daintree/tooling:1", "tooling", "registry.example/"])
def test_a_setting_that_names_no_registry(monorepo: Monorepo, given: str) -> None:
    settings = read_settings(monorepo.root, {"DAINTREE_ARGO_IMAGE": given})
    with pytest.raises(SettingsError, match="does not say which registry it is in"):
        tooling_image(settings)


def test_neither_sources_nor_a_setting(monorepo: Monorepo) -> None:
    with pytest.raises(UsageError) as failure:
        tooling_image(read_settings(monorepo.root, {"DAINTREE_REGISTRY": "registry.example"}))
    assert "has not the sources of the tooling" in failure.value.message
    assert failure.value.hint.startswith("argo_image in [tool.daintree]")


def test_no_registry_is_set(monorepo: Monorepo) -> None:
    monorepo.write("deploy/tooling/Dockerfile", "FROM scratch\n")
    with pytest.raises(
        SettingsError, match="pods pull their images from a registry, and none is set"
    ):
        tooling_image(read_settings(monorepo.root, {}))
