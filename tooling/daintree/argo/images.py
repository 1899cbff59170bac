"""The images that pods run: those the registry has of exactly these versions, by digest, with their entrypoints."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from daintree.components import (
    TOOLING,
    ComponentVersion,
    WorkingTree,
    discover_images,
    read_each_version,
)
from daintree.concurrency import side_by_side
from daintree.errors import DaintreeError, ImageError, RegistryError, SettingsError, UsageError
from daintree.images.build import uncommitted
from daintree.images.reference import (
    LATEST,
    VERSION_LABEL,
    Repository,
    component_repository,
    version_tag,
)
from daintree.images.registry import RegistryClient
from daintree.images.tags import THREADS
from daintree.settings import Settings


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
        host: RegistryClient(host, plain_http=settings.registry_plain_http)
        for host in {item.repository.host for item in wanted}
    }
    digests = side_by_side(
        lambda item: _digest(registries[item.repository.host], item), wanted, THREADS
    )
    missing = [item for item, digest in zip(wanted, digests, strict=True) if not digest]
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
        list(zip(wanted, digests, strict=True)),
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


def _digest(registry: RegistryClient, item: _Wanted) -> str:
    if ":" in item.reference:
        return item.reference
    [digest] = registry.digests([(item.repository, item.reference)])
    return digest


def _image(registry: RegistryClient, item: _Wanted, digest: str, platform: str) -> ComponentImage:
    config = registry.config(item.repository, digest, platform)
    label = config.labels.get(VERSION_LABEL, "")
    if label != item.version.digest:
        raise ImageError(
            f"{item.repository}@{digest} is not {item.version.name} at {item.version.digest}:"
            f" its label is {label or 'missing'}",
            hint="who pushed it by hand? Remove its tag from the registry, then doit build --push",
        )
    if not config.entrypoint:
        raise ImageError(
            f"the image of {item.version.name} has no ENTRYPOINT",
            hint='a Dockerfile ends in ENTRYPOINT ["python", "/application/main.py"]',
        )
    return ComponentImage(f"{item.repository}@{digest}", config.entrypoint)


_BUILD = f"doit build --push {TOOLING}"
_SETTING = "argo_image in [tool.daintree], or DAINTREE_ARGO_IMAGE"


def tooling_image(settings: Settings) -> str:
    """The tooling's image as pods name it: `repository@sha256:…`, as the registry has it now.

    The setting `argo_image` wins, and a tag in it is looked up. Else it is the image of the version that the project's files
    give. Raises UsageError where neither is there, SettingsError for a setting that names no image, ImageError for an image
    that the registry lacks, or when it does not answer, and what reading the version does.
    """
    if settings.argo_image:
        return _configured_image(settings)
    if TOOLING not in discover_images(settings.root):
        raise UsageError(
            "the project has not the sources of the tooling, and no setting names its image",
            hint=f"{_SETTING}: what `{_BUILD}` gives in the repository that has them",
        )
    tree = WorkingTree(settings.root)
    versions = read_each_version(tree, [TOOLING], platform=settings.platform, bases=settings.bases)
    version = versions[TOOLING]
    if isinstance(version, DaintreeError):
        raise version
    try:
        return component_images([version], settings)[0].reference
    except RegistryError:
        raise
    except ImageError:
        _, unclean = uncommitted(settings, [TOOLING], tree)
        if TOOLING not in unclean:
            raise
        raise ImageError(
            f"{TOOLING} is not committed, so no registry has its image: {'; '.join(unclean[TOOLING])}",
            hint=f"commit it, then {_BUILD}; or {_SETTING}",
        ) from None


def _configured_image(settings: Settings) -> str:
    """The image that the setting names, by its digest."""
    path, _, digest = settings.argo_image.partition("@")
    name, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        name, tag = path, LATEST
    host, _, name = name.partition("/")
    if not name or not ("." in host or ":" in host or host == "localhost"):
        raise SettingsError(
            f"argo_image: {settings.argo_image!r} does not say which registry it is in",
            hint="such as registry.example/ml/daintree/tooling:latest",
        )
    repository = Repository(host, name)
    registry = RegistryClient(host, plain_http=settings.registry_plain_http)
    if not digest:
        [digest] = registry.digests([(repository, tag)])
    if not digest:
        raise RegistryError(
            f"the registry {host} has no {repository.tagged(tag)}",
            hint=f"{_BUILD} in the repository of the tooling, or another {_SETTING}",
        )
    return f"{repository}@{digest}"
