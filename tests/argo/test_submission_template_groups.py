"""Stages share a template where nothing but plain parameters tells them apart."""

from __future__ import annotations

from typing import Any

from daintree.argo.submission import template_names
from daintree.pipeline.decisions import BoundStage
from daintree.spec.component import ComponentSpec, Resources
from tests.argo.conftest import digest


def bound(name: str, component: str = "text/clean", **more: Any) -> BoundStage:
    """A stage of a component, changed as told."""
    values: dict[str, Any] = {
        "name": name,
        "component": component,
        "version": digest("1"),
        "files": {},
        "spec": ComponentSpec(),
        "parameters": {"top": 3},
        "needs": ("load",),
        "resources": Resources(),
        "environment": "image",
        "recipe": digest("2"),
    }
    return BoundStage(**{**values, **more})


def test_plain_parameters_are_no_reason_for_another_template() -> None:
    stages = [bound("one"), bound("two", parameters={"top": 4})]
    assert template_names(stages) == {"one": "text-clean", "two": "text-clean"}


def test_the_need_it_reads_is_none_either() -> None:
    assert len({*template_names([bound("one"), bound("two", needs=("one",))]).values()}) == 1


def test_a_need_without_output_and_each_source_are() -> None:
    stages = [
        bound("one"),
        bound("told", empty_needs=("load",)),
        bound("source", needs=(), sources=("ratings",)),
        bound("other", needs=(), sources=("items",)),
        bound("nothing", needs=()),
    ]
    assert len({*template_names(stages).values()}) == len(stages)


def test_whatever_else_differs_is() -> None:
    stages = [
        bound("one"),
        bound("strange", parameters={"top": "{{x}}"}),
        bound("large", resources=Resources(memory="2Gi")),
        bound("several", needs=("one", "large")),
        bound("same", needs=("one", "large")),
        bound("others", needs=("one", "strange")),
        bound("empty", parameters={"top": ""}),
        bound("older", version=digest("9")),
    ]
    names = template_names(stages)
    assert names["one"] == "text-clean"
    assert names["strange"] == "text-clean-strange"
    assert names["several"] == names["same"]
    assert len({*names.values()}) == len(stages) - 1


def test_values_of_one_look_and_two_types_are_told_apart() -> None:
    names = template_names([bound("a", parameters={"x": ""}), bound("b", parameters={"x": "\t"})])
    assert names["a"] != names["b"]


def test_no_component_takes_a_name_that_the_workflow_needs() -> None:
    names = template_names([bound("a", "pipeline"), bound("b", "record")])
    assert not {"pipeline", "record"} & {*names.values()}
