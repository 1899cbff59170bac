"""What a build is asked, what it answers, and what it tells while it goes on."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from daintree.errors import DaintreeError

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
