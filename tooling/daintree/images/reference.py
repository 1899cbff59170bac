"""References of images, `registry/prefix/component:tag`, and the labels that images and containers carry."""

from __future__ import annotations

import re

import msgspec

from daintree.digest import short
from daintree.errors import ImageError

LATEST = "latest"
DEV = "dev"

COMPONENT_LABEL = "ml.daintree.component"
# The full version, `sha256:<64 hex>`; a tag has its first digits only.
VERSION_LABEL = "ml.daintree.version"
# The component.yaml as JSON, so that a pipeline in another repository knows the parameters of an image.
SPEC_LABEL = "ml.daintree.component-spec"
# The version of the tooling that built the image.
BUILT_BY_LABEL = "ml.daintree.built-by"
# On containers: the run they compute, and the process that started them, so that they can be removed once it has died.
RUN_LABEL, OWNER_LABEL = "ml.daintree.run", "ml.daintree.owner"
REVISION_LABEL = "org.opencontainers.image.revision"
CREATED_LABEL = "org.opencontainers.image.created"

_SEGMENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*\Z")
_LONGEST_NAME = 255


class Repository(msgspec.Struct, frozen=True):
    """The repository of a component's images: a registry's host ("" for the engine alone) and the name there."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}" if self.host else self.name

    def tagged(self, tag: str) -> str:
        """The reference of the image that a tag names."""
        return f"{self}:{tag}"


def parse_reference(image: str) -> tuple[Repository, str, str]:
    """The repository, the tag ("latest" where none is named) and the digest ("" for none) of `host/name[:tag][@digest]`."""
    path, _, digest = image.partition("@")
    name, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        name, tag = path, LATEST
    host, _, name = name.partition("/")
    return Repository(host, name), tag, digest


def repository_of(image: str) -> Repository:
    """The repository of an image by its digest, `host/name@sha256:…`."""
    return parse_reference(image)[0]


def component_repository(registry: str, component: str) -> Repository:
    """The repository of a component's images; `registry` is `host[:port][/prefix]`, or "" for the engine alone.

    Raises ImageError for a name that no image can have.
    """
    host, _, prefix = registry.partition("/")
    for segment in component.split("/"):
        if not _SEGMENT.match(segment):
            raise ImageError(
                f"components/{component}: {segment!r} can be no part of an image's name",
                hint="rename the directory: small letters and digits, with single . _ or - between them",
            )
    name = f"{prefix}/{component}".lstrip("/")
    if len(name) > _LONGEST_NAME:
        raise ImageError(f"components/{component}: the image's name is longer than {_LONGEST_NAME}")
    return Repository(host, name)


def version_tag(version: str) -> str:
    """The tag of a version: its first 20 hex digits."""
    return short(version)
