"""The images that pods run: those the registry has of exactly these versions, by digest, with their entrypoints."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from daintree.errors import ImageError, SettingsError
from daintree.image import labels
from daintree.image.protocol import Registry
from daintree.image.reference import Repository, component_repository, version_tag
from daintree.image.registry import HttpRegistry
from daintree.parallel import side_by_side
from daintree.settings import Settings
from daintree.version import ComponentVersion

THREADS = 16


class ComponentImage(msgspec.Struct, frozen=True):
    """An image by its digest, `repository@sha256:…`, and the command that it begins with."""

    reference: str
    command: tuple[str, ...]


class _Wanted(msgspec.Struct, frozen=True):
    """A version, where its image is, and what names it there: the version's tag, or a digest."""

    version: ComponentVersion
    repository: Repository
    reference: str


def component_images(
    versions: Sequence[ComponentVersion], settings: Settings
) -> list[ComponentImage]:
    """The image of each version, in order, asked for in one parallel round and read in another.

    Raises SettingsError where no registry is set, ImageError for one that is missing or is not what its tag says,
    with the command that pushes it, RegistryError as asking does.
    """
    wanted = [_wanted(version, settings) for version in versions]
    registries = {
        host: HttpRegistry(host, plain_http=settings.registry_plain_http)
        for host in {item.repository.host for item in wanted}
    }
    found = side_by_side(
        lambda item: _digest(registries[item.repository.host], item), wanted, THREADS
    )
    missing = [item for item, digest in zip(wanted, found, strict=True) if not digest]
    if missing:
        names = " ".join(dict.fromkeys(item.version.name for item in missing))
        tagged = missing[0].repository.tagged(missing[0].reference)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ImageError(
            f"the registry has no image {tagged}{more}: pods run what is pushed",
            hint=f"doit build --push {names}",
        )
    return side_by_side(
        lambda pair: _image(registries[pair[0].repository.host], *pair, settings.platform),
        list(zip(wanted, found, strict=True)),
        THREADS,
    )


def _wanted(version: ComponentVersion, settings: Settings) -> _Wanted:
    place, _, digest = version.image.partition("@")
    if digest:
        host, _, name = place.partition("/")
        return _Wanted(version, Repository(host, name), digest)
    if not settings.registry:
        raise SettingsError(
            "pods pull their images from a registry, and none is set",
            hint="registry in [tool.daintree], or DAINTREE_REGISTRY, such as registry.example/ml",
        )
    repository = component_repository(settings.registry, version.name)
    return _Wanted(version, repository, version_tag(version.digest))


def _digest(registry: Registry, item: _Wanted) -> str:
    if ":" in item.reference:
        return item.reference
    [digest] = registry.digests([(item.repository, item.reference)])
    return digest


def _image(registry: Registry, item: _Wanted, digest: str, platform: str) -> ComponentImage:
    config = registry.config(item.repository, digest, platform)
    told = config.labels.get(labels.VERSION, "")
    if told != item.version.digest:
        raise ImageError(
            f"{item.repository}@{digest} is not {item.version.name} at {item.version.digest}:"
            f" its label is {told or 'missing'}",
            hint="who pushed it by hand? Remove its tag from the registry, then doit build --push",
        )
    if not config.entrypoint:
        raise ImageError(
            f"the image of {item.version.name} has no ENTRYPOINT",
            hint='a Dockerfile ends in ENTRYPOINT ["python", "/application/main.py"]',
        )
    return ComponentImage(f"{item.repository}@{digest}", config.entrypoint)
