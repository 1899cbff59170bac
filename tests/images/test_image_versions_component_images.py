"""The images that pods run are exactly the versions': by digest, as the registry's own answers say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daintree.components import ComponentVersion
from daintree.digest import short
from daintree.errors import ImageError, SettingsError
from daintree.images.image_versions import component_images
from daintree.images.registry import VERSION_LABEL
from daintree.settings import Settings, read_settings
from tests.argo.conftest import digest
from tests.component_version import component_version
from tests.services.bare_image import push

if TYPE_CHECKING:
    from tests.services.registry import Registry

ENTRYPOINT = ["python", "/application/main.py"]


def version(name: str, character: str = "1", image: str = "") -> ComponentVersion:
    """A version whose digest is of one hex digit."""
    return component_version(
        name,
        digest(character),
        image=image,
    )


def settings(registry: str) -> Settings:
    """Settings that name a registry, or none."""
    known = read_settings(Path("/nowhere"), {"HOME": "/nowhere"})
    return known._replace(registry=registry)


def put(registry: Registry, wanted: ComponentVersion, **config: Any) -> str:
    """Push an image without layers under the version's tag; its digest."""
    described = {
        "Labels": {VERSION_LABEL: wanted.digest},
        "Entrypoint": ENTRYPOINT,
        **config,
    }
    content = json.dumps({"config": described}).encode()
    return push(registry, f"images/{wanted.name}", short(wanted.digest), content)


def test_images_are_found_by_tag_or_by_digest_in_order(registry: Registry) -> None:
    one, two = version("found/one"), version("found/two", "2")
    digests = [put(registry, one), put(registry, two)]
    place = f"{registry.address}/images/found"
    by_digest = version("found/one", image=f"{place}/one@{digests[0]}")
    images = component_images([two, one, by_digest], settings(f"{registry.address}/images"))
    assert [image.reference for image in images] == [
        f"{place}/two@{digests[1]}",
        f"{place}/one@{digests[0]}",
        f"{place}/one@{digests[0]}",
    ]
    assert {image.command for image in images} == {tuple(ENTRYPOINT)}


def test_one_that_is_not_there_is_named_with_what_pushes_it(registry: Registry) -> None:
    with pytest.raises(ImageError) as failure:
        component_images([version("gone/a"), version("gone/b")], settings(registry.address))
    assert failure.value.message == (
        f"the registry has no image {registry.address}/gone/a:{'1' * 20} and 1 more: pods run what is pushed"
    )
    assert failure.value.hint == "doit build --push gone/a gone/b"


def test_a_tag_that_somebody_has_moved_is_not_believed(registry: Registry) -> None:
    wanted = version("forged/one")
    put(registry, wanted, Labels={VERSION_LABEL: digest("f")})
    with pytest.raises(ImageError, match=r"is not forged/one at sha256:1+: its label is sha256:f+"):
        component_images([wanted], settings(f"{registry.address}/images"))


def test_an_image_without_an_entrypoint_is_no_components(registry: Registry) -> None:
    wanted = version("bare/one")
    put(registry, wanted, Entrypoint=None)
    with pytest.raises(ImageError, match=r"^the image of bare/one has no ENTRYPOINT$"):
        component_images([wanted], settings(f"{registry.address}/images"))


def test_without_a_registry_there_are_none() -> None:
    with pytest.raises(SettingsError, match="none is set"):
        component_images([version("a/b")], settings(""))
