"""Why a stage misses, in words: every difference from its last run, and nothing that is not one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest

from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.reasons import changed_files, miss_reason
from daintree.spec.component import ComponentSpec, Param, Resources, Scalar
from daintree.store.records import InputRecord, Keys, RunManifest

FILES = {"main.py": "100644 1", "Dockerfile": "100644 2", "stageio/tables.py": "100644 3"}
SPEC = ComponentSpec(
    params={
        "epochs": Param(type="int"),
        "rate": Param(type="float"),
        "mode": Param(type="str"),
        "flag": Param(type="bool"),
        "threads": Param(type="int", affects_output=False),
    }
)
PARAMETERS: dict[str, Scalar] = {
    "epochs": 50,
    "rate": 0.5,
    "mode": "fast",
    "flag": True,
    "threads": 1,
}
INPUTS = {"clean": "sha256:clean"}


def stage(
    *,
    component: str = "item2vec/train",
    version: str = "v1",
    files: Mapping[str, str] = FILES,
    parameters: Mapping[str, Scalar] | None = None,
    environment: str = "image",
) -> BoundStage:
    return BoundStage(
        name="train",
        component=component,
        version=version,
        files=files,
        spec=SPEC,
        parameters={**PARAMETERS, **(parameters or {})},
        needs=("clean",),
        resources=Resources(),
        environment=environment,
        recipe="",
    )


def last(
    *,
    inputs: Mapping[str, str] = INPUTS,
    parameters: Mapping[str, Scalar] = PARAMETERS,
    result: Literal["succeeded", "failed"] = "succeeded",
) -> RunManifest:
    return RunManifest(
        run="r",
        location="l",
        pipeline="item2vec",
        stage="train",
        component="item2vec/train",
        version="v1",
        version_files=dict(FILES),
        parameters=dict(parameters),
        ineffective=("threads",),
        environment="image",
        runner="docker",
        keys=Keys("", ""),
        inputs=tuple(InputRecord(name, digest, "") for name, digest in inputs.items()),
        result=result,
        started="",
        finished="",
        seconds=1.0,
    )


def test_a_stage_that_never_ran() -> None:
    assert miss_reason(stage(), INPUTS, None) == "no run recorded"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (
            stage(version="v2", files={**FILES, "main.py": "100644 9"}),
            "component item2vec/train changed: main.py",
        ),
        (
            stage(version="v2", files={**FILES, "notes.txt": "100644 9"}),
            "component item2vec/train changed: notes.txt added",
        ),
        (
            stage(version="v2", files={"main.py": "100644 1", "Dockerfile": "100644 2"}),
            "component item2vec/train changed: stageio/tables.py deleted",
        ),
        (
            stage(version="v2"),
            "component item2vec/train changed: base image, platform or build arguments",
        ),
        (stage(component="other/train", version="v9"), "component item2vec/train → other/train"),
        (stage(parameters={"epochs": 20}), "params.epochs 50 → 20"),
        (stage(parameters={"rate": 0.25}), "params.rate 0.5 → 0.25"),
        (stage(parameters={"mode": "a b"}), "params.mode 'fast' → 'a b'"),
        (stage(parameters={"flag": False}), "params.flag true → false"),
        (
            stage(parameters={"epochs": 20, "flag": False}),
            "params.epochs 50 → 20; params.flag true → false",
        ),
        (stage(environment="venv-3.11-linux-x86_64"), "environment image → venv-3.11-linux-x86_64"),
    ],
)
def test_what_changed_is_said(now: BoundStage, reason: str) -> None:
    assert miss_reason(now, INPUTS, last()) == reason


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"clean": "sha256:new"}, "the output of clean changed"),
        ({"clean": "sha256:clean", "load": "sha256:load"}, "other needs: clean, load"),
        ({"": "sha256:source"}, "other needs: the source"),
    ],
)
def test_other_inputs_are_said(inputs: dict[str, str], reason: str) -> None:
    assert miss_reason(stage(), inputs, last()) == reason


def test_a_changed_source_is_said() -> None:
    before = last(inputs={"": "sha256:old"})
    assert miss_reason(stage(), {"": "sha256:new"}, before) == "the source changed"


def test_all_differences_are_said_in_one_line() -> None:
    now = stage(version="v2", parameters={"epochs": 20}, environment="venv")
    assert miss_reason(now, {"clean": "sha256:new"}, last()) == (
        "component item2vec/train changed: base image, platform or build arguments; params.epochs 50 → 20; "
        "environment image → venv; the output of clean changed"
    )


def test_a_parameter_that_appears_or_goes_is_said() -> None:
    fewer = {name: value for name, value in PARAMETERS.items() if name != "mode"}
    assert miss_reason(stage(), INPUTS, last(parameters=fewer)) == "params.mode (none) → 'fast'"
    more: dict[str, Scalar] = {**PARAMETERS, "zeal": 1}
    assert miss_reason(stage(), INPUTS, last(parameters=more)) == "params.zeal 1 → (none)"


def test_a_parameter_of_another_type_is_said() -> None:
    before = last(parameters={**PARAMETERS, "flag": 1})
    assert miss_reason(stage(), INPUTS, before) == "params.flag 1 → true"


def test_a_parameter_that_does_not_count_is_not_said() -> None:
    now = stage(parameters={"threads": 8, "epochs": 20})
    assert miss_reason(now, INPUTS, last()) == "params.epochs 50 → 20"


def test_inputs_that_are_not_known_are_not_guessed_at() -> None:
    assert (
        miss_reason(stage(), None, last(inputs={"clean": "sha256:old"}))
        == "its run is gone from the store"
    )


def test_without_a_difference_the_last_run_is_to_blame() -> None:
    assert miss_reason(stage(), INPUTS, last(result="failed")) == "the last run failed"
    assert miss_reason(stage(), INPUTS, last()) == "its run is gone from the store"


def test_many_changed_files_are_counted() -> None:
    now = {f"f{number}": "1" for number in range(7)}
    assert changed_files({}, now) == "f0 added, f1 added, f2 added, f3 added and 3 more"
    assert changed_files(now, now) == ""
    assert changed_files({"run.sh": "100644 1"}, {"run.sh": "100755 1"}) == "run.sh"
