"""Images and the versions that their labels name: the version of an image, and the registry's image of a version.

An image never changes, and a version's tag is never overwritten: what was read once of a version whose sources are in another
repository is remembered, so that a run with nothing to do asks nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.components import (
    TOOLING,
    ComponentVersion,
    WorkingTree,
    discover_images,
    read_each_version,
)
from daintree.concurrency import side_by_side
from daintree.digest import digest_record
from daintree.errors import (
    DaintreeError,
    ImageError,
    RegistryError,
    SettingsError,
    SpecError,
    UsageError,
)
from daintree.images.registry import (
    COMPONENT_LABEL,
    SPEC_LABEL,
    VERSION_LABEL,
    ImageConfig,
    RegistryClient,
    Repository,
    component_repository,
    parse_reference,
    repository_of,
    version_tag,
)
from daintree.settings import Settings
from daintree.spec.component import ComponentSpec
from daintree.spec.pipeline import Stage

_THREADS = 16


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


def _registry(host: str, settings: Settings) -> RegistryClient:
    return RegistryClient(host, plain_http=settings.registry_plain_http)


def _repository(stage: Stage, settings: Settings) -> Repository:
    if not stage.image:
        return component_repository(settings.registry, stage.component)
    return repository_of(stage.image)


def _find(stage: Stage, repository: Repository, settings: Settings) -> _Image:
    """The registry first, where there is one; else, and where it cannot be asked, the engine."""
    refusal: DaintreeError | None = None
    if repository.host:
        try:
            image = _in_registry(stage, repository, settings)
            if image is not None:
                return image
        except RegistryError as error:
            refusal = error
    try:
        image = _in_engine(stage, repository)
    except ImageError as error:
        raise refusal or error from None
    if image is None:
        if refusal is not None:
            raise refusal
        where = f"the registry {repository.host}" if repository.host else "the Docker engine"
        raise SpecError(
            f"{stage.place}: {where} has no image of {stage.code}",
            hint="doit build --push in the repository of its sources"
            if repository.host
            else "registry in [tool.daintree], or DAINTREE_REGISTRY, says where images are",
        )
    return image


def _in_registry(stage: Stage, repository: Repository, settings: Settings) -> _Image | None:
    registry = _registry(repository.host, settings)
    digest = stage.image.partition("@")[2]
    if not digest:
        digest = registry.digest(repository, version_tag(f"sha256:{stage.version}"))
    if not digest:
        return None
    config = registry.config(repository, digest, settings.platform)
    return _Image(f"{repository}@{digest}", config.labels)


def _in_engine(stage: Stage, repository: Repository) -> _Image | None:
    """The image of that digest, or the newest one that is labelled as this component at this version."""
    from daintree.images.engine import connected

    with connected("look for images") as client:
        wanted = f"{COMPONENT_LABEL}={stage.component}" if stage.component else COMPONENT_LABEL
        listed = client.images(filters={"label": wanted})
    for image in sorted(listed, key=lambda image: -int(image["Created"])):
        places = image["RepoDigests"] or ()
        version = str(image["Labels"].get(VERSION_LABEL, "")).removeprefix("sha256:")
        if stage.image in places or (stage.version and version.startswith(stage.version)):
            return _Image(stage.image or image["Id"], image["Labels"])
    return None


def _version(stage: Stage, image: _Image, settings: Settings) -> ComponentVersion:
    name, digest = image.labels.get(COMPONENT_LABEL, ""), image.labels.get(VERSION_LABEL, "")
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
        spec = msgspec.json.decode(image.labels.get(SPEC_LABEL, "{}"), type=ComponentSpec)
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
        image=image.image,
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


class ComponentImage(msgspec.Struct, frozen=True):
    """An image by its digest, `repository@sha256:…`, and the command that it begins with."""

    reference: str
    command: tuple[str, ...]


def component_images(
    versions: Sequence[ComponentVersion], settings: Settings
) -> list[ComponentImage]:
    """The image that pods run of each version, in order, asked for in one parallel round and read in another.

    Raises SettingsError where no registry is set, ImageError for one that is missing or is not what its tag says,
    with the command that pushes it, RegistryError as asking does.
    """
    repositories = [_published_repository(version, settings) for version in versions]
    registries = {host: _registry(host, settings) for host in {r.host for r in repositories}}
    tags = [version.image.partition("@")[2] or version_tag(version.digest) for version in versions]
    images = list(zip(repositories, tags, strict=True))
    digests = side_by_side(lambda image: registries[image[0].host].digest(*image), images, _THREADS)
    missing = [i for i, digest in enumerate(digests) if not digest]
    if missing:
        names = " ".join(dict.fromkeys(versions[i].name for i in missing))
        repository, tag = images[missing[0]]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ImageError(
            f"the registry has no image {repository.tagged(tag)}{more}: pods run what is pushed",
            hint=f"doit build --push {names}",
        )

    def read(index: int) -> ComponentImage:
        version, repository, digest = versions[index], repositories[index], digests[index]
        registry = registries[repository.host]
        config = _config_of(registry, repository, digest, version, settings.platform)
        if not config.entrypoint:
            raise ImageError(
                f"the image of {version.name} has no ENTRYPOINT",
                hint='a Dockerfile ends in ENTRYPOINT ["python", "/application/main.py"]',
            )
        return ComponentImage(f"{repository}@{digest}", config.entrypoint)

    return side_by_side(read, range(len(versions)), _THREADS)


def published_digest(version: ComponentVersion, settings: Settings) -> str:
    """The digest of the registry's image of a version, "" where it has none, or no registry is set.

    Raises ImageError for one that is not what its tag says, RegistryError as asking does.
    """
    if not settings.registry:
        return ""
    repository = component_repository(settings.registry, version.name)
    registry = _registry(repository.host, settings)
    digest = registry.digest(repository, version_tag(version.digest))
    if digest:
        _config_of(registry, repository, digest, version, settings.platform)
    return digest


def _published_repository(version: ComponentVersion, settings: Settings) -> Repository:
    if "@" in version.image:
        return repository_of(version.image)
    if not settings.registry:
        raise SettingsError(
            "pods pull their images from a registry, and none is set",
            hint="registry in [tool.daintree], or DAINTREE_REGISTRY, such as registry.example/ml",
        )
    return component_repository(settings.registry, version.name)


def _config_of(
    registry: RegistryClient,
    repository: Repository,
    digest: str,
    version: ComponentVersion,
    platform: str,
) -> ImageConfig:
    """The configuration of a version's image. Raises ImageError where its label is not the whole version."""
    config = registry.config(repository, digest, platform)
    label = config.labels.get(VERSION_LABEL, "")
    if label != version.digest:
        raise ImageError(
            f"{repository}@{digest} is not {version.name} at {version.digest}:"
            f" its label is {label or 'missing'}",
            hint="who pushed it by hand? Delete its tag in the registry, then doit build --push",
        )
    return config


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
        from daintree.images.build import uncommitted

        _, unclean = uncommitted(settings, [TOOLING], tree)
        if TOOLING not in unclean:
            raise
        raise ImageError(
            f"{TOOLING} is not committed, so no registry has its image: {'; '.join(unclean[TOOLING])}",
            hint=f"commit it, then {_BUILD}; or {_SETTING}",
        ) from None


def _configured_image(settings: Settings) -> str:
    """The image that the setting names, by its digest."""
    repository, tag, digest = parse_reference(settings.argo_image)
    host = repository.host
    if not repository.name or not ("." in host or ":" in host or host == "localhost"):
        raise SettingsError(
            f"argo_image: {settings.argo_image!r} does not say which registry it is in",
            hint="such as registry.example/ml/daintree/tooling:latest",
        )
    if not digest:
        digest = _registry(host, settings).digest(repository, tag)
    if not digest:
        raise RegistryError(
            f"the registry {host} has no {repository.tagged(tag)}",
            hint=f"{_BUILD} in the repository of the tooling, or another {_SETTING}",
        )
    return f"{repository}@{digest}"
