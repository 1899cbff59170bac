"""What a pod may use, in Kubernetes' words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daintree.argo.manifest import resource_requirements, stage_variables, workflow_manifest
from daintree.argo.submission import variables_secret
from daintree.errors import SettingsError
from daintree.pipeline.decisions import BoundStage
from daintree.settings import Settings, read_settings
from daintree.spec.component import ComponentSpec, Resources
from tests.argo.conftest import cluster, digest, make_submission, submitted_stage
from tests.argo.finished import finished
from tests.argo.test_drift import differences
from tests.services.argo_check import faults


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


SECRETIVE = make_submission(
    submitted_stage("load", env=("DB_PASSWORD", "DB_HOST")),
    submitted_stage("count", needs=("load",)),
    secret="shop-variables",
)


def containers(manifest: dict[str, Any]) -> dict[str, Any]:
    """The container of each template that has one."""
    templates = manifest["spec"]["templates"]
    return {one["name"]: one["container"] for one in templates if "container" in one}


def from_secrets(container: dict[str, Any]) -> dict[str, Any]:
    """The variables that come from a secret."""
    return {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}


def test_a_stage_gets_the_variables_that_it_names_from_the_secret_and_no_other_does() -> None:
    manifest = workflow_manifest(SECRETIVE, cluster())
    assert faults(manifest) == []
    of_stages = containers(manifest)
    assert from_secrets(of_stages["text-count"]) == {}
    assert from_secrets(of_stages["text-load"]) == {
        name: {"secretKeyRef": {"name": "shop-variables", "key": name, "optional": False}}
        for name in ("DB_PASSWORD", "DB_HOST")
    }
    # The record step gets them under other names, to keep their values out of the logs that it stores.
    assert {
        name: given["secretKeyRef"]["optional"]
        for name, given in from_secrets(of_stages["record"]).items()
    } == {
        "MINIO_ACCESS_KEY": False,
        "MINIO_SECRET_KEY": False,
        "MASKED_DB_PASSWORD": True,
        "MASKED_DB_HOST": True,
    }


def test_a_workflow_with_variables_from_another_secret_is_not_recorded() -> None:
    workflow = finished(workflow_manifest(SECRETIVE, cluster()))
    assert set(differences(workflow, SECRETIVE).values()) == {""}
    template = next(one for one in workflow["spec"]["templates"] if one["name"] == "text-load")
    variable = template["container"]["env"][-1]["valueFrom"]["secretKeyRef"]
    variable["name"] = "others"
    assert "'others' where 'shop-variables'" in differences(workflow, SECRETIVE)["load"]


def secretive(*env: str) -> BoundStage:
    """A stage of a component that names these variables."""
    return BoundStage(
        name="load",
        component="shop/load",
        version=digest("1"),
        files={},
        spec=ComponentSpec(env=env),
        parameters={},
        needs=(),
        resources=Resources(),
        environment="image",
        recipe=digest("2"),
    )


def settings(secret: str) -> Settings:
    """Settings that name a secret."""
    given = read_settings(Path("/nowhere"), {"HOME": "/nowhere"})
    return given._replace(argo_env_secret=secret)


def test_the_secret_is_asked_for_where_a_component_names_variables() -> None:
    assert variables_secret(settings(""), [secretive()]) == ""
    assert variables_secret(settings("shop"), [secretive()]) == ""
    assert variables_secret(settings("shop"), [secretive("DB_PASSWORD")]) == "shop"


@pytest.mark.parametrize(
    ("secret", "fault"),
    [("", "and none is set"), ("daintree-store", "and that one is the store's own")],
)
def test_variables_without_a_secret_of_their_own_are_refused(secret: str, fault: str) -> None:
    with pytest.raises(SettingsError) as failure:
        variables_secret(settings(secret), [secretive("DB_PASSWORD", "DB_HOST")])
    assert failure.value.message == (
        "stage 'load': component shop/load gets DB_PASSWORD, DB_HOST from a Secret of the cluster, "
        + fault
    )
    assert failure.value.hint.startswith("argo_env_secret in [tool.daintree]")
