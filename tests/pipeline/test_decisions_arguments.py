"""How a stage's parameters reach its command line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.session import arguments_of


def stage(**parameters: Any) -> BoundStage:
    """A stage of which only the parameters matter."""
    return cast(BoundStage, SimpleNamespace(parameters=parameters))


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
    assert arguments_of(stage(**parameters)) == arguments
