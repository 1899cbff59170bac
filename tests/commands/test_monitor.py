"""The limits that `doit monitor` passes on are those that every monitor takes."""

from __future__ import annotations

from pathlib import Path

from daintree.commands.monitor import LIMITS
from daintree.spec.component import read_component

MONITORS = Path(__file__).parents[2] / "components/lib/serving/monitor.yaml"


def test_each_limit_is_a_parameter_of_every_monitor_with_the_default_that_its_help_names() -> None:
    params = read_component(MONITORS.read_bytes(), MONITORS.name).params
    assert {limit["name"] for limit in LIMITS} == set(params) - {"served", "store"}
    named = {
        limit["name"]: limit["help"].partition("(default: ")[2].rstrip(")") for limit in LIMITS
    }
    off = {"hours": "all in the log", "max_psi_answered": "not judged"}
    assert named == {name: off.get(name, str(params[name].default)) for name in named}
