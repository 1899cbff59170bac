"""A plan: what a run of a pipeline would do with each stage, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec

from daintree.components import TOP, ComponentVersion, is_component, read_versions
from daintree.errors import ArtifactDamaged, DaintreeError, SpecError, UsageError, nearest
from daintree.pipeline.decisions import (
    BoundStage,
    Check,
    Decision,
    Hit,
    Lookup,
    SourceIdentity,
    decide,
    decide_all,
    with_recipe,
    words_of,
)
from daintree.pipeline.session import Request, Session
from daintree.runners import with_python
from daintree.settings import Settings
from daintree.spec.component import ComponentSpec, Scalar, canonical, parse_value, value_problem
from daintree.spec.pipeline import Combination, Pipeline, Stage, plain_stage
from daintree.store.layout import run_id
from daintree.store.records import IndexRecord
from daintree.store.store import Store

Decided = TypeVar("Decided")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline bound and decided: data alone, which says what would run.

    `versions` are by what names a stage's code; `identities` by source ("" for the one `source`); `decisions` by stage; `recipe_records` are what the store held
    under each stage's recipe key. `combinations` are those of a sweep by name.
    """

    request: Request
    pipeline: Pipeline
    runner: str
    versions: Mapping[str, ComponentVersion]
    identities: Mapping[str, SourceIdentity]
    stages: tuple[BoundStage, ...]
    recipe_records: Mapping[str, IndexRecord | None]
    decisions: Mapping[str, Decision]
    combinations: Mapping[str, Combination] = {}

    def stage(self, name: str) -> BoundStage:
        """The stage of this name. Raises UsageError, with the nearest name, where there is none."""
        self.pipeline.stage(name)
        return next(stage for stage in self.stages if stage.name == name)

    def ancestors(self, ends: Collection[str]) -> set[str]:
        """The stages that these depend on, directly or not."""
        ancestors: set[str] = set()
        for stage in reversed(self.stages):
            if stage.name in ends or stage.name in ancestors:
                ancestors.update(stage.needs)
        return ancestors

    @property
    def origins(self) -> str:
        """The sources that stages read, for people."""
        return words_of({name: identity.origin for name, identity in self.identities.items()})

    @property
    def to_run(self) -> list[BoundStage]:
        """The stages that are no hit, in order: those that a run may have to compute."""
        return [stage for stage in self.stages if not isinstance(self.decisions[stage.name], Hit)]

    def version_of(self, stage: BoundStage) -> ComponentVersion:
        """The version of the component that the stage runs."""
        return self.versions[self.pipeline.stage(stage.name).code]


def make_plan(session: Session, *, fetch: bool) -> Plan:
    """Plan the session's pipeline; nothing runs. `fetch` allows a remote source to be downloaded into the store.

    Raises the error of whatever is wrong: a component, a parameter, the source, the store.
    """
    pipeline, request = session.pipeline, session.request
    versions = versions_of(session.settings, pipeline)
    combinations: Mapping[str, Combination] = {}
    if request.sweep:
        from daintree.pipeline.sweep import parse_axes, sweep

        axes = parse_axes(pipeline, request.sweep, versions)
        both = [axis for axis in axes if axis.parameter in session.overrides.get(axis.stage, {})]
        if both:
            raise UsageError(f"--set and --sweep both give {both[0].stage}.{both[0].parameter}")
        pipeline, combinations = sweep(pipeline, axes, large=request.large)
    identities = session.identify_sources(fetch=fetch)
    environment_class = session.runner.environment_class
    tokens = refresh_tokens(*moment_of(request))
    stages = bind(pipeline, versions, session.overrides, environment_class, identities, tokens)
    recipe_records, decisions = decided(session.store, stages, identities, _forced(request, stages))
    return Plan(
        request=request,
        pipeline=pipeline,
        runner=session.runner.name,
        versions=versions,
        identities=identities,
        stages=stages,
        recipe_records=recipe_records,
        decisions=decisions,
        combinations=combinations,
    )


def moment_of(request: Request) -> tuple[datetime, str]:
    """The moment and the id of a plan: those that the request names, else now and "".

    Raises UsageError for a text of another form than SECONDS/ID.
    """
    if not request.as_of:
        return datetime.now(UTC), ""
    match = re.fullmatch(_AS_OF, request.as_of)
    if match is None:
        raise UsageError(
            f"--as-of {request.as_of!r} cannot be read",
            hint="write --as-of SECONDS/ID: seconds since 1970, and what tells this plan from others of that second",
        )
    moment = datetime.fromtimestamp(int(match[1]), UTC)
    return moment, f"{moment:%Y%m%dT%H%M%S}000Z-{match[2]}"


_AS_OF = r"([0-9]{1,11})/([A-Za-z0-9-]{1,64})"


def refresh_tokens(now: datetime, plan: str = "") -> dict[str, str]:
    """The token of each `refresh` at a moment, in the plan of that id ("" for a new one): part of a stage's keys, so that its output is good until the next one."""
    monday = now.date() - timedelta(days=now.weekday())
    return {
        "1h": f"{now:%Y-%m-%dT%HZ}",
        "1d": f"{now:%Y-%m-%d}",
        "7d": f"week of {monday}",
        "always": plan or run_id(now),
    }


def decide_stage(store: Store, stage: BoundStage, inputs: Mapping[str, str]) -> Decision:
    """The decision of one stage on inputs that are known; looked up afresh, by the planner's own functions."""
    recipe_record = store.lookup([stage.recipe])[0]
    return decide_in_rounds(
        store, lambda lookup, check: decide(stage, inputs, (), recipe_record, lookup, check)
    )


class Planned(NamedTuple):
    """A plan with the session that it was made in."""

    session: Session
    plan: Plan


def refusals(session: Session, plan: Plan) -> dict[str, DaintreeError]:
    """The runner's refusal of each stage that it would have to run and cannot, by stage. Asks nothing but this machine."""
    refusals = ((s.name, session.runner.refusal(plan.version_of(s))) for s in plan.to_run)
    return {name: refusal for name, refusal in refusals if refusal is not None}


def cautions(session: Session, plan: Plan) -> dict[str, str]:
    """The runner's caution about each stage that it would have to run, by stage, where it has one."""
    cautions = {stage.name: session.runner.caution(stage.resources) for stage in plan.to_run}
    return {name: text for name, text in cautions.items() if text}


def read_last_runs(session: Session, plan: Plan) -> None:
    """Read at once the latest runs that the reasons of the plan's misses need."""
    session.read_last_runs(stage.name for stage in plan.to_run)


def decided(
    store: Store,
    stages: Sequence[BoundStage],
    identities: Mapping[str, SourceIdentity],
    forced: frozenset[str] = frozenset(),
) -> tuple[dict[str, IndexRecord | None], dict[str, Decision]]:
    """Records in the store under each stage's recipe key, and what that makes of each stage, by name."""
    keys = [stage.recipe for stage in stages]
    recipe_records = dict(zip(keys, store.lookup(keys), strict=True))
    decisions = decide_in_rounds(
        store,
        lambda lookup, check: decide_all(stages, identities, recipe_records, forced, lookup, check),
    )
    return recipe_records, decisions


def decide_in_rounds(store: Store, decide: Callable[[Lookup, Check], Decided]) -> Decided:
    """Answer of `decide` once it need not ask the store for anything more.

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


def _forced(request: Request, stages: Iterable[BoundStage]) -> frozenset[str]:
    """The stages to compute although they hit; what `only` reads is never among them."""
    plain = {stage.name: plain_stage(stage.name) for stage in stages}
    if not request.always:
        return frozenset(name for name in plain if plain[name] in request.force)
    return frozenset(name for name in plain if request.only in ("", plain[name]))


def versions_of(settings: Settings, pipeline: Pipeline) -> dict[str, ComponentVersion]:
    """The version of each stage's code. Raises SpecError, at the pipeline file's line, for a component that does not exist."""
    here = [stage for stage in pipeline.stages if stage.code == stage.component]
    published = {stage.code: stage for stage in pipeline.stages if stage not in here}
    names = sorted({stage.component for stage in here})
    versions: dict[str, ComponentVersion] = {}
    if published:
        from daintree.images.image_versions import published_versions

        versions = published_versions(list(published.values()), settings)
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
            if not is_component(settings.root / TOP / stage.component):
                raise SpecError(f"{stage.place}: {error.message}", hint=error.hint) from None
        raise


def locations_reached(store: Store, plan: Plan, environments: Iterable[str]) -> set[str]:
    """The runs that the plan's recipe keys lead to, or that are hits, here and on machines of these environment classes.

    There, too, a component that asks for a Python runs on that one. Raises StoreError.
    """
    locations: set[str] = set()
    machines = [tuple(stage.environment for stage in plan.stages)]
    machines += [
        tuple(with_python(environment, stage.spec.python) for stage in plan.stages)
        for environment in environments
    ]
    names = [stage.name for stage in plan.stages]
    for classes in dict.fromkeys(machines):
        stages = bound_to(plan, dict(zip(names, classes, strict=True)))
        records, decisions = decided(store, stages, plan.identities)
        locations |= {record.location for record in records.values() if record}
        locations |= {one.record.location for one in decisions.values() if isinstance(one, Hit)}
    return locations


def bound_to(plan: Plan, environments: Mapping[str, str]) -> list[BoundStage]:
    """The plan's stages as they would be in environments of these classes, by stage."""
    bound: dict[str, BoundStage] = {}
    for stage in plan.stages:
        needs = {plain_stage(need): bound[need].recipe for need in stage.needs}
        moved = msgspec.structs.replace(stage, environment=environments[stage.name])
        bound[stage.name] = with_recipe(moved, needs, plan.identities)
    return list(bound.values())


def bind(
    pipeline: Pipeline,
    versions: Mapping[str, ComponentVersion],
    overrides: Mapping[str, Mapping[str, str]],
    environment_class: Callable[[ComponentSpec], str],
    identities: Mapping[str, SourceIdentity],
    tokens: Mapping[str, str],
) -> tuple[BoundStage, ...]:
    """The pipeline's stages, bound, in the pipeline's order; `versions` are by what names each stage's code, `identities` by source,
    `tokens` by `refresh`; `environment_class` is the runner's.

    Raises SpecError for a parameter in the pipeline file that its component does not take, UsageError for one
    on the command line.
    """
    bound: dict[str, BoundStage] = {}
    for stage in pipeline.stages:
        version = versions[stage.code]
        parameters = _parameters(stage, version, overrides.get(plain_stage(stage.name), {}))
        environment = environment_class(version.spec)
        unbound = BoundStage(
            name=stage.name,
            component=version.name,
            version=version.digest,
            files={file.path: f"{file.mode} {file.blob}" for file in version.files},
            spec=version.spec,
            parameters=parameters,
            needs=stage.needs,
            empty_needs=tuple(plain_stage(n) for n in stage.needs if bound[n].spec.outputs == ()),
            sources=stage.sources,
            refresh=tokens.get(stage.refresh, ""),
            resources=stage.resources or version.spec.resources,
            environment=environment,
            recipe="",
        )
        needs = {plain_stage(need): bound[need].recipe for need in stage.needs}
        bound[stage.name] = with_recipe(unbound, needs, identities)
    return tuple(bound.values())


def check_parameters(stage: Stage, spec: ComponentSpec, component: str) -> None:
    """Raise SpecError for a parameter in the pipeline file that the component does not take, or not with that value.

    A component that serves is refused: it never ends, so no stage can come of it. One that monitors reads what
    no stage has written.
    """
    if spec.serves:
        raise SpecError(
            f"{stage.place}: component {stage.component} is a service, and a stage has to end",
            hint=f"leave it out, and serve what {spec.serves} writes: doit serve {stage.component}",
        )
    if spec.monitors:
        raise SpecError(
            f"{stage.place}: component {stage.component} is a monitor, which reads what a service has served",
            hint=f"leave it out: doit monitor {stage.component}",
        )
    for name, value in stage.params.items():
        if name not in spec.params:
            raise SpecError(
                f"{stage.place}: component {component} has no parameter {name!r}",
                hint=nearest(name, list(spec.params)) or "it takes no parameters",
            )
        problem = value_problem(value, spec.params[name])
        if problem:
            raise SpecError(f"{stage.place}: parameter {name!r} of stage {stage.name!r}: {problem}")


def _parameters(
    stage: Stage, version: ComponentVersion, overrides: Mapping[str, str]
) -> dict[str, Scalar]:
    spec = version.spec
    check_parameters(stage, spec, version.name)
    values = {name: param.default for name, param in spec.params.items()} | stage.params
    for name, text in overrides.items():
        values[name] = _override(stage, name, text, version)
    for name, given in values.items():
        if given is None:
            raise SpecError(
                f"{stage.place}: stage {stage.name!r} needs a value for its parameter {name!r}",
                hint=f"params: {{{name}: …}} in the pipeline, or --set {stage.name}.{name}=…",
            )
    return {n: canonical(v, spec.params[n]) for n, v in sorted(values.items()) if v is not None}


def _override(stage: Stage, name: str, text: str, version: ComponentVersion) -> Scalar:
    spec = version.spec
    target = f"--set {stage.name}.{name}"
    if name not in spec.params:
        raise UsageError(
            f"{target}: component {version.name} has no parameter {name!r}",
            hint=nearest(name, list(spec.params)) or "it takes no parameters",
        )
    try:
        return parse_value(text, spec.params[name])
    except ValueError as error:
        help = spec.params[name].help
        raise UsageError(f"{target}: {error}", hint=f"{name}: {help}" if help else "") from None
