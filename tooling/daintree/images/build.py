"""A build from request to results: what is missing is built, side by side, pushed and tagged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Literal

import msgspec

from daintree.components import TOP, WorkingTree, discover_images, gathered, read_each_version
from daintree.components.history import CommitHistory, choose_base
from daintree.components.snapshot import make_snapshot, make_snapshots
from daintree.concurrency import Background, side_by_side
from daintree.errors import DaintreeError, ImageError, UsageError
from daintree.images.builders import BuildInput, ImageBuilder, Origin, build_input, open_builder
from daintree.images.engine import Engine, LocalImage
from daintree.images.registry import (
    DEV,
    VERSION_LABEL,
    RegistryClient,
    component_repository,
    open_registry,
)
from daintree.images.tags import (
    THREADS,
    Candidate,
    ImageLabelCache,
    Published,
    published,
    set_aliases,
    tag_errors,
)
from daintree.settings import Settings

REGISTRY_HAS, ENGINE_HAS = "the registry has it", "the engine has it"
NO_IMAGE = "no image yet"
EVERYTHING = "--all builds it anew"
ENGINE_HAD = "the engine had it already"
NOT_OVERWRITTEN = "the registry has this version, whose tag is never overwritten"

Action = Literal["present", "would-build", "built", "failed"]
Reasons = tuple[str, ...]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The images that somebody asks for.

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
    """The outcome of one component.

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
    reasons: Reasons = ()
    aliases: tuple[str, ...] = ()
    error: DaintreeError | None = None


class Listener:
    """The events of a build, from the threads that build; each is ignored unless a subclass shows it."""

    def builder(self, description: str) -> None:
        """Images are about to be built with this builder."""

    def starting(self, name: str, reasons: Reasons) -> None:
        """A component's image is about to be built or pushed."""

    def line(self, name: str, text: str) -> None:
        """The builder, or the engine that pushes, prints a line."""

    def finished(self, result: Result, seconds: float) -> None:
        """An image is built, or has failed."""

    def note(self, name: str, text: str) -> None:
        """Something worth knowing of a component."""

    def warning(self, text: str) -> None:
        """Something that may go wrong later."""


def build_images(
    settings: Settings,
    request: Request,
    listener: Listener,
    meanwhile: Callable[[], object] | None = None,
) -> list[Result]:
    """Look, build what is missing, push it when that is asked; one result a component, sorted by name.

    The engine is not asked when the registry has everything. What fails for one component fails for it alone. `meanwhile` is
    called while git works. Raises UsageError for a component or commit that does not exist and for a push without a registry,
    RegistryUnavailable when the registry does not answer, EngineError when the engine is needed and does not.
    """
    registry = open_registry(settings.registry, plain_http=settings.registry_plain_http)
    if request.push and registry is None:
        raise UsageError(
            "--push needs a registry",
            hint="set DAINTREE_REGISTRY, or registry in [tool.daintree], such as registry.example/ml",
        )
    selection = _select(settings, request, meanwhile)
    results = _Build(settings, request, listener, registry, selection).results()
    return sorted(results, key=lambda result: result.name)


class Differences(msgspec.Struct, frozen=True):
    """The components that differ since a base, each with the phrases that say why."""

    base: str
    phrases: Mapping[str, Reasons]

    def reasons(self, name: str, otherwise: str) -> Reasons:
        """The reasons why the component is affected; `otherwise` where it is not."""
        since = f" since {self.base}" if self.base else ""
        phrases = self.phrases.get(name, ())
        return tuple(f"affected: {phrase}{since}" for phrase in phrases) or (otherwise,)


def differences_since(
    tree: WorkingTree, settings: Settings, base: str, name: str, only: Collection[str]
) -> Differences:
    """The differences from a commit, which messages call `name`, to the working tree. Raises as `affected` does."""
    # Imported here: a build with nothing to do explains nothing.
    from daintree.components.affected import affected

    differing = affected(tree, base, platform=settings.platform, bases=settings.bases, only=only)
    return Differences(name, {item.name: item.reasons for item in differing.components})


def uncommitted(
    settings: Settings, only: Collection[str], tree: WorkingTree | None = None
) -> tuple[str, Mapping[str, Reasons]]:
    """HEAD's commit ("" before any), and the reasons why a component's version is not the one that HEAD's files give.

    `tree` is the working tree where it was looked at already. Raises as `affected` does.
    """
    if tree is None:
        tree = WorkingTree(settings.root)
        # A library's files count as its users' own.
        tree.load([TOP])
    commit = tree.repository.head
    return commit, differences_since(tree, settings, commit, "HEAD", only).phrases


class _Selection(msgspec.Struct, frozen=True):
    """The components that a build works on, and the results of those that cannot be built, or not pushed, at all.

    `since` says what differs from the request's base, None without one. `commit` is the one that all candidates are committed
    in, for a push; else "".
    """

    tree: WorkingTree
    candidates: tuple[Candidate, ...]
    failed: tuple[Result, ...]
    since: Differences | None = None
    commit: str = ""


def _select(
    settings: Settings, request: Request, meanwhile: Callable[[], object] | None
) -> _Selection:
    root = settings.root
    names = sorted(set(request.names)) or discover_images(root)
    tree = WorkingTree(root)
    beside = Background(meanwhile) if meanwhile else None
    versions = read_each_version(tree, names, platform=settings.platform, bases=settings.bases)
    if beside:
        beside.result()
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
            reasons = (error.message,)
            failed.append(
                Result(
                    name=name, version="", action="failed", image="", reasons=reasons, error=error
                )
            )
    since = None
    if request.base:
        base, only = request.base, [c.name for c in candidates]
        since = differences_since(tree, settings, base, base, only)
        candidates = [c for c in candidates if c.name in since.phrases]
    commit = ""
    if request.push:
        commit, dirty = uncommitted(settings, [c.name for c in candidates], tree)
        failed += [_not_committed(c, dirty[c.name]) for c in candidates if c.name in dirty]
        candidates = [c for c in candidates if c.name not in dirty]
    return _Selection(tree, tuple(candidates), tuple(failed), since, commit)


def _not_committed(candidate: Candidate, reasons: Reasons) -> Result:
    error = ImageError(
        f"{candidate.name} is not committed: {'; '.join(reasons)}",
        hint="commit it and push then; without --push its image is built for this machine",
    )
    return _failure(candidate, error)


class _Build:
    """One build; its methods may be called from several threads once it works."""

    def __init__(
        self,
        settings: Settings,
        request: Request,
        listener: Listener,
        registry: RegistryClient | None,
        selection: _Selection,
    ) -> None:
        self.settings, self.request, self.listener = settings, request, listener
        self.registry, self.selection = registry, selection
        self.engine = Engine()
        self.label_cache = ImageLabelCache(settings.images)
        self.base_layers = BaseLayers()
        self.builder: ImageBuilder | None = None
        self.local: Mapping[str, LocalImage] = {}
        self.commits: Mapping[str, str] = {}
        self.source, self.committed = "", datetime.now(UTC)

    def results(self) -> list[Result]:
        candidates = self.selection.candidates
        if self.registry is None:
            self.local = self._local(candidates)
            ids = {digest: image.id for digest, image in self.local.items()}
            tags = {c.name: Published(ids.get(c.version.digest, "")) for c in candidates}
            errors: Mapping[str, ImageError] = {}
        else:
            tags = published(self.registry, candidates, self.selection.commit)
            errors = tag_errors(self.registry, self.label_cache, candidates, tags)
        failed = [_failure(c, errors[c.name]) for c in candidates if c.name in errors]
        sound = [c for c in candidates if c.name not in errors]
        missing = [c for c in sound if self.request.everything or not tags[c.name].version]
        reasons = self._reasons(missing, tags)
        present = [c for c in sound if c.name not in reasons]
        results = [*self.selection.failed, *failed]
        results += [self._present(c, tags[c.name].version) for c in present]
        if self.request.dry_run:
            results += [_result(c, "would-build", reasons[c.name]) for c in missing]
            return results
        for candidate in present:
            image = self.local.get(candidate.version.digest)
            # The engine may have it under another name only, as a registry's.
            if image and candidate.image not in image.references:
                self.engine.tag(image.id, (candidate.image,))
        results += self._make(missing, reasons)
        return self._with_aliases(results, tags)

    def _local(self, candidates: Sequence[Candidate]) -> dict[str, LocalImage]:
        """The engine's images of these candidates, by version."""
        versions = [candidate.version.digest for candidate in candidates]
        return self.engine.images(VERSION_LABEL, versions) if versions else {}

    def _reasons(
        self, missing: Sequence[Candidate], tags: Mapping[str, Published]
    ) -> dict[str, Reasons]:
        """The reasons to build each of the missing."""
        if not missing:
            return {}
        names = [candidate.name for candidate in missing]
        since = self.selection.since
        if since is None:
            tree = self.selection.tree
            try:
                base = choose_base(tree.repository, lambda: False)
                since = differences_since(tree, self.settings, base.commit, base.name, names)
            except DaintreeError:
                # A clone that is too shallow has no base to compare with: no reason not to build.
                since = Differences("", {})
        return {
            name: (EVERYTHING,) if tags[name].version else since.reasons(name, NO_IMAGE)
            for name in names
        }

    def _present(self, candidate: Candidate, digest: str) -> Result:
        if self.registry is None:
            return _result(candidate, "present", (ENGINE_HAS,))
        return _result(candidate, "present", (REGISTRY_HAS,), digest=digest)

    def _make(self, missing: Sequence[Candidate], reasons: Mapping[str, Reasons]) -> list[Result]:
        if not missing:
            return []
        for warning in gathered(w for candidate in missing for w in candidate.version.warnings):
            self.listener.warning(warning)
        self.local = {} if self.request.everything else self._local(missing)
        self.commits = self._commits(missing)
        tree = self.selection.tree
        self.source = tree.repository.origin_url
        if any(self.commits.values()):
            history = CommitHistory(tree, tree.repository.head)
            self.committed = datetime.fromtimestamp(history.seconds, UTC)
        if any(candidate.version.digest not in self.local for candidate in missing):
            with suppress(DaintreeError):
                # All with the same calls of git; the error of one is told when its image is made.
                make_snapshots([c.version for c in missing], self.settings.snapshots)
            self.builder = open_builder(self.settings)
            self.listener.builder(self.builder.description)
        return side_by_side(
            lambda candidate: self._make_one(candidate, reasons[candidate.name]),
            missing,
            self.request.jobs,
        )

    def _commits(self, missing: Sequence[Candidate]) -> dict[str, str]:
        """The commit that each is in just as it is; none where it is in none."""
        names = [candidate.name for candidate in missing]
        if self.selection.commit:
            return dict.fromkeys(names, self.selection.commit)
        commit, dirty = uncommitted(self.settings, names, self.selection.tree)
        return {name: commit for name in names if commit and name not in dirty}

    def _make_one(self, candidate: Candidate, reasons: Reasons) -> Result:
        """Make one image; an error is in its result."""
        began = time.monotonic()
        self.listener.starting(candidate.name, reasons)
        try:
            result = self._made(candidate, reasons)
        except DaintreeError as error:
            result = _failure(candidate, error, reasons)
        self.listener.finished(result, time.monotonic() - began)
        return result

    def _made(self, candidate: Candidate, reasons: Reasons) -> Result:
        pushing = self.request.push
        references = [candidate.image, *([] if pushing else [candidate.repository.tagged(DEV)])]
        image = self.local.get(candidate.version.digest)
        if image is None:
            assert self.builder is not None
            image_id = self.builder.build(
                self._input(candidate),
                lambda line: self.listener.line(candidate.name, line),
            )
            self.engine.tag(image_id, references[1:])
        else:
            self.engine.tag(image.id, references)
            reasons = (*reasons, ENGINE_HAD)
        result = _result(candidate, "present" if image and not pushing else "built", reasons)
        return self._push(candidate, result) if pushing else result

    def _input(self, candidate: Candidate) -> BuildInput:
        snapshot = make_snapshot(candidate.version, self.settings.snapshots)
        commit = self.commits.get(candidate.name, "")
        moment = self.committed if commit else datetime.now(UTC)
        origin = Origin(commit, self.source, moment.isoformat(timespec="seconds"))
        return build_input(
            candidate.version, snapshot, candidate.image, origin, fresh=self.request.everything
        )

    def _push(self, candidate: Candidate, result: Result) -> Result:
        assert self.registry is not None
        digest = self.registry.digest(candidate.repository, candidate.tag)
        if digest:
            reasons = (*result.reasons, NOT_OVERWRITTEN)
            return msgspec.structs.replace(result, digest=digest, reasons=reasons)
        with self.base_layers.pushed(candidate.version.bases):
            pushed = self.engine.push(
                candidate.image, lambda line: self.listener.line(candidate.name, line)
            )
        digest = self.registry.digest(candidate.repository, candidate.tag)
        if digest != pushed:
            raise ImageError(
                f"{candidate.image} was pushed as {pushed}, but the registry"
                + (f" answers with {digest}" if digest else " does not have it"),
                hint="somebody may have pushed it at the same moment: run it again",
            )
        self.label_cache.add({pushed: candidate.version.digest})
        return msgspec.structs.replace(result, digest=pushed, pushed=True)

    def _with_aliases(self, results: list[Result], tags: Mapping[str, Published]) -> list[Result]:
        """The results once `:<commit>` and `:latest` name the images of a push, as far as they may."""
        registry, commit = self.registry, self.selection.commit
        if registry is None or not commit:
            return results
        candidates = {candidate.name: candidate for candidate in self.selection.candidates}
        history = CommitHistory(self.selection.tree, commit)

        def with_aliases(result: Result) -> Result:
            if result.digest is None:
                return result
            candidate = candidates[result.name]
            try:
                published = tags[result.name]
                aliases = set_aliases(registry, history, candidate, result.digest, published)
            except DaintreeError as error:
                return _failure(candidate, error, result.reasons)
            if aliases.latest_stays:
                text = f":latest stays where it is: {aliases.latest_stays}"
                self.listener.note(candidate.name, text)
            return msgspec.structs.replace(result, aliases=aliases.set)

        return side_by_side(with_aliases, results, THREADS)


def _result(
    candidate: Candidate, action: Action, reasons: Reasons, *, digest: str | None = None
) -> Result:
    return Result(
        name=candidate.name,
        version=candidate.version.digest,
        action=action,
        image=candidate.image,
        digest=digest,
        reasons=reasons,
    )


def _failure(candidate: Candidate, error: DaintreeError, reasons: Reasons = ()) -> Result:
    first_line = error.message.partition("\n")[0]
    result = _result(candidate, "failed", (*reasons, first_line))
    return msgspec.structs.replace(result, error=error)


class BaseLayers:
    """The pushes of images that share a base: the first goes ahead, so that its layers are uploaded once."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, threading.Lock] = {}
        self._pushed: set[Hashable] = set()

    @contextmanager
    def pushed(self, base: Hashable) -> Iterator[None]:
        """Wait for the first push with this base, or be it. When that one fails, the next goes ahead."""
        with self._locks.setdefault(base, threading.Lock()):
            if base not in self._pushed:
                yield
                self._pushed.add(base)
                return
        yield
