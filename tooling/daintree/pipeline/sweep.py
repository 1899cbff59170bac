"""Sweep: one plan of a pipeline for every combination of some parameters' values, its shared stages once."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from daintree.components import ComponentVersion
from daintree.digest import digest_record, short
from daintree.errors import UsageError, nearest
from daintree.spec.component import Param, Scalar, as_argument, fitting, parse_value
from daintree.spec.pipeline import Combination, Pipeline, Stage
from daintree.spec.yaml import parse

# Stages of a sweep that need no --yes, and letters of a combination's name, which is a directory's.
MOST_STAGES = 500
LONGEST_NAME = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9.+_-]")


class Axis(msgspec.Struct, frozen=True):
    """One swept parameter of a stage: its values, and a text of each that a file's name may hold."""

    stage: str
    parameter: str
    values: tuple[Scalar, ...]
    texts: tuple[str, ...]


def parse_axes(
    pipeline: Pipeline, words: Sequence[str], versions: Mapping[str, ComponentVersion]
) -> tuple[Axis, ...]:
    """`stage.parameter=[value, …]` words as axes; numbers, booleans and choices may stand without brackets.

    Raises UsageError for what is no such word, for an unknown stage or parameter, and for a value that does not fit.
    """
    axes: dict[tuple[str, str], Axis] = {}
    for word in words:
        target, equals, text = word.partition("=")
        stage_name, dot, parameter = target.partition(".")
        parameter = parameter.replace("-", "_")
        if not (equals and dot and stage_name and parameter):
            raise UsageError(
                f"--sweep {word!r} cannot be read",
                hint="write --sweep 'stage.parameter=[value, …]', e.g. --sweep 'train.epochs=[10, 25]'",
            )
        stage = pipeline.stage(stage_name)
        version = versions[stage.code]
        if parameter not in version.spec.params:
            raise UsageError(
                f"--sweep {target}: component {version.name} has no parameter {parameter!r}",
                hint=nearest(parameter, list(version.spec.params)) or "it takes no parameters",
            )
        if (stage_name, parameter) in axes:
            raise UsageError(f"--sweep {target} stands twice", hint="give all values at once")
        values = _values(f"--sweep {target}", text, version.spec.params[parameter])
        axes[stage_name, parameter] = Axis(stage_name, parameter, values, _texts(values))
    return tuple(axes.values())


def _values(target: str, text: str, param: Param) -> tuple[Scalar, ...]:
    try:
        if text.lstrip().startswith("["):
            given = parse(f"values: {text}".encode(), target)[0]["values"]
            values = [fitting(value, param) for value in given]
        elif param.type == "str" and not param.choices:
            raise UsageError(f"{target}: texts need a list", hint=f"{target}='[…, …]'")
        else:
            values = [parse_value(part.strip(), param) for part in text.split(",")]
    except ValueError as error:
        name = target.rpartition(".")[2]
        hint = f"{name}: {param.help}" if param.help else ""
        raise UsageError(f"{target}: {error}", hint=hint) from None
    if not values:
        raise UsageError(f"{target}: the list is empty", hint=f"{target}='[…, …]'")
    return tuple(dict.fromkeys(values))


def _texts(values: Sequence[Scalar]) -> tuple[str, ...]:
    texts = [_UNSAFE.sub("_", as_argument(value))[:40] or "_" for value in values]
    if len({text.casefold() for text in texts}) == len(texts):
        return tuple(texts)
    return tuple(f"{text}-{place + 1}" for place, text in enumerate(texts))


def sweep(
    pipeline: Pipeline, axes: Sequence[Axis], *, large: bool
) -> tuple[Pipeline, dict[str, Combination]]:
    """The pipeline with a copy of each stage for every combination of the values that it, or one before it, depends on; and the combinations by name.

    Raises UsageError for more than MOST_STAGES stages, unless it may be `large`.
    """
    depends = _dependencies(pipeline, axes)
    total = sum(math.prod(len(axes[n].values) for n in depends[s.name]) for s in pipeline.stages)
    if total > MOST_STAGES and not large:
        raise UsageError(
            f"the sweep has {total:,} stages", hint="--yes runs it; or give fewer values"
        )
    stages: dict[str, Stage] = {}
    combinations: dict[str, Combination] = {}
    for chosen in itertools.product(*(range(len(axis.values)) for axis in axes)):
        names: dict[str, str] = {}
        for stage in pipeline.stages:
            label = _label(axes, chosen, depends[stage.name])
            name = f"{stage.name}[{label}]" if label else stage.name
            names[stage.name] = name
            own = {
                axis.parameter: axis.values[place]
                for axis, place in zip(axes, chosen, strict=True)
                if axis.stage == stage.name
            }
            stages[name] = msgspec.structs.replace(
                stage,
                name=name,
                params=stage.params | own,
                needs=tuple(names[need] for need in stage.needs),
            )
        values = {
            f"{axis.stage}.{axis.parameter}": axis.values[place]
            for axis, place in zip(axes, chosen, strict=True)
        }
        label = _label(axes, chosen, range(len(axes)))
        combinations[label] = Combination(names, values)
    return msgspec.structs.replace(pipeline, stages=tuple(stages.values())), combinations


def _dependencies(pipeline: Pipeline, axes: Sequence[Axis]) -> dict[str, list[int]]:
    """The axes, by number, that each stage depends on: its own, and those of the stages before it."""
    depends: dict[str, list[int]] = {}
    for stage in pipeline.stages:
        own = {number for number, axis in enumerate(axes) if axis.stage == stage.name}
        depends[stage.name] = sorted(own.union(*(depends[need] for need in stage.needs)))
    return depends


def _label(axes: Sequence[Axis], chosen: Sequence[int], numbers: Sequence[int]) -> str:
    """Name of a combination of some axes' values, such as `epochs=10,dimension=32`."""
    parameters = [axis.parameter for axis in axes]
    parts = [
        (
            axis.parameter
            if parameters.count(axis.parameter) == 1
            else f"{axis.stage}.{axis.parameter}"
        )
        + f"={axis.texts[chosen[number]]}"
        for number, axis in enumerate(axes)
        if number in numbers
    ]
    label = ",".join(parts)
    if len(label) <= LONGEST_NAME:
        return label
    return f"{label[: LONGEST_NAME - 9]}-{short(digest_record('combination', 1, parts), 8)}"
