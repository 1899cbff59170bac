"""The image that the record step and scheduled runs use: the tooling's own, of the version at hand, or the one that a setting names."""

from __future__ import annotations

from daintree.build.memory import Seen
from daintree.build.presence import Candidate, impostors, published
from daintree.build.reasons import dirty
from daintree.errors import DaintreeError, RegistryError, SettingsError, UsageError
from daintree.image.protocol import Registry
from daintree.image.reference import LATEST, Repository, component_repository
from daintree.image.registry import open_registry
from daintree.settings import Settings
from daintree.version import discover_images, read_each_version
from daintree.version.own_image import NAME

_BUILD = f"doit build --push {NAME}"
_SETTING = "argo_image in [tool.daintree], or DAINTREE_ARGO_IMAGE"


def tooling_image(settings: Settings) -> str:
    """The tooling's image as pods name it: `repository@sha256:…`, as the registry has it now.

    The setting `argo_image` wins, and a tag in it is looked up. Else it is the image of the version that the project's files
    give. Raises UsageError where neither is there, SettingsError for a setting that names no image, RegistryError for an image
    that the registry lacks, or when it does not answer, and what reading the version does.
    """
    if settings.argo_image:
        return _named(settings)
    if NAME not in discover_images(settings.root):
        raise UsageError(
            "the project has not the sources of the tooling, and no setting names its image",
            hint=f"{_SETTING}: what `{_BUILD}` gives in the repository that has them",
        )
    if not settings.registry:
        raise UsageError(
            f"a cluster gets {NAME} from a registry, and none is set",
            hint="set DAINTREE_REGISTRY, or registry in [tool.daintree], such as registry.example/ml",
        )
    return _of_this_version(settings)


def _named(settings: Settings) -> str:
    """The image that the setting names, by its digest."""
    place, _, digest = settings.argo_image.partition("@")
    path, colon, tag = place.rpartition(":")
    if not colon or "/" in tag:
        path, tag = place, LATEST
    host, _, name = path.partition("/")
    if not name or not ("." in host or ":" in host or host == "localhost"):
        raise SettingsError(
            f"argo_image: {settings.argo_image!r} does not say which registry it is in",
            hint="such as registry.example/ml/daintree/tooling:latest",
        )
    repository = Repository(host, name)
    if digest:
        return f"{repository}@{digest}"
    [found] = _registry(host, settings).digests([(repository, tag)])
    if not found:
        raise RegistryError(
            f"the registry {host} has no {repository.tagged(tag)}",
            hint=f"{_BUILD} in the repository of the tooling, or another {_SETTING}",
        )
    return f"{repository}@{found}"


def _of_this_version(settings: Settings) -> str:
    """The image of the version that the project's files give."""
    versions = read_each_version(
        settings.root, [NAME], platform=settings.platform, bases=settings.bases
    )
    version = versions[NAME]
    if isinstance(version, DaintreeError):
        raise version
    candidate = Candidate(version, component_repository(settings.registry, NAME))
    registry = _registry(candidate.repository.host, settings)
    found = published(registry, [candidate], "")
    for impostor in impostors(registry, Seen(settings.images), [candidate], found).values():
        raise impostor
    digest = found[NAME].version
    if not digest:
        raise _missing(settings, candidate)
    return f"{candidate.repository}@{digest}"


def _missing(settings: Settings, candidate: Candidate) -> RegistryError:
    _, unclean = dirty(settings.root, settings, [NAME])
    if NAME in unclean:
        return RegistryError(
            f"{NAME} is not committed, so no registry has its image: {'; '.join(unclean[NAME])}",
            hint=f"commit it, then {_BUILD}; or {_SETTING}",
        )
    return RegistryError(
        f"the registry {candidate.repository.host} has no {candidate.image}", hint=_BUILD
    )


def _registry(host: str, settings: Settings) -> Registry:
    registry = open_registry(host, plain_http=settings.registry_plain_http)
    assert registry is not None
    return registry
