"""The tags of a clean commit that was pushed: `:<commit>`, and `:latest`, which moves only forward in history."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from daintree.components import ComponentVersion, discover_images, read_each_version
from daintree.components.git import commit_seconds, commits_apart, is_on_main_line
from daintree.concurrency import side_by_side
from daintree.errors import DaintreeError, ImageError, UsageError
from daintree.images import labels
from daintree.images.protocol import Registry, Request, Result
from daintree.images.reference import LATEST, Repository, component_repository, version_tag
from daintree.settings import Settings

_FILE = "versions"
_VERSION = re.compile(r"sha256:[0-9a-f]{64}")


class Seen:
    """A file of lines `<image digest> <version>`, shared by processes; without it everything is only asked again."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / _FILE
        try:
            lines = self._file.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            lines = []
        pairs = (line.split(" ") for line in lines)
        self._versions = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def version(self, digest: str) -> str | None:
        """The version in the label of this image, "" for none; None when it has not been seen yet."""
        found = self._versions.get(digest)
        return None if found is None else found.removeprefix("-")

    def remember(self, versions: Mapping[str, str]) -> None:
        """Keep the versions of images that were looked at, by image digest."""
        # A label may say anything; what is no version must not become lines of this file.
        kept = {digest: v if _VERSION.fullmatch(v) else "-" for digest, v in versions.items()}
        self._versions |= kept
        text = "".join(f"{digest} {version}\n" for digest, version in kept.items())
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # One write of a file opened for appending: lines of several processes do not mix.
            with open(self._file, "ab", buffering=0) as file:
                file.write(text.encode("ascii"))


THREADS = 16


class Candidate(msgspec.Struct, frozen=True):
    """A component that has a version, and where its images are."""

    version: ComponentVersion
    repository: Repository

    @property
    def name(self) -> str:
        """The component's name."""
        return self.version.name

    @property
    def tag(self) -> str:
        """The version's tag."""
        return version_tag(self.version.digest)

    @property
    def image(self) -> str:
        """The reference with the version's tag."""
        return self.repository.tagged(self.tag)


class Published(msgspec.Struct, frozen=True):
    """What the registry has of a component: the image digests that its tags name, "" for none."""

    version: str
    commit: str = ""
    latest: str = ""


def published(
    registry: Registry, candidates: Sequence[Candidate], commit: str
) -> dict[str, Published]:
    """What the registry has of each component, by name; of its aliases too where `commit` is given.

    One request a tag, all in one round. Raises RegistryError.
    """
    aliases = (commit, LATEST) if commit else ()
    asked = [(c.repository, tag) for c in candidates for tag in (c.tag, *aliases)]
    digests = iter(registry.digests(asked))
    return {
        candidate.name: Published(*(next(digests) for _ in range(1 + len(aliases))))
        for candidate in candidates
    }


def impostors(
    registry: Registry,
    seen: Seen,
    candidates: Sequence[Candidate],
    found: Mapping[str, Published],
) -> dict[str, ImageError]:
    """The components whose version's tag names an image that is not that version's, by its label; with the error.

    A tag has only a version's first digits, and somebody may have set it by hand. Each image is looked at once, ever.
    """
    new = [c for c in candidates if (d := found[c.name].version) and seen.version(d) is None]

    def version_of(candidate: Candidate) -> str:
        digest = found[candidate.name].version
        carried = registry.labels(candidate.repository, digest, candidate.version.platform)
        return carried.get(labels.VERSION, "")

    versions = side_by_side(version_of, new, THREADS)
    if new:
        digests = (found[candidate.name].version for candidate in new)
        seen.remember(dict(zip(digests, versions, strict=True)))
    return {
        candidate.name: _impostor(candidate, seen.version(digest) or "")
        for candidate in candidates
        if (digest := found[candidate.name].version)
        and seen.version(digest) != candidate.version.digest
    }


def _impostor(candidate: Candidate, carried: str) -> ImageError:
    says = f"its label says {carried}" if carried else f"it has no label {labels.VERSION}"
    return ImageError(
        f"{candidate.image} is not the image of {candidate.name} {candidate.version.digest}: {says}",
        hint="a version's tag is never overwritten: delete it in the registry, then build again",
    )


_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Aliases(msgspec.Struct, frozen=True):
    """The aliases that were set, and why `:latest` was left where it is ("" where it was not)."""

    set: tuple[str, ...]
    kept: str = ""


def set_aliases(
    root: Path,
    registry: Registry,
    candidate: Candidate,
    digest: str,
    found: Published,
    commit: str,
) -> Aliases:
    """Make `:<commit>` and `:latest` name the image with this digest, where they do not yet.

    `found` is what the registry had. Raises RegistryError and GitError.
    """
    wanted = [] if found.commit == digest else [commit]
    kept = ""
    if found.latest != digest:
        kept = _why_not_latest(root, registry, candidate, found.latest, commit)
        wanted += [] if kept else [LATEST]
    if wanted:
        manifest = registry.manifest(candidate.repository, digest)
        for tag in wanted:
            registry.tag(candidate.repository, manifest, tag)
    return Aliases(tuple(wanted), kept)


def _why_not_latest(
    root: Path, registry: Registry, candidate: Candidate, latest: str, commit: str
) -> str:
    """Why `:latest` must not move to this commit; "" when it may.

    The commits it may stand for now are those whose tag names the same image. An older one allows the move; so does one aside,
    as after a force push. A later one forbids it.
    """
    if not is_on_main_line(root, commit):
        return "this commit is not on the main branch"
    if not latest:
        return ""
    tags = [tag for tag in registry.tags(candidate.repository) if _COMMIT.fullmatch(tag)]
    apart = commits_apart(root, commit, tags)
    doubtful = sorted(apart.later | apart.unknown)
    digests = registry.digests([(candidate.repository, tag) for tag in doubtful])
    same = {tag for tag, digest in zip(doubtful, digests, strict=True) if digest == latest}
    if same & apart.later:
        return f"it is at the later commit {min(same & apart.later)}"
    if same and not _is_older(root, registry, candidate, latest, same, commit):
        return f"it is at commit {min(same)}, which this clone does not have (git fetch)"
    return ""


def _is_older(
    root: Path,
    registry: Registry,
    candidate: Candidate,
    latest: str,
    unknown: set[str],
    commit: str,
) -> bool:
    """Whether the image was built at one of these unknown commits, at a time that is before `commit`'s.

    A clone that is behind does not know later commits; after a force push none knows those that were left out.
    """
    from datetime import datetime

    carried = registry.labels(candidate.repository, latest, candidate.version.platform)
    if carried.get(labels.REVISION) not in unknown:
        return False
    try:
        created = datetime.fromisoformat(carried.get(labels.CREATED, "")).timestamp()
    except ValueError:
        return False
    return created <= commit_seconds(root, commit)


class Since(msgspec.Struct, frozen=True):
    """The components that differ since a base, each with the phrases that say why."""

    base: str
    phrases: Mapping[str, tuple[str, ...]]

    def reasons(self, name: str, otherwise: str) -> tuple[str, ...]:
        """Why the component is affected; `otherwise` where it is not."""
        since = f" since {self.base}" if self.base else ""
        found = self.phrases.get(name, ())
        return tuple(f"affected: {phrase}{since}" for phrase in found) or (otherwise,)


def affected_since(root: Path, settings: Settings, base: str, only: Collection[str]) -> Since:
    """What differs from a commit to the working tree; from "", what `doit affected` compares with.

    Raises as `affected` does.
    """
    # Imported here: a build with nothing to do explains nothing.
    from daintree.components.affected import affected
    from daintree.components.git import upstream_name

    found = affected(
        root, base or None, platform=settings.platform, bases=settings.bases, only=only
    )
    name = base or (upstream_name(root) or "HEAD" if found.base else "")
    return Since(name, {item.name: item.reasons for item in found.components})


def explained(root: Path, settings: Settings, only: Collection[str]) -> Since:
    """As `affected_since` without a base, where not knowing why is no reason not to build.

    A clone that is too shallow has no base to compare with.
    """
    try:
        return affected_since(root, settings, "", only)
    except DaintreeError:
        return Since("", {})


def dirty(
    root: Path, settings: Settings, only: Collection[str]
) -> tuple[str, Mapping[str, tuple[str, ...]]]:
    """HEAD's commit ("" before any), and why the version of each component is not the one that HEAD's files give.

    Raises as `affected` does.
    """
    from daintree.components.commit_tree import resolve_commit

    commit = resolve_commit(root, "HEAD")
    return commit, affected_since(root, settings, commit, only).phrases


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
