"""What a pod may use, in Kubernetes' words."""

from __future__ import annotations

import pytest

from daintree.argo.manifest import resource_requirements, stage_variables
from daintree.spec.component import Resources


@pytest.mark.parametrize(
    ("wanted", "amounts"),
    [
        (Resources(cpu=2), {"cpu": "2"}),
        (Resources(cpu=0.5), {"cpu": "500m"}),
        (Resources(cpu=0.0001), {"cpu": "1m"}),
        (Resources(cpu=1.5, memory="2Gi"), {"cpu": "1500m", "memory": "2Gi"}),
        (Resources(memory="2Gi", gpu=2), {"memory": "2Gi", "nvidia.com/gpu": "2"}),
    ],
)
def test_a_stage_gets_what_it_may_use(wanted: Resources, amounts: dict[str, str]) -> None:
    assert resource_requirements(wanted) == {"resources": {"limits": amounts, "requests": amounts}}


def test_a_stage_that_says_nothing_is_not_limited() -> None:
    assert resource_requirements(Resources()) == {}


def test_the_environment_is_fixed_and_holds_nothing_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINIO_SECRET_KEY", "secret")
    variables = stage_variables(("--top=3",))
    assert variables["PYTHONHASHSEED"] == "0"
    assert variables["HOME"] == "/tmp"
    assert "secret" not in variables.values()
    assert "BRACE" not in variables
    assert stage_variables(("--x=$(BRACE)",))["BRACE"] == "{"
