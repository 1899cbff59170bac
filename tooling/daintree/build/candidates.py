"""The components a build considers: each with its version, what is wrong with it, and whether it is committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from daintree.build.presence import Candidate
from daintree.build.protocol import Request, Result
from daintree.build.reasons import Since, affected_since, dirty
from daintree.errors import DaintreeError, ImageError, UsageError
from daintree.image.reference import component_repository
from daintree.settings import Settings
from daintree.version import discover_images, read_each_version


class Considered(msgspec.Struct, frozen=True):
    """What a build works on.

    `failed` are the components that cannot be built, or not pushed, at all. `since` says what differs from the request's base,
    None without one. `commit` is the one that all candidates are committed in, for a push; else "".
    """

    candidates: tuple[Candidate, ...]
    failed: tuple[Result, ...]
    since: Since | None = None
    commit: str = ""


def consider(
    settings: Settings, request: Request, meanwhile: Callable[[], object] | None = None
) -> Considered:
    """The components that a request is about; `meanwhile` is called while git works.

    Raises UsageError for a component or commit that does not exist, GitError as git does.
    """
    root = settings.root
    names = sorted(set(request.names)) or discover_images(root)
    versions = read_each_version(
        root, names, platform=settings.platform, bases=settings.bases, meanwhile=meanwhile
    )
    candidates: list[Candidate] = []
    failed: list[Result] = []
    for name, version in versions.items():
        if isinstance(version, UsageError):
            raise version
        try:
            if isinstance(version, DaintreeError):
                raise version
            candidates.append(Candidate(version, component_repository(settings.registry, name)))
        except DaintreeError as error:
            failed.append(broken(name, error))
    found = Considered(tuple(candidates), tuple(failed))
    if request.base:
        found = _narrowed(settings, request.base, found)
    return _committed(settings, found) if request.push else found


def _narrowed(settings: Settings, base: str, found: Considered) -> Considered:
    """Those that are affected since the base."""
    names = [candidate.name for candidate in found.candidates]
    since = affected_since(settings.root, settings, base, names)
    kept = tuple(c for c in found.candidates if c.name in since.phrases)
    return msgspec.structs.replace(found, candidates=kept, since=since)


def _committed(settings: Settings, found: Considered) -> Considered:
    """Those whose version is the one that HEAD's files give; the others fail."""
    commit, unclean = dirty(settings.root, settings, [c.name for c in found.candidates])
    return msgspec.structs.replace(
        found,
        candidates=tuple(c for c in found.candidates if c.name not in unclean),
        failed=(*found.failed, *_refused(found.candidates, unclean)),
        commit=commit,
    )


def _refused(
    candidates: Sequence[Candidate], unclean: Mapping[str, tuple[str, ...]]
) -> list[Result]:
    return [
        failure(
            candidate,
            ImageError(
                f"{candidate.name} is not committed: {'; '.join(unclean[candidate.name])}",
                hint="commit it and push then; without --push its image is built for this machine",
            ),
        )
        for candidate in candidates
        if candidate.name in unclean
    ]


def broken(name: str, error: DaintreeError) -> Result:
    """The result of a component that has no version, or no image's name."""
    return Result(
        name=name, version="", action="failed", image="", reasons=(error.message,), error=error
    )


def failure(candidate: Candidate, error: DaintreeError, reasons: tuple[str, ...] = ()) -> Result:
    """The result of a component whose image could not be looked up, built or pushed."""
    return Result(
        name=candidate.name,
        version=candidate.version.digest,
        action="failed",
        image=candidate.image,
        reasons=(*reasons, error.message.partition("\n")[0]),
        error=error,
    )
