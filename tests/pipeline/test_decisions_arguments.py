"""How a stage's parameters reach its command line."""

from __future__ import annotations

from typing import Any

import pytest

from daintree.pipeline.decisions import BoundStage
from daintree.spec.component import ComponentSpec, Resources


def stage(**parameters: Any) -> BoundStage:
    """A stage of which only the parameters matter."""
    return BoundStage(
        name="train",
        component="c/train",
        version="",
        files={},
        spec=ComponentSpec(),
        parameters=parameters,
        needs=(),
        resources=Resources(),
        environment="",
        recipe="",
    )


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({}, ()),
        ({"epochs": 50}, ("--epochs", "50")),
        ({"b": "x", "a": "y"}, ("--a", "y", "--b", "x")),
        ({"min_count": 5}, ("--min-count", "5")),
        ({"rate": -0.5}, ("--rate=-0.5",)),
        ({"name": "--output"}, ("--name=--output",)),
        ({"name": "-"}, ("--name=-",)),
        ({"name": ""}, ("--name", "")),
        ({"name": "a b; touch c"}, ("--name", "a b; touch c")),
        ({"flag": True}, ("--flag", "true")),
    ],
)
def test_parameters_become_arguments(
    parameters: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    assert stage(**parameters).arguments == arguments
