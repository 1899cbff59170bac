"""One component's image: built from its snapshot unless the engine has it, pushed when that is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daintree.build.aliases import Aliases, set_aliases
from daintree.build.candidates import failure
from daintree.build.first_push import FirstPush
from daintree.build.memory import Seen
from daintree.build.order import Origin, build_order
from daintree.build.presence import Candidate, Published
from daintree.build.protocol import Listener, Result
from daintree.errors import DaintreeError, ImageError
from daintree.git.lineage import commit_seconds, origin_url
from daintree.image.protocol import Builder, LocalImage, Registry
from daintree.image.reference import DEV
from daintree.settings import Settings
from daintree.snapshot import make_snapshot

ENGINE_HAD = "the engine had it already"
NOT_OVERWRITTEN = "the registry has this version, whose tag is never overwritten"
NO_ALIASES = Aliases(())


class Maker(msgspec.Struct, frozen=True):
    """Makes images for one build; may be called from several threads.

    `local` are the engine's images by version, to use as they are; `commit` is where the files are committed, by component.
    `registry` is None unless images are to be pushed; `first` lets one of those with the same base go ahead.
    """

    settings: Settings
    builder: Builder
    listener: Listener
    local: Mapping[str, LocalImage]
    commits: Mapping[str, str]
    registry: Registry | None
    seen: Seen
    fresh: bool
    first: FirstPush = msgspec.field(default_factory=FirstPush)

    def make(self, candidate: Candidate, reasons: tuple[str, ...]) -> Result:
        """Make one image; what goes wrong is in the result. Raises nothing but interrupts and bugs."""
        began = time.monotonic()
        self.listener.starting(candidate.name, reasons)
        try:
            result = self._made(candidate, reasons)
        except DaintreeError as error:
            result = failure(candidate, error, reasons)
        self.listener.finished(result, time.monotonic() - began)
        return result

    def _made(self, candidate: Candidate, reasons: tuple[str, ...]) -> Result:
        references: tuple[str, ...] = (candidate.image,)
        if self.registry is None:
            references = (*references, candidate.repository.tagged(DEV))
        here = self.local.get(candidate.version.digest)
        if here is None:
            self._build(candidate, references)
        else:
            self.builder.name(here.id, references)
            reasons = (*reasons, ENGINE_HAD)
        result = Result(
            name=candidate.name,
            version=candidate.version.digest,
            action="present" if here and self.registry is None else "built",
            image=candidate.image,
            reasons=reasons,
        )
        return self._push(candidate, self.registry, result) if self.registry else result

    def _build(self, candidate: Candidate, references: tuple[str, ...]) -> None:
        root = self.settings.root
        snapshot = make_snapshot(candidate.version, root, self.settings.snapshots)
        origin = _origin(root, self.commits.get(candidate.name, ""))
        try:
            order = build_order(candidate.version, snapshot, references, origin, fresh=self.fresh)
        except OSError as error:
            raise ImageError(f"{snapshot} cannot be read: {error.strerror}") from None
        self.builder.build(order, lambda line: self.listener.line(candidate.name, line))

    def _push(self, candidate: Candidate, registry: Registry, result: Result) -> Result:
        tag = (candidate.repository, candidate.tag)
        [there] = registry.digests([tag])
        if there:
            return msgspec.structs.replace(
                result, digest=there, reasons=(*result.reasons, NOT_OVERWRITTEN)
            )
        with self.first.of(candidate.version.bases):
            told = self.builder.push(
                candidate.image, lambda line: self.listener.line(candidate.name, line)
            )
        [there] = registry.digests([tag])
        if there != told:
            raise ImageError(
                f"{candidate.image} was pushed as {told}, but the registry"
                + (f" answers with {there}" if there else " does not have it"),
                hint="somebody may have pushed it at the same moment: run it again",
            )
        self.seen.remember({told: candidate.version.digest})
        return msgspec.structs.replace(result, digest=told, pushed=True)


def with_aliases(
    settings: Settings,
    registry: Registry,
    listener: Listener,
    candidate: Candidate,
    result: Result,
    found: Published,
    commit: str,
) -> Result:
    """The result once `:<commit>` and `:latest` name its image, as far as they may; failed when that fails."""
    assert result.digest is not None
    try:
        aliases = set_aliases(settings.root, registry, candidate, result.digest, found, commit)
    except DaintreeError as error:
        return failure(candidate, error, result.reasons)
    if aliases.kept:
        listener.note(candidate.name, f":latest stays where it is: {aliases.kept}")
    return msgspec.structs.replace(result, aliases=aliases.set)


def _origin(root: Path, commit: str) -> Origin:
    """Where the files come from, for the image's labels; without a commit, now."""
    moment = (
        datetime.fromtimestamp(commit_seconds(root, commit), UTC) if commit else datetime.now(UTC)
    )
    return Origin(commit, origin_url(root), moment.isoformat(timespec="seconds"))
