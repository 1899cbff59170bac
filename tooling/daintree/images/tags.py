"""The tags of images in a registry: a version's, checked against the image's label; a commit's; and `:latest`, only forward."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from daintree.components import ComponentVersion, WorkingTree, discover_images, read_each_version
from daintree.components.history import CommitHistory
from daintree.concurrency import side_by_side
from daintree.errors import DaintreeError, ImageError, UsageError
from daintree.images.registry import (
    CREATED_LABEL,
    LATEST,
    REVISION_LABEL,
    VERSION_LABEL,
    RegistryClient,
    Repository,
    version_tag,
)
from daintree.settings import Settings, read_settings

THREADS = 16
_CACHE_FILE = "versions"
_VERSION = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION_TAG = re.compile(r"[0-9a-f]{20}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class ImageLabelCache:
    """The versions in the labels of images that were read before: a file of lines `<image digest> <version>`.

    Processes share it; without it labels are only read again.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / _CACHE_FILE
        try:
            lines = self._file.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            lines = []
        pairs = (line.split(" ") for line in lines)
        self._versions = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def version(self, digest: str) -> str | None:
        """The version in the label of this image, "" for none; None when it has not been read yet."""
        version = self._versions.get(digest)
        return None if version is None else version.removeprefix("-")

    def add(self, versions: Mapping[str, str]) -> None:
        """Keep the versions in the labels of images, by image digest."""
        # A label may say anything; what is no version must not become lines of this file.
        checked = {digest: v if _VERSION.fullmatch(v) else "-" for digest, v in versions.items()}
        self._versions |= checked
        text = "".join(f"{digest} {version}\n" for digest, version in checked.items())
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # One write of a file opened for appending: lines of several processes do not mix.
            with open(self._file, "ab", buffering=0) as file:
                file.write(text.encode("ascii"))


class Candidate(msgspec.Struct, frozen=True):
    """A component that has a version, and the repository of its images."""

    version: ComponentVersion
    repository: Repository

    @property
    def name(self) -> str:
        return self.version.name

    @property
    def tag(self) -> str:
        return version_tag(self.version.digest)

    @property
    def image(self) -> str:
        return self.repository.tagged(self.tag)


class Published(msgspec.Struct, frozen=True):
    """The image digests that a component's tags name in the registry, "" for none, or the error of asking for them."""

    version: str = ""
    commit: str = ""
    latest: str = ""
    error: ImageError | None = None


def published(
    registry: RegistryClient, candidates: Sequence[Candidate], commit: str
) -> dict[str, Published]:
    """The digests that the registry has of each component, by name; of its aliases too where `commit` is given.

    One request a tag, all in one round. What one repository refuses is that component's error. Raises RegistryUnavailable.
    """
    aliases = (commit, LATEST) if commit else ()
    tags = [(c.repository, tag) for c in candidates for tag in (c.tag, *aliases)]
    answers = iter(registry.each_digest(tags))
    images: dict[str, Published] = {}
    for candidate in candidates:
        mine = [next(answers) for _ in range(1 + len(aliases))]
        errors = [answer for answer in mine if isinstance(answer, ImageError)]
        digests = dict(zip(Published.__struct_fields__, mine, strict=False))
        images[candidate.name] = (
            Published(error=errors[0]) if errors else msgspec.convert(digests, Published)
        )
    return images


def tag_errors(
    registry: RegistryClient,
    cache: ImageLabelCache,
    candidates: Sequence[Candidate],
    tags: Mapping[str, Published],
) -> dict[str, ImageError]:
    """The error of each component that the registry refuses, or whose version's tag names an image of another version.

    A tag has only a version's first digits, and anybody may have set it. Each image's label is read once, ever.
    """
    named = {c.name: digest for c in candidates if (digest := tags[c.name].version)}
    new = [c for c in candidates if c.name in named and cache.version(named[c.name]) is None]
    errors = {name: item.error for name, item in tags.items() if item.error is not None}

    def version_of(candidate: Candidate) -> str | ImageError:
        try:
            config = registry.config(
                candidate.repository, named[candidate.name], candidate.version.platform
            )
        except ImageError as error:
            return error
        return config.labels.get(VERSION_LABEL, "")

    answers = side_by_side(version_of, new, THREADS)
    read: dict[str, str] = {}
    for candidate, answer in zip(new, answers, strict=True):
        if isinstance(answer, ImageError):
            errors[candidate.name] = answer
        else:
            read[named[candidate.name]] = answer
    if read:
        cache.add(read)
    for candidate in candidates:
        if candidate.name in named and candidate.name not in errors:
            version = cache.version(named[candidate.name]) or ""
            if version != candidate.version.digest:
                errors[candidate.name] = _wrong_label(candidate, version)
    return errors


def _wrong_label(candidate: Candidate, version: str) -> ImageError:
    says = f"its label says {version}" if version else f"it has no label {VERSION_LABEL}"
    return ImageError(
        f"{candidate.image} is not the image of {candidate.name} {candidate.version.digest}: {says}",
        hint="a version's tag is never overwritten: delete it in the registry, then build again",
    )


def needed_versions(settings: Settings) -> dict[str, set[str]]:
    """The tags of versions that something needs, by component: of the working tree, of each branch, and of each run in the store.

    Raises UsageError for a component whose version cannot be told, since its images would not be known; GitError, StoreError.
    """
    from daintree.components.history import checked_out, commits_of
    from daintree.store.store import open_store

    needed: dict[str, set[str]] = {}

    def add(root: Path, settings: Settings, place: str) -> None:
        results = read_each_version(
            *(WorkingTree(root), discover_images(root)),
            platform=settings.platform,
            bases=settings.bases,
        )
        for name, version in results.items():
            if isinstance(version, DaintreeError):
                raise UsageError(
                    f"--images: the version of {name}{place} is not known, so nothing is removed: {version.message}",
                    hint=version.hint,
                )
            needed.setdefault(name, set()).add(version_tag(version.digest))

    add(settings.root, settings, "")
    for commit in commits_of(settings.root, ("refs/heads", "refs/remotes")):
        with checked_out(settings.root, commit) as root:
            add(root, read_settings(root), f" of {commit[:8]}")
    for entry in open_store(settings).history():
        needed.setdefault(entry.component, set()).add(version_tag(entry.version))
    return dict(sorted(needed.items()))


class UnneededImage(msgspec.Struct, frozen=True):
    """An image in the registry that nobody needs, with all the tags that name it."""

    component: str
    digest: str
    tags: tuple[str, ...]


def unneeded_images(
    registry: RegistryClient,
    repositories: Mapping[str, Repository],
    needed: Mapping[str, Collection[str]],
) -> list[UnneededImage]:
    """The images that are named by tags of versions and commits alone, none of them among those that are `needed`, by component.

    Deleting an image takes all its tags; so one that `:latest`, or a tag that somebody has set, names too is not among them. Raises RegistryError.
    """
    images: list[UnneededImage] = []
    for component, repository in repositories.items():
        tags = registry.tags(repository)
        digests = registry.digests([(repository, tag) for tag in tags])
        named: dict[str, list[str]] = {}
        for tag, digest in zip(tags, digests, strict=True):
            named.setdefault(digest, []).append(tag)
        for digest, names in sorted(named.items()):
            versions = [tag for tag in names if _VERSION_TAG.fullmatch(tag)]
            others = [t for t in names if t not in versions and not _COMMIT.fullmatch(t)]
            if digest and versions and not others and not {*versions} & {*needed[component]}:
                images.append(UnneededImage(component, digest, tuple(sorted(names))))
    return images


class Aliases(msgspec.Struct, frozen=True):
    """The aliases that were set, and the reason why `:latest` was not moved ("" where it was)."""

    set: tuple[str, ...]
    latest_stays: str = ""


def set_aliases(
    registry: RegistryClient,
    history: CommitHistory,
    candidate: Candidate,
    digest: str,
    published: Published,
) -> Aliases:
    """Make `:<commit>` and `:latest` name the image with this digest, where they do not yet.

    `history` is that of the commit, `published` what the registry had. Raises RegistryError and GitError.
    """
    wanted = [] if published.commit == digest else [history.commit]
    reason = ""
    if published.latest != digest:
        reason = _latest_stays(registry, history, candidate, published.latest)
        wanted += [] if reason else [LATEST]
    if wanted:
        manifest = registry.manifest(candidate.repository, digest)
        for tag in wanted:
            registry.tag(candidate.repository, manifest, tag)
    return Aliases(tuple(wanted), reason)


def _latest_stays(
    registry: RegistryClient, history: CommitHistory, candidate: Candidate, latest: str
) -> str:
    """The reason why `:latest` must not move to this commit; "" when it may.

    The commits it may stand for now are those whose tag names the same image. An older one allows the move; so does one aside,
    as after a force push. A later one forbids it.
    """
    if not history.is_on_main_line:
        return "this commit is not on the main branch"
    if not latest:
        return ""
    tags = [tag for tag in registry.tags(candidate.repository) if _COMMIT.fullmatch(tag)]
    later, unknown = history.later.intersection(tags), history.unknown(tags)
    doubtful = sorted(later | unknown)
    digests = registry.digests([(candidate.repository, tag) for tag in doubtful])
    same = {tag for tag, digest in zip(doubtful, digests, strict=True) if digest == latest}
    if same & later:
        return f"it is at the later commit {min(same & later)}"
    if same and not _is_older(registry, history, candidate, latest, same):
        return f"it is at commit {min(same)}, which this clone does not have (git fetch)"
    return ""


def _is_older(
    registry: RegistryClient,
    history: CommitHistory,
    candidate: Candidate,
    latest: str,
    unknown: set[str],
) -> bool:
    """True when the image was built at one of these unknown commits, at a time that is before the commit's.

    A clone that is behind does not know later commits; after a force push none knows those that were left out.
    """
    labels = registry.config(candidate.repository, latest, candidate.version.platform).labels
    if labels.get(REVISION_LABEL) not in unknown:
        return False
    try:
        created = datetime.fromisoformat(labels.get(CREATED_LABEL, "")).timestamp()
    except ValueError:
        return False
    return created <= history.seconds
