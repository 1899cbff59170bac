"""Binding: defaults, the pipeline's values and --set, each checked against the component's parameters."""

from __future__ import annotations

import pytest

from daintree.components import VersionedFile
from daintree.errors import DaintreeError, SpecError, UsageError
from daintree.pipeline.decisions import BoundStage, SourceIdentity
from daintree.pipeline.plan import bind
from daintree.pipeline.session import parse_overrides
from daintree.spec.component import ComponentSpec, Param, Resources
from daintree.spec.pipeline import read_pipeline
from tests.component_version import component_version

TOKENS = {"1d": "2026-03-01"}
SOURCE = SourceIdentity("identity", "sha256:source", "data.json")
SPECS = {
    "c/load": ComponentSpec(),
    "c/train": ComponentSpec(
        params={
            "epochs": Param(type="int", default=50, help="passes over the sequences"),
            "rate": Param(type="float", default=1),
            "mode": Param(type="str", default="fast", choices=("fast", "slow")),
            "threads": Param(type="int", default=1, affects_output=False),
        },
        resources=Resources(cpu=1, memory="1Gi"),
    ),
    "c/strict": ComponentSpec(params={"column": Param(type="str")}),
}
VERSIONS = {
    name: component_version(
        name,
        f"sha256:{name}",
        files=(VersionedFile("main.py", "100644", "abc", f"components/{name}/main.py"),),
        spec=spec,
    )
    for name, spec in SPECS.items()
}


def bound(stages: str, *settings: str, environment: str = "image") -> tuple[BoundStage, ...]:
    text = f"source: data.json\nstages:\n{stages}"
    pipeline = read_pipeline(text.encode(), "pipelines/x.yaml", "x")
    overrides = parse_overrides(pipeline, settings)
    return bind(pipeline, VERSIONS, overrides, lambda spec: environment, {"": SOURCE}, TOKENS)


def complaint(kind: type[DaintreeError], stages: str, *settings: str) -> DaintreeError:
    with pytest.raises(kind) as failure:
        bound(stages, *settings)
    return failure.value


def test_a_stage_is_bound_to_its_version_and_its_parameters() -> None:
    load, train = bound("- c/load\n- {component: c/train, params: {epochs: 20}}\n")
    assert (load.name, load.needs, load.parameters) == ("load", (), {})
    assert (train.name, train.component, train.version) == ("train", "c/train", "sha256:c/train")
    assert train.parameters == {"epochs": 20, "mode": "fast", "rate": 1.0, "threads": 1}
    assert train.files == {"main.py": "100644 abc"}
    assert train.needs == ("load",)
    assert train.environment == "image"


def test_a_float_parameter_is_a_float_however_it_is_written() -> None:
    recipes = {
        bound(f"- {{component: c/train, params: {{rate: {rate}}}}}\n")[0].recipe
        for rate in ("1", "1.0", "1e0")
    }
    assert len(recipes) == 1
    assert bound("- c/train\n", "train.rate=1")[0].recipe in recipes


def test_a_parameter_that_affects_nothing_is_bound_but_not_in_the_recipe() -> None:
    (one,), (other,) = bound("- c/train\n"), bound("- c/train\n", "train.threads=8")
    assert (other.parameters["threads"], other.recipe) == (8, one.recipe)
    assert other.ineffective == ("threads",)


def test_a_recipe_holds_those_of_its_needs() -> None:
    before = bound("- c/load\n- c/train\n")
    after = bound("- {component: c/train, name: load}\n- c/train\n")
    assert before[1].recipe != after[1].recipe
    assert bound("- c/load\n- c/train\n") == before


def test_resources_of_the_pipeline_replace_the_components() -> None:
    assert bound("- c/train\n")[0].resources == Resources(cpu=1, memory="1Gi")
    (stage,) = bound("- {component: c/train, resources: {cpu: 4}}\n")
    assert stage.resources == Resources(cpu=4)


def test_the_command_line_wins_and_its_last_word_counts() -> None:
    stages = "- {component: c/train, params: {epochs: 20}}\n"
    (stage,) = bound(stages, "train.epochs=1", "train.epochs=3", "train.mode=slow")
    assert (stage.parameters["epochs"], stage.parameters["mode"]) == (3, "slow")


def test_a_value_may_hold_anything() -> None:
    (stage,) = bound("- c/strict\n", "strict.column=a=b.c '; touch /tmp/x; #")
    assert stage.parameters == {"column": "a=b.c '; touch /tmp/x; #"}
    assert bound("- c/strict\n", "strict.column=")[0].parameters == {"column": ""}


def test_a_dash_in_a_parameters_name_is_an_underscore() -> None:
    pipeline = read_pipeline(b"source: s\nstages: [c/train]\n", "pipelines/x.yaml", "x")
    assert parse_overrides(pipeline, ["train.min-count=1"]) == {"train": {"min_count": "1"}}


@pytest.mark.parametrize(
    "text", ["train", "train.epochs", "epochs=3", ".epochs=3", "train.=3", "=", ""]
)
def test_a_set_that_cannot_be_read_gets_an_example(text: str) -> None:
    error = complaint(UsageError, "- c/train\n", text)
    assert error.message == f"--set {text!r} cannot be read"
    assert error.hint == "write --set stage.parameter=value, e.g. --set train.epochs=20"


def test_a_set_of_an_unknown_stage_suggests_the_nearest() -> None:
    error = complaint(UsageError, "- c/train\n", "trian.epochs=3")
    assert error.message == "--set trian.epochs=3: pipeline 'x' has no stage 'trian'"
    assert error.hint == "did you mean 'train'?"


def test_a_set_of_an_unknown_parameter_suggests_the_nearest() -> None:
    error = complaint(UsageError, "- c/train\n", "train.epoch=3")
    assert error.message == "--set train.epoch: component c/train has no parameter 'epoch'"
    assert error.hint == "did you mean 'epochs'?"
    assert complaint(UsageError, "- c/load\n", "load.x=1").hint == "it takes no parameters"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.epochs=x", "--set train.epochs: expected a whole number, got 'x'"),
        (
            "train.epochs=" + "9" * 20,
            "--set train.epochs: a number beyond 64 bits cannot be recorded",
        ),
        ("train.rate=nan", "--set train.rate: nan is not a finite number"),
        ("train.rate=1e999", "--set train.rate: inf is not a finite number"),
        ("train.mode=other", "--set train.mode: 'other' is none of fast, slow"),
        ("train.mode=\udcff", "--set train.mode: '\\udcff' is not UTF-8 text"),
    ],
)
def test_a_set_of_a_wrong_value_is_said(text: str, message: str) -> None:
    assert complaint(UsageError, "- c/train\n", text).message == message


def test_the_help_of_a_parameter_is_the_hint_for_its_value() -> None:
    error = complaint(UsageError, "- c/train\n", "train.epochs=x")
    assert error.hint == "epochs: passes over the sequences"


def test_an_unknown_parameter_in_the_file_is_said_with_its_place() -> None:
    error = complaint(SpecError, "- c/load\n- {component: c/train, params: {epoch: 3}}\n")
    assert error.message == "pipelines/x.yaml:4: component c/train has no parameter 'epoch'"
    assert error.hint == "did you mean 'epochs'?"


def test_a_wrong_value_in_the_file_is_said_with_its_place() -> None:
    error = complaint(SpecError, "- {component: c/train, params: {epochs: many}}\n")
    assert error.message == (
        "pipelines/x.yaml:3: parameter 'epochs' of stage 'train': expected int, got str 'many'"
    )


def test_a_parameter_without_a_value_is_said_with_two_ways_to_give_one() -> None:
    error = complaint(SpecError, "- c/strict\n")
    assert (
        error.message
        == "pipelines/x.yaml:3: stage 'strict' needs a value for its parameter 'column'"
    )
    assert error.hint == "params: {column: …} in the pipeline, or --set strict.column=…"
