"""A build from request to results: what is missing is built, side by side, pushed and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from daintree.build.candidates import Considered, consider, failure
from daintree.build.memory import Seen
from daintree.build.presence import THREADS, Candidate, Published, impostors, published
from daintree.build.protocol import Listener, Request, Result
from daintree.build.reasons import dirty, explained
from daintree.errors import DaintreeError, UsageError
from daintree.image import labels
from daintree.image.protocol import Builder, LocalImage, Registry
from daintree.parallel import side_by_side
from daintree.settings import Settings
from daintree.version.component import gathered

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
        from daintree.build.making import Maker

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
        from daintree.build.making import with_aliases

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
