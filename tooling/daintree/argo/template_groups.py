"""Which stages share a template: those of one component that differ in plain parameters only."""

from __future__ import annotations

from collections.abc import Iterable

from daintree.argo.arguments import is_plain
from daintree.argo.names import distinct_names
from daintree.plan import BoundStage

# The templates of every Workflow that are no component's.
PIPELINE_TEMPLATE, RECORD_TEMPLATE = "pipeline", "record"
_LONGEST = 63


def template_names(stages: Iterable[BoundStage]) -> dict[str, str]:
    """The name of each stage's template: its component's, with the stage's behind it where that one is taken.

    A template of its own gets a stage with other values that Argo's substitution could touch, one that reads several outputs
    (their names are directories), and one with resources of its own.
    """
    texts: dict[str, str] = {}
    by_shape: dict[object, str] = {}
    for stage in stages:
        taken = stage.component in by_shape.values()
        text = f"{stage.component}/{stage.name}" if taken else stage.component
        texts[stage.name] = by_shape.setdefault(_shape(stage), text)
    names = distinct_names(
        dict.fromkeys(texts.values()), _LONGEST, (PIPELINE_TEMPLATE, RECORD_TEMPLATE)
    )
    return {stage: names[text] for stage, text in texts.items()}


def _shape(stage: BoundStage) -> object:
    several = stage.needs if len(stage.needs) != 1 else ("",)
    literal = tuple((n, type(v), v) for n, v in stage.parameters.items() if not is_plain(v))
    return (stage.component, stage.version, stage.resources, several, literal)
