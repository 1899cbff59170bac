"""What a run is called, and how a stage's parameters reach its command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tooling.plan import BoundStage
from tooling.run.compute import arguments_of, run_id


def stage(**parameters: Any) -> BoundStage:
    """A stage of which only the parameters matter."""
    return cast(BoundStage, SimpleNamespace(parameters=parameters))


def test_a_run_id_says_when_and_is_unique() -> None:
    started = datetime(2026, 3, 1, 10, 15, 7, 42_999, tzinfo=UTC)
    ids = {run_id(started) for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"20260301T101507042Z-[0-9a-f]{8}", name) for name in ids)


def test_run_ids_sort_by_time() -> None:
    moments = [
        datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 0, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 1, 0, tzinfo=UTC),
        datetime(2026, 10, 1, 0, 0, 0, 0, tzinfo=UTC),
    ]
    ids = [run_id(moment) for moment in moments]
    assert ids == sorted(ids)


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
