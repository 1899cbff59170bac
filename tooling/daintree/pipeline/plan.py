"""From what somebody asked for to a plan: pipeline, versions, source and store brought together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from daintree.components import ComponentVersion, read_versions
from daintree.components.discovery import DOCKERFILE, TOP
from daintree.concurrency import side_by_side
from daintree.errors import ArtifactDamaged, DaintreeError, SourceError, SpecError
from daintree.pipeline.binding import bind, parse_overrides
from daintree.pipeline.decisions import (
    BoundStage,
    Check,
    Decision,
    Hit,
    Lookup,
    Miss,
    SourceIdentity,
    decide_all,
    inputs_of,
)
from daintree.pipeline.reasons import miss_reason
from daintree.pipeline.sources import open_source
from daintree.pipeline.sources.protocol import Source, WebLimits
from daintree.runners import open_runner
from daintree.runners.runner import Runner
from daintree.settings import Settings
from daintree.spec.pipeline import Pipeline, load_pipeline
from daintree.spec.yaml import remember_documents
from daintree.store import open_store
from daintree.store.protocol import Store
from daintree.store.records import IndexRecord, RunManifest

Decided = TypeVar("Decided")


def decided(
    store: Store,
    stages: Sequence[BoundStage],
    identity: SourceIdentity,
    forced: frozenset[str] = frozenset(),
) -> tuple[dict[str, IndexRecord | None], dict[str, Decision]]:
    """What the store holds under each stage's recipe key, and what that makes of each stage, by name."""
    keys = [stage.recipe for stage in stages]
    recipe_records = dict(zip(keys, store.lookup(keys), strict=True))
    decisions = decide_in_rounds(
        store,
        lambda lookup, check: decide_all(stages, identity, recipe_records, forced, lookup, check),
    )
    return recipe_records, decisions


def decide_in_rounds(store: Store, decide: Callable[[Lookup, Check], Decided]) -> Decided:
    """What `decide` says once it need not ask the store for anything more.

    `decide` is pure but for the two functions it is given. In each round it is told what is known so far; an output not
    yet checked passes for whole and a key not yet looked up for unknown, so that everything else it will ask comes up
    in the same round. A plan in which all is found takes one round of checks.
    """
    records: dict[str, IndexRecord | None] = {}
    damages: dict[str, ArtifactDamaged | None] = {}
    while True:
        keys: list[str] = []
        doubtful: list[IndexRecord] = []

        def lookup(key: str, keys: list[str] = keys) -> IndexRecord | None:
            if key not in records:
                keys.append(key)
            return records.get(key)

        def check(record: IndexRecord, doubtful: list[IndexRecord] = doubtful) -> None:
            if record.location not in damages:
                doubtful.append(record)
            damage = damages.get(record.location)
            if damage:
                raise damage

        decided = decide(lookup, check)
        if not keys and not doubtful:
            return decided
        if keys:
            records.update(zip(keys, store.lookup(keys), strict=True))
        places = [record.location for record in doubtful]
        damages.update(zip(places, store.check_all(doubtful), strict=True))


# Histories read side by side.
AT_ONCE = 16


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked for: a pipeline and what differs from its file.

    `source` and `output` are as typed, relative to `directory`; `set` are `stage.parameter=value` texts;
    `force` the stages to compute although they hit, `always` says all of them; `only` the one stage to run alone.
    """

    pipeline: str
    directory: Path
    source: str = ""
    output: str = ""
    set: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    always: bool = False
    only: str = ""
    runner: str = ""


class Plan(msgspec.Struct, frozen=True):
    """A pipeline bound and decided, with all that running it takes.

    `versions` are by what names a stage's code; `decisions` is by stage; `recipe_records` what the store held under each stage's recipe key.
    """

    request: Request
    settings: Settings
    pipeline: Pipeline
    versions: dict[str, ComponentVersion]
    source: Source
    identity: SourceIdentity
    stages: tuple[BoundStage, ...]
    store: Store
    runner: Runner
    recipe_records: dict[str, IndexRecord | None]
    decisions: dict[str, Decision]
    last_runs: dict[str, RunManifest | None] = msgspec.field(default_factory=dict)

    def stage(self, name: str) -> BoundStage:
        """The stage of this name. Raises UsageError, with the nearest name, where there is none."""
        self.pipeline.stage(name)
        return next(stage for stage in self.stages if stage.name == name)

    def version_of(self, stage: BoundStage) -> ComponentVersion:
        """The version of the component that the stage runs."""
        return self.versions[self.pipeline.stage(stage.name).code]

    def last_run(self, stage: BoundStage) -> RunManifest | None:
        """The stage's latest run that succeeded, else the latest at all; read once."""
        if stage.name not in self.last_runs:
            self.last_runs[stage.name] = latest_run(self.store, self.pipeline.name, stage.name)
        return self.last_runs[stage.name]

    def read_last_runs(self) -> None:
        """Read the latest runs of all stages but hits side by side, so that `last_run` need not ask for one after the other."""
        missing = [
            name
            for name, decision in self.decisions.items()
            if not isinstance(decision, Hit) and name not in self.last_runs
        ]
        if len(missing) > 1:
            found = side_by_side(
                lambda name: latest_run(self.store, self.pipeline.name, name), missing, AT_ONCE
            )
            self.last_runs.update(zip(missing, found, strict=True))

    def reason(
        self, stage: BoundStage, decision: Decision, inputs: Mapping[str, str] | None = None
    ) -> str:
        """Why the stage is what the plan says, in words; `inputs` as far as they are known better than to the plan."""
        if isinstance(decision, Hit):
            return "same inputs as an earlier run" if decision.adopt else "unchanged"
        if isinstance(decision, Miss) and not decision.reason:
            known = inputs or inputs_of(stage, self.decisions, self.identity)
            return miss_reason(stage, known, self.last_run(stage))
        return decision.reason


def latest_run(store: Store, pipeline: str, stage: str) -> RunManifest | None:
    """The stage's latest run that succeeded; else its latest; None when there is none."""
    failed: RunManifest | None = None
    for manifest in store.history(pipeline, stage):
        if manifest.result == "succeeded":
            return manifest
        failed = failed or manifest
    return failed


def make_plan(
    settings: Settings, request: Request, reserved: Collection[str], *, fetch: bool
) -> Plan:
    """Plan a pipeline; nothing runs. `fetch` allows a remote source to be downloaded into the store.

    Raises the error of whatever is wrong: the pipeline file, a component, a parameter, the source, the store.
    """
    remember_documents(settings.documents)
    pipeline = load_pipeline(settings.root, request.pipeline, reserved)
    overrides = parse_overrides(pipeline, request.set)
    for name in (*request.force, *([request.only] if request.only else [])):
        pipeline.stage(name)
    runner = open_runner(request.runner or settings.runner, settings)
    store = open_store(settings)
    versions = _versions(settings, pipeline)
    source, identity = _source(settings, request, pipeline, store, fetch)
    stages = bind(pipeline, versions, overrides, runner.environment_class, identity)
    recipe_records, decisions = decided(store, stages, identity, _forced(request, stages))
    return Plan(
        request,
        settings,
        pipeline,
        versions,
        source,
        identity,
        stages,
        store,
        runner,
        recipe_records,
        decisions,
    )


def _forced(request: Request, stages: Iterable[BoundStage]) -> frozenset[str]:
    """The stages to compute although they hit; what `only` reads is never among them."""
    if not request.always:
        return frozenset(request.force)
    return frozenset([request.only] if request.only else [stage.name for stage in stages])


def _versions(settings: Settings, pipeline: Pipeline) -> dict[str, ComponentVersion]:
    """The version of each stage's code; a component that does not exist is the pipeline file's error, at its line."""
    here = [stage for stage in pipeline.stages if stage.code == stage.component]
    elsewhere = {stage.code: stage for stage in pipeline.stages if stage not in here}
    names = sorted({stage.component for stage in here})
    versions: dict[str, ComponentVersion] = {}
    if elsewhere:
        from daintree.images.image_versions import published_versions

        versions = published_versions(list(elsewhere.values()), settings)
    if not names:
        return versions
    try:
        return versions | read_versions(
            settings.root, names, platform=settings.platform, bases=settings.bases
        )
    except DaintreeError as error:
        for stage in here:
            if not (settings.root / TOP).is_dir():
                raise SpecError(
                    f"{stage.place}: there is no component {stage.component!r} in this project, which has none",
                    hint="say which version of it: `version: …`; or in its place `image: …@sha256:…`",
                ) from None
            if not (settings.root / TOP / stage.component / DOCKERFILE).is_file():
                raise SpecError(f"{stage.place}: {error.message}", hint=error.hint) from None
        raise


def identify_source(
    settings: Settings, request: Request, reserved: Collection[str]
) -> SourceIdentity:
    """What the pipeline's source is now, by its validators alone; only one that has none is downloaded.

    Raises SpecError for the pipeline file, SourceError, StoreError.
    """
    remember_documents(settings.documents)
    pipeline = load_pipeline(settings.root, request.pipeline, reserved)
    with _placed(request, pipeline):
        source = _opened(settings, request, pipeline, open_store(settings))
        identity = source.identify()
        return identity if identity.identity else source.fetch()


def _source(
    settings: Settings, request: Request, pipeline: Pipeline, store: Store, fetch: bool
) -> tuple[Source, SourceIdentity]:
    with _placed(request, pipeline):
        source = _opened(settings, request, pipeline, store)
        identity = source.identify()
        if fetch and identity.digest is None:
            identity = source.fetch()
    return source, identity


def _opened(settings: Settings, request: Request, pipeline: Pipeline, store: Store) -> Source:
    limits = WebLimits(settings.source_max_size, settings.source_timeout, settings.source_redirects)
    if request.source:
        return open_source(request.source, "", request.directory, store, limits)
    return open_source(pipeline.source, pipeline.source_sha256, settings.root, store, limits)


@contextmanager
def _placed(request: Request, pipeline: Pipeline) -> Iterator[None]:
    """What is wrong with the source is the pipeline file's error, unless it was typed."""
    try:
        yield
    except SourceError as error:
        place = "--source" if request.source else pipeline.file
        raise SourceError(f"{place}: {error.message}", hint=error.hint) from None
