"""A build from request to results: what is missing is built, side by side, pushed and named."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from daintree import __version__
from daintree.components import ComponentVersion
from daintree.components.dockerfile import with_pins
from daintree.components.git import commit_seconds, origin_url
from daintree.components.snapshot import make_snapshot
from daintree.components.version import gathered
from daintree.concurrency import side_by_side
from daintree.digest import short
from daintree.errors import DaintreeError, ImageError, UsageError
from daintree.images import labels
from daintree.images.context import DOCKERFILE, build_context
from daintree.images.protocol import (
    Builder,
    BuildOrder,
    Listener,
    LocalImage,
    Registry,
    Request,
    Result,
)
from daintree.images.reference import DEV
from daintree.images.tags import (
    THREADS,
    Aliases,
    Candidate,
    Considered,
    Published,
    Seen,
    consider,
    dirty,
    explained,
    failure,
    impostors,
    published,
    set_aliases,
)
from daintree.settings import Settings

REGISTRY_HAS, ENGINE_HAS = "the registry has it", "the engine has it"
REGISTRY_LACKS = "the registry has no image of this version"
ENGINE_LACKS = "the engine has no image of this version"
EVERYTHING = "--all builds it anew"


class Build(msgspec.Struct, frozen=True):
    """A build of a project. `registry` is None where the engine alone keeps images. `meanwhile` is called while git works."""

    settings: Settings
    request: Request
    registry: Registry | None
    builder: Builder
    listener: Listener
    seen: Seen
    meanwhile: Callable[[], object] | None = None

    def run(self) -> list[Result]:
        """Look, build what is missing, push it when that is asked; one result a component, sorted by name.

        The engine is not asked when the registry has everything. What fails for one component fails for it alone. Raises
        UsageError for a component or commit that does not exist, RegistryError when the registry does not answer, EngineError
        when the engine is needed and does not.
        """
        request = self.request
        if request.push and self.registry is None:
            raise UsageError(
                "--push needs a registry",
                hint="set DAINTREE_REGISTRY, or registry in [tool.daintree], such as registry.example/ml",
            )
        considered = consider(self.settings, request, self.meanwhile)
        here = self._local(considered.candidates) if self.registry is None else {}
        found = self._found(considered, here)
        wrong = self._wrong(considered, found)
        sound = [c for c in considered.candidates if c.name not in wrong]
        missing = [c for c in sound if request.everything or not found[c.name].version]
        reasons = self._reasons(considered, missing, found)
        results = [*considered.failed]
        results += [failure(c, wrong[c.name]) for c in considered.candidates if c.name in wrong]
        present = [c for c in sound if c.name not in reasons]
        results += [self._present(c, found) for c in present]
        if request.dry_run:
            results += [_would_build(candidate, reasons[candidate.name]) for candidate in missing]
        else:
            self._name(present, here)
            results += self._make(considered, missing, reasons) if missing else []
        results = self._named(considered, found, results)
        return sorted(results, key=lambda result: result.name)

    def _found(
        self, considered: Considered, here: Mapping[str, LocalImage]
    ) -> dict[str, Published]:
        """What there is of each component: in the registry, or in the engine, whose images' ids stand for digests then."""
        if self.registry is not None:
            return published(self.registry, considered.candidates, considered.commit)
        return {
            candidate.name: Published(here[digest].id if digest in here else "")
            for candidate in considered.candidates
            for digest in [candidate.version.digest]
        }

    def _name(self, present: Sequence[Candidate], here: Mapping[str, LocalImage]) -> None:
        """Give the engine's images their own names where they have others only, as a registry's."""
        for candidate in present:
            image = here.get(candidate.version.digest)
            if image and candidate.image not in image.references:
                self.builder.name(image.id, (candidate.image,))

    def _local(self, candidates: Sequence[Candidate]) -> dict[str, LocalImage]:
        versions = [candidate.version.digest for candidate in candidates]
        return self.builder.images(labels.VERSION, versions) if versions else {}

    def _wrong(
        self, considered: Considered, found: Mapping[str, Published]
    ) -> Mapping[str, DaintreeError]:
        if self.registry is None:
            return {}
        return impostors(self.registry, self.seen, considered.candidates, found)

    def _reasons(
        self, considered: Considered, missing: Sequence[Candidate], found: Mapping[str, Published]
    ) -> dict[str, tuple[str, ...]]:
        """Why each of the missing is to be built."""
        if not missing:
            return {}
        names = [candidate.name for candidate in missing]
        since = considered.since or explained(self.settings.root, self.settings, names)
        lacks = ENGINE_LACKS if self.registry is None else REGISTRY_LACKS
        return {
            name: (EVERYTHING,) if found[name].version else since.reasons(name, lacks)
            for name in names
        }

    def _present(self, candidate: Candidate, found: Mapping[str, Published]) -> Result:
        here = self.registry is None
        return Result(
            name=candidate.name,
            version=candidate.version.digest,
            action="present",
            image=candidate.image,
            digest=None if here else found[candidate.name].version,
            reasons=(ENGINE_HAS if here else REGISTRY_HAS,),
        )

    def _make(
        self,
        considered: Considered,
        missing: Sequence[Candidate],
        reasons: Mapping[str, tuple[str, ...]],
    ) -> list[Result]:

        self._warn(missing)
        maker = Maker(
            settings=self.settings,
            builder=self.builder,
            listener=self.listener,
            local={} if self.request.everything else self._local(missing),
            commits=self._commits(considered, missing),
            registry=self.registry if self.request.push else None,
            seen=self.seen,
            fresh=self.request.everything,
        )
        return side_by_side(
            lambda candidate: maker.make(candidate, reasons[candidate.name]),
            missing,
            self.request.jobs,
        )

    def _warn(self, missing: Sequence[Candidate]) -> None:
        """Tell each warning once."""
        for warning in gathered(w for candidate in missing for w in candidate.version.warnings):
            self.listener.warning(warning)

    def _commits(self, considered: Considered, missing: Sequence[Candidate]) -> dict[str, str]:
        """The commit that each is in just as it is; none where it is in none."""
        names = [candidate.name for candidate in missing]
        if considered.commit:
            return dict.fromkeys(names, considered.commit)
        commit, unclean = dirty(self.settings.root, self.settings, names)
        return {name: commit for name in names if commit and name not in unclean}

    def _named(
        self, considered: Considered, found: Mapping[str, Published], results: Sequence[Result]
    ) -> list[Result]:
        """The results once the aliases of what is in the registry are set, for a push."""
        registry, commit = self.registry, considered.commit
        if registry is None or not commit or self.request.dry_run:
            return [*results]

        candidates = {candidate.name: candidate for candidate in considered.candidates}

        def named(result: Result) -> Result:
            if result.digest is None:
                return result
            name = result.name
            return with_aliases(
                self.settings,
                registry,
                self.listener,
                candidates[name],
                result,
                found[name],
                commit,
            )

        return side_by_side(named, results, THREADS)


def _would_build(candidate: Candidate, reasons: tuple[str, ...]) -> Result:
    return Result(
        name=candidate.name,
        version=candidate.version.digest,
        action="would-build",
        image=candidate.image,
        reasons=reasons,
    )


class FirstPush:
    """Lets one push with each base go ahead of the others with it; may be shared by threads."""

    def __init__(self) -> None:
        self._ahead: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._done: set[Hashable] = set()
        self._guard = threading.Lock()

    @contextmanager
    def of(self, base: Hashable) -> Iterator[None]:
        """A push of an image with this base: waits for the one that is ahead. When that one fails, the next goes ahead."""
        with self._guard:
            ahead = self._ahead[base]
        with ahead:
            if base not in self._done:
                yield
                self._done.add(base)
                return
        yield


class Origin(msgspec.Struct, frozen=True):
    """Where the files of a version came from: the commit ("" when they are in none), its repository, and when.

    `created` is an ISO 8601 time: the commit's, or that of the build of what is not committed.
    """

    commit: str
    source: str
    created: str


def build_order(
    version: ComponentVersion,
    snapshot: Path,
    references: tuple[str, ...],
    origin: Origin,
    *,
    fresh: bool = False,
) -> BuildOrder:
    """The order to build the image of a version from its snapshot; `fresh` uses nothing built before.

    Raises OSError as reading the snapshot does.
    """
    build_args = version.spec.build_args
    dockerfile = (snapshot / DOCKERFILE).read_bytes()
    pinned = with_pins(dockerfile, build_args, dict(version.bases))
    return BuildOrder(
        context=build_context(snapshot, [file.path for file in version.files], pinned),
        build_args=build_args,
        labels=image_labels(version, origin),
        references=references,
        platform=version.platform,
        fresh=fresh,
    )


def image_labels(version: ComponentVersion, origin: Origin) -> dict[str, str]:
    """The labels of a version's image."""
    given = {
        labels.COMPONENT: version.name,
        labels.VERSION: version.digest,
        labels.SPEC: msgspec.json.encode(version.spec).decode("utf-8"),
        labels.TITLE: version.name,
        labels.DESCRIPTION: version.spec.description,
        labels.IMAGE_VERSION: short(version.digest),
        labels.REVISION: origin.commit,
        labels.SOURCE: public_url(origin.source),
        labels.CREATED: origin.created,
        labels.BUILT_BY: f"daintree {__version__}",
    }
    return {name: value for name, value in given.items() if value}


def public_url(url: str) -> str:
    """A repository's address without user, password and query; "" when it is no address on the network."""
    if "://" not in url:
        # git's short form of ssh: user@host:path.
        host, colon, path = url.partition(":")
        return f"ssh://{host.rpartition('@')[2]}/{path}" if colon and "/" not in host else ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ssh", "git"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


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
