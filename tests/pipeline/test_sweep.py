"""Sweeps: each combination of values once, what they share once, names that files and tasks can have."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from daintree.errors import UsageError
from daintree.pipeline.decisions import BoundStage, Hit, SourceIdentity, inputs_of
from daintree.pipeline.plan import bind
from daintree.pipeline.sweep import parse_axes, sweep
from daintree.spec.component import ComponentSpec, Param, Scalar
from daintree.spec.pipeline import Combination, Pipeline, plain_stage, read_pipeline
from daintree.store.records import IndexRecord
from tests.component_version import component_version

PIPELINE = read_pipeline(
    b"source: x\noutput: out\nstages: [c/load, c/clean, c/train, c/evaluate]\n",
    "pipelines/x.yaml",
    "x",
)
SPEC = ComponentSpec(
    params={
        "epochs": Param(type="int", default=1),
        "rate": Param(type="float", default=1.0),
        "mode": Param(type="str", default="a", choices=("a", "b")),
        "text": Param(type="str", default=""),
        "exact": Param(type="bool", default=False),
    }
)
VERSIONS = {
    stage.component: component_version(
        stage.component,
        f"sha256:{stage.component}",
        spec=SPEC,
    )
    for stage in PIPELINE.stages
}


def swept(*words: str, large: bool = False) -> tuple[Pipeline, dict[str, Combination]]:
    return sweep(PIPELINE, parse_axes(PIPELINE, words, VERSIONS), large=large)


def test_what_no_value_reaches_is_shared() -> None:
    pipeline, combinations = swept("train.epochs=[1, 2]", "train.mode=a,b")
    names = [stage.name for stage in pipeline.stages]
    assert names[:2] == ["load", "clean"]
    assert sum(name.startswith("train[") for name in names) == 4
    assert sum(name.startswith("evaluate[") for name in names) == 4
    assert len(names) == 10
    assert [plain_stage(name) for name in names[:3]] == ["load", "clean", "train"]
    one = pipeline.stage("train[epochs=1,mode=b]")
    assert one.params == {"epochs": 1, "mode": "b"}
    assert one.needs == ("clean",)
    assert pipeline.stage("evaluate[epochs=1,mode=b]").needs == ("train[epochs=1,mode=b]",)
    assert combinations["epochs=1,mode=b"] == Combination(
        {
            "load": "load",
            "clean": "clean",
            "train": "train[epochs=1,mode=b]",
            "evaluate": "evaluate[epochs=1,mode=b]",
        },
        {"train.epochs": 1, "train.mode": "b"},
    )


def test_a_stage_has_a_copy_for_the_values_before_it_alone() -> None:
    names = [stage.name for stage in swept("clean.epochs=1,2", "train.epochs=3,4")[0].stages]
    assert [name for name in names if name.startswith("clean")] == [
        "clean[clean.epochs=1]",
        "clean[clean.epochs=2]",
    ]
    assert len([name for name in names if name.startswith("train")]) == 4
    for name in names:
        before = names[: names.index(name)]
        assert set(swept("clean.epochs=1,2", "train.epochs=3,4")[0].stage(name).needs) <= set(
            before
        )


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("train.epochs=[10, 25]", (10, 25)),
        ("train.epochs=10,25, 10", (10, 25)),
        ("train.rate=[1, 2.5]", (1.0, 2.5)),
        ("train.exact=true,false", (True, False)),
        ("train.mode=b", ("b",)),
        ("train.text=[a b, 'c,d', '']", ("a b", "c,d", "")),
    ],
)
def test_values_are_a_list_or_plain_where_they_can_be(
    word: str, values: tuple[Scalar, ...]
) -> None:
    [axis] = parse_axes(PIPELINE, [word], VERSIONS)
    assert axis.values == values
    assert [type(value) for value in axis.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["epochs=[1]"], "cannot be read"),
        (["trian.epochs=[1]"], "no stage 'trian'"),
        (["train.epoch=[1]"], "no parameter 'epoch'"),
        (["train.epochs=[]"], "the list is empty"),
        (["train.epochs=[1, x]"], "expected int, got str 'x'"),
        (["train.epochs=1,x"], "expected a whole number, got 'x'"),
        (["train.mode=[a, c]"], "'c' is none of a, b"),
        (["train.text=a,b"], "texts need a list"),
        (["train.epochs=1,2", "train.epochs=3"], "stands twice"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as failure:
        swept(*words)
    assert message in failure.value.message


def test_names_are_safe_and_different() -> None:
    combinations = swept(
        "train.text=[a/b, 'a:b', '../x', '*', '" + "y" * 90 + "']", "train.rate=1,2"
    )[1]
    names = list(combinations)
    assert len({name.casefold() for name in names}) == 10
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9.+_=,-]{1,120}", name)
        assert not name.startswith(".")


def test_a_large_sweep_has_to_be_wanted() -> None:
    words = ("load.epochs=" + ",".join(map(str, range(200))),)
    with pytest.raises(UsageError, match="the sweep has 800 stages"):
        swept(*words)
    assert len(swept(*words, large=True)[0].stages) == 800
    with pytest.raises(UsageError, match="stages"):
        swept(
            *(f"{s}.epochs=" + ",".join(map(str, range(900))) for s in ("load", "clean", "train"))
        )


JOINED = read_pipeline(
    b"""source: x
stages:
  - c/load
  - c/train
  - {component: c/evaluate, needs: [load, train]}
""",
    "pipelines/x.yaml",
    "x",
)
SOURCE = {"": SourceIdentity("s", "sha256:s", "x")}


def bound(pipeline: Pipeline, epochs: Mapping[str, str]) -> dict[str, BoundStage]:
    stages = bind(pipeline, VERSIONS, {"train": epochs}, lambda _: "image", SOURCE, {})
    return {stage.name: stage for stage in stages}


def test_a_combination_is_the_run_that_its_values_alone_would_be() -> None:
    pipeline, _ = sweep(JOINED, parse_axes(JOINED, ["train.epochs=[3, 4]"], VERSIONS), large=False)
    alone, combined = bound(JOINED, {"epochs": "4"}), bound(pipeline, {})
    for name in ("train", "evaluate"):
        assert combined[f"{name}[epochs=4]"].recipe == alone[name].recipe
        assert combined[f"{name}[epochs=3]"].recipe != alone[name].recipe


def test_a_stage_finds_its_inputs_under_the_names_of_the_pipeline() -> None:
    pipeline, _ = sweep(JOINED, parse_axes(JOINED, ["train.epochs=[3, 4]"], VERSIONS), large=False)
    stage = bound(pipeline, {})["evaluate[epochs=4]"]
    record = IndexRecord(
        run="r",
        location="l",
        content="",
        record="",
        record_bytes=1,
        digest="d",
        count=1,
        bytes=1,
        inputs={},
        seconds=1.0,
    )
    decisions = {need: Hit(record) for need in stage.needs}
    assert inputs_of(stage, decisions, SOURCE) == {"load": "d", "train": "d"}
