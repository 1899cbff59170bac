"""What the rest needs of a registry and of whatever builds images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from daintree.errors import DaintreeError
from daintree.images.reference import Repository


class Manifest(msgspec.Struct, frozen=True):
    """An image's manifest as the registry keeps it; `digest` is that of its bytes, and the image's."""

    media_type: str
    digest: str
    body: bytes


class ImageConfig(msgspec.Struct, frozen=True):
    """What an image says of itself: its labels, its entrypoint, and the command that follows it; empty where it has none."""

    labels: dict[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


class Registry(Protocol):
    """Where images are kept for everybody. Every method raises RegistryError."""

    def digests(self, images: Sequence[tuple[Repository, str]]) -> list[str]:
        """The image digest that each (repository, tag) names, "" for none; asked for in one parallel round."""
        ...

    def manifest(self, repository: Repository, reference: str) -> Manifest:
        """The manifest that a tag or digest names."""
        ...

    def config(self, repository: Repository, reference: str, platform: str) -> ImageConfig:
        """The configuration of an image, of its variant for `platform` where it has several."""
        ...

    def labels(self, repository: Repository, reference: str, platform: str) -> dict[str, str]:
        """The labels of an image, of its variant for `platform` where it has several."""
        ...

    def tags(self, repository: Repository) -> list[str]:
        """The tags of a repository; empty when there is no such repository."""
        ...

    def tag(self, repository: Repository, manifest: Manifest, tag: str) -> None:
        """Make a tag name an image that the repository has. Believed only when the registry answers with its digest."""
        ...


class LocalImage(msgspec.Struct, frozen=True):
    """An image in the engine: its id, labels and references."""

    id: str
    labels: dict[str, str]
    references: tuple[str, ...]


class BuildOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to build an image of: the context as a tar, and what the engine is told."""

    context: bytes
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    references: tuple[str, ...]
    platform: str
    fresh: bool = False


class Builder(Protocol):
    """What builds and pushes images. Raises EngineError when it does not answer, ImageError when the work fails."""

    def images(self, label: str, values: Iterable[str]) -> dict[str, LocalImage]:
        """The newest image by the value of this label, of those that are there."""
        ...

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> str:
        """Build an image and give it its references; its id. `say` gets what the build prints, line by line."""
        ...

    def name(self, image: str, references: Iterable[str]) -> None:
        """Give an image references."""
        ...

    def push(self, reference: str, say: Callable[[str], None]) -> str:
        """Push an image; the digest that the registry gave it, as the engine tells it."""
        ...


Action = Literal["present", "would-build", "built", "failed"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked for.

    `names` are the components to consider, none meaning all; `base` narrows them to those affected since a commit.
    `everything` builds although an image is there; `dry_run` only says what would be built.
    """

    names: tuple[str, ...] = ()
    base: str = ""
    push: bool = False
    everything: bool = False
    dry_run: bool = False
    jobs: int = 1


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one component.

    `version` is "" where it could be given none, `image` the reference with the version's tag, `digest` what the registry says
    the image is (None for an image that is in the engine alone). `pushed` tells whether this build pushed it; `aliases` the
    tags that were set, or moved, to it.
    """

    name: str
    version: str
    action: Action
    image: str
    digest: str | None = None
    pushed: bool = False
    reasons: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    error: DaintreeError | None = None


class Listener(Protocol):
    """Gets the events of a build; called from the threads that build."""

    def starting(self, name: str, reasons: tuple[str, ...]) -> None:
        """A component's image is about to be built or pushed."""
        ...

    def line(self, name: str, text: str) -> None:
        """The engine says a line."""
        ...

    def finished(self, result: Result, seconds: float) -> None:
        """An image is built, or has failed."""
        ...

    def note(self, name: str, text: str) -> None:
        """Something worth knowing of a component."""
        ...

    def warning(self, text: str) -> None:
        """Something that may go wrong later."""
        ...
