"""Binding: a pipeline's stages with their components' versions and their parameters' values filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from daintree.components import ComponentVersion
from daintree.errors import SpecError, UsageError
from daintree.pipeline.decisions import BoundStage, SourceIdentity, with_recipe
from daintree.spec.component import ComponentSpec, Scalar, canonical, parse_value, value_problem
from daintree.spec.pipeline import Pipeline, Stage, plain_stage
from daintree.terminal import nearest


def parse_overrides(pipeline: Pipeline, settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """`stage.parameter=value` texts as {stage: {parameter: text}}; the last one of a parameter wins.

    Raises UsageError for another form, or for a stage that the pipeline does not have.
    """
    names = [stage.name for stage in pipeline.stages]
    overrides: dict[str, dict[str, str]] = {}
    for text in settings:
        target, equals, value = text.partition("=")
        stage, dot, parameter = target.partition(".")
        if not (equals and dot and stage and parameter):
            raise UsageError(
                f"--set {text!r} cannot be read",
                hint="write --set stage.parameter=value, e.g. --set train.epochs=20",
            )
        if stage not in names:
            raise UsageError(
                f"--set {text}: pipeline {pipeline.name!r} has no stage {stage!r}",
                hint=nearest(stage, names),
            )
        overrides.setdefault(stage, {})[parameter.replace("-", "_")] = value
    return overrides


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
        value = parse_value(text, spec.params[name])
    except ValueError as error:
        raise UsageError(f"{target}: {error}", hint=spec.params[name].help) from None
    problem = value_problem(value, spec.params[name])
    if problem:
        raise UsageError(f"{target}: {problem}", hint=spec.params[name].help)
    return value
