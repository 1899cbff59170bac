"""Versions whose sources are in another repository, read from the labels of their images: in the registry, else in the engine.

An image never changes, and a version's tag is never overwritten: what was read once is remembered, so that a
run with nothing to do asks nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.components import ComponentVersion
from daintree.digest import digest_record
from daintree.errors import DaintreeError, ImageError, RegistryError, SpecError
from daintree.images.reference import (
    COMPONENT_LABEL,
    SPEC_LABEL,
    VERSION_LABEL,
    Repository,
    component_repository,
    version_tag,
)
from daintree.settings import Settings
from daintree.spec.component import ComponentSpec
from daintree.spec.pipeline import Stage


class _Image(msgspec.Struct, frozen=True):
    """An image, by its digest or the engine's id, and its labels."""

    image: str
    labels: Mapping[str, str]


def published_versions(stages: Sequence[Stage], settings: Settings) -> dict[str, ComponentVersion]:
    """The versions that these stages name by an image, or by component and version; by what names their code.

    Raises SpecError, with the place in the pipeline file, for an image that is not there or is none of a
    component; RegistryError and EngineError as asking does.
    """
    versions: dict[str, ComponentVersion] = {}
    for stage in stages:
        repository = _repository(stage, settings)
        path = _cache_path(stage, repository, settings)
        image = _read_cache(path)
        if image is None:
            image = _find(stage, repository, settings)
            _write_cache(path, image)
        versions[stage.code] = _version(stage, image, settings)
    return versions


def _repository(stage: Stage, settings: Settings) -> Repository:
    if not stage.image:
        return component_repository(settings.registry, stage.component)
    host, _, name = stage.image.partition("@")[0].partition("/")
    return Repository(host, name)


def _find(stage: Stage, repository: Repository, settings: Settings) -> _Image:
    """The registry first, where there is one; else, and where it cannot be asked, the engine."""
    refusal: DaintreeError | None = None
    if repository.host:
        try:
            found = _in_registry(stage, repository, settings)
            if found is not None:
                return found
        except RegistryError as error:
            refusal = error
    try:
        found = _in_engine(stage, repository)
    except ImageError as error:
        raise refusal or error from None
    if found is None:
        if refusal is not None:
            raise refusal
        where = f"the registry {repository.host}" if repository.host else "the Docker engine"
        raise SpecError(
            f"{stage.place}: {where} has no image of {stage.code}",
            hint="doit build --push in the repository of its sources"
            if repository.host
            else "registry in [tool.daintree], or DAINTREE_REGISTRY, says where images are",
        )
    return found


def _in_registry(stage: Stage, repository: Repository, settings: Settings) -> _Image | None:
    from daintree.images.registry import RegistryClient

    registry = RegistryClient(repository.host, plain_http=settings.registry_plain_http)
    digest = stage.image.partition("@")[2]
    if not digest:
        [digest] = registry.digests([(repository, version_tag(f"sha256:{stage.version}"))])
    if not digest:
        return None
    return _Image(f"{repository}@{digest}", registry.labels(repository, digest, settings.platform))


def _in_engine(stage: Stage, repository: Repository) -> _Image | None:
    """The image of that digest, or the newest one that is labelled as this component at this version."""
    from daintree.images.engine import connected

    with connected("look for images") as client:
        wanted = f"{COMPONENT_LABEL}={stage.component}" if stage.component else COMPONENT_LABEL
        listed = client.api.images(filters={"label": wanted})
    for image in sorted(listed, key=lambda image: -int(image["Created"])):
        places = image["RepoDigests"] or ()
        version = str(image["Labels"].get(VERSION_LABEL, "")).removeprefix("sha256:")
        if stage.image in places or (stage.version and version.startswith(stage.version)):
            return _Image(stage.image or image["Id"], image["Labels"])
    return None


def _version(stage: Stage, found: _Image, settings: Settings) -> ComponentVersion:
    name, digest = found.labels.get(COMPONENT_LABEL, ""), found.labels.get(VERSION_LABEL, "")
    if not name or not digest:
        raise SpecError(
            f"{stage.place}: {stage.code} is no component's image: it lacks the label {VERSION_LABEL}",
            hint="images that `doit build` makes have it",
        )
    if stage.component and (
        name != stage.component or not digest.startswith(f"sha256:{stage.version}")
    ):
        raise SpecError(
            f"{stage.place}: the image of {stage.code} is labelled as {name} at {digest}",
            hint="delete that tag in the registry, then doit build --push in the repository of its sources",
        )
    try:
        spec = msgspec.json.decode(found.labels.get(SPEC_LABEL, "{}"), type=ComponentSpec)
    except msgspec.DecodeError as error:
        raise SpecError(
            f"{stage.place}: the parameters in the labels of {stage.code} cannot be read: {error}",
            hint="was it built by a newer version of the tooling?",
        ) from None
    return ComponentVersion(
        name=name,
        digest=digest,
        files=(),
        spec=spec,
        libraries=(),
        bases=(),
        platform=settings.platform,
        warnings=(),
        image=found.image,
    )


def _cache_path(stage: Stage, repository: Repository, settings: Settings) -> Path:
    key = digest_record("published", 1, [str(repository), stage.code, settings.platform])
    return settings.images / "published" / f"{key.removeprefix('sha256:')}.json"


def _read_cache(path: Path) -> _Image | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Image)
    except (OSError, msgspec.DecodeError):
        return None


def _write_cache(path: Path, image: _Image) -> None:
    # The engine's own images may go; those of a registry are what their digest says.
    if "@" not in image.image:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        partial.write_bytes(msgspec.json.encode(image))
        partial.replace(path)
