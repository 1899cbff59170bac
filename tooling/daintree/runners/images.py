"""The image of a component's version in the engine: found by its label, else pulled, else built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daintree.build.order import Origin, build_order
from daintree.errors import ImageError
from daintree.image import labels
from daintree.image.builder import EngineBuilder
from daintree.image.pull import pull_image
from daintree.image.reference import Repository, component_repository, version_tag
from daintree.runners.protocol import Prepared
from daintree.settings import Settings
from daintree.version import ComponentVersion

if TYPE_CHECKING:
    from docker import DockerClient


def ensure_image(
    client: DockerClient,
    version: ComponentVersion,
    snapshot: Callable[[], Path],
    settings: Settings,
    announce: Callable[[str], None],
) -> Prepared:
    """The image of exactly this version; `announce` says where from it is fetched, or that it is built.

    Raises ImageError, EngineError and RegistryError, and as the SDK does.
    """
    if version.image:
        return _named(client, version, settings, announce)
    repository = component_repository(settings.registry, version.name)
    found = _in_engine(client, version, repository)
    if not found and settings.registry:
        found = _from_registry(client, version, repository, settings, announce)
    return found or _built(version, repository, snapshot, announce)


def _in_engine(
    client: DockerClient, version: ComponentVersion, repository: Repository
) -> Prepared | None:
    """The image whose label is the whole version: the tag's, else the newest of another name or none.

    The tag alone says too little: it holds a version's first digits only, and can be moved.
    """
    import docker.errors

    wanted = {labels.COMPONENT: version.name, labels.VERSION: version.digest}
    try:
        # Asked first, because for a list the engine reads all the images it has.
        tagged = client.api.inspect_image(repository.tagged(version_tag(version.digest)))
        if wanted.items() <= (tagged["Config"].get("Labels") or {}).items():
            return _prepared(tagged, repository)
    except docker.errors.ImageNotFound:
        pass
    images = client.api.images(filters={"label": [f"{k}={v}" for k, v in wanted.items()]})
    if not images:
        return None
    return _prepared(max(images, key=lambda image: int(image["Created"])), repository)


def _prepared(image: Mapping[str, Any], repository: Repository) -> Prepared:
    """An image as the engine lists it, with its digest in the repository where it has one there."""
    places = dict(place.split("@") for place in image["RepoDigests"] or ())
    return Prepared(image=image["Id"], digest=places.get(str(repository), ""))


def _named(
    client: DockerClient,
    version: ComponentVersion,
    settings: Settings,
    announce: Callable[[str], None],
) -> Prepared:
    """The very image that the version was read from, pulled where it is not here."""
    import docker.errors

    place, _, digest = version.image.partition("@")
    try:
        found = client.api.inspect_image(version.image)
    except docker.errors.ImageNotFound:
        if not digest:
            raise ImageError(
                f"the image {version.image} of {version.name} is gone from the Docker engine",
                hint="doit build in the repository of its sources",
            ) from None
        announce(f"pulling {version.image}, the first time only")
        host, _, name = place.partition("/")
        pull_image(client, Repository(host, name), digest, settings.platform, lambda line: None)
        found = client.api.inspect_image(version.image)
    if (found["Config"]["Labels"] or {}).get(labels.VERSION) != version.digest:
        raise ImageError(f"the image {version.image} is not {version.name} at {version.digest}")
    return Prepared(image=found["Id"], digest=digest)


def _from_registry(
    client: DockerClient,
    version: ComponentVersion,
    repository: Repository,
    settings: Settings,
    announce: Callable[[str], None],
) -> Prepared | None:
    """The image that the version's tag names in the registry, pulled by its digest; None where there is none."""
    from daintree.image.registry import HttpRegistry

    registry = HttpRegistry(repository.host, plain_http=settings.registry_plain_http)
    tag = version_tag(version.digest)
    [digest] = registry.digests([(repository, tag)])
    if not digest:
        return None
    told = registry.labels(repository, digest, settings.platform).get(labels.VERSION, "")
    if told != version.digest:
        raise ImageError(
            f"{repository.tagged(tag)} is not the version that its tag says: its label is {told or 'missing'}",
            hint="who pushed it by hand? Remove that tag from the registry, then doit build --push",
        )
    announce(f"pulling {repository.tagged(tag)}, the first time only")
    image = pull_image(client, repository, digest, settings.platform, lambda line: None)
    return Prepared(image=image, digest=digest)


def _built(
    version: ComponentVersion,
    repository: Repository,
    snapshot: Callable[[], Path],
    announce: Callable[[str], None],
) -> Prepared:
    """The image built from the version's snapshot, with the version's tag."""
    reference = repository.tagged(version_tag(version.digest))
    announce(f"building {reference}, the first time only")
    # What it is built of may be in no commit.
    origin = Origin(commit="", source="", created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    order = build_order(version, snapshot(), (reference,), origin)
    return Prepared(image=EngineBuilder().build(order, lambda line: None))
