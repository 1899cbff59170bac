"""What a pipeline file says: the short and the long form, and one clear error for everything else."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import SpecError
from daintree.spec.component import Resources
from daintree.spec.pipeline import Pipeline, SourceSpec, read_pipeline
from tests.spec.conftest import SHORT

WHERE = "pipelines/x.yaml"


def read(text: str, where: str = WHERE) -> Pipeline:
    return read_pipeline(text.encode(), where, "x")


def complaint(text: str) -> SpecError:
    with pytest.raises(SpecError) as failure:
        read(text)
    return failure.value


def test_the_short_form_is_a_sequence() -> None:
    pipeline = read(SHORT)
    assert (pipeline.name, pipeline.file, pipeline.description) == ("x", WHERE, "")
    assert pipeline.sources == {"": SourceSpec(location="data/x.json.gz")}
    assert (pipeline.output, pipeline.output_stages, pipeline.output_split) == (
        "out",
        ("clean",),
        False,
    )
    assert [(s.name, s.component, s.needs) for s in pipeline.stages] == [
        ("load", "common/load", ()),
        ("clean", "common/clean", ("load",)),
    ]
    assert pipeline.stage("clean").params == {}


def test_json_reads_the_same() -> None:
    as_json = json.dumps(yaml.safe_load(SHORT), indent=1)
    one, other = read(SHORT), read(as_json, "pipelines/x.json")
    assert [(s.name, s.component, s.needs) for s in one.stages] == [
        (s.name, s.component, s.needs) for s in other.stages
    ]
    assert (other.sources, other.output, other.file) == (one.sources, "out", "pipelines/x.json")


def test_the_long_form_has_names_parameters_needs_and_resources() -> None:
    pipeline = read(
        """
description: a diamond
source: {location: https://example.com/x, sha256: %s}
output: {path: out, stages: [join, left]}
stages:
  - {name: join, component: a/join, needs: [left, right]}
  - {name: left, component: a/work, needs: [], params: {k-core: 5, rate: 1e-3, mode: no}}
  - {name: right, component: a/work, needs: [], resources: {cpu: 2, memory: 512Mi}}
"""
        % ("ab" * 32)
    )
    assert pipeline.description == "a diamond"
    assert pipeline.sources == {"": SourceSpec(location="https://example.com/x", sha256="ab" * 32)}
    assert (pipeline.output, pipeline.output_stages, pipeline.output_split) == (
        "out",
        ("join", "left"),
        True,
    )
    assert [stage.name for stage in pipeline.stages] == ["left", "right", "join"]
    assert pipeline.stage("left").params == {"k_core": 5, "rate": 0.001, "mode": "no"}
    assert pipeline.stage("right").resources == Resources(cpu=2, memory="512Mi")
    assert pipeline.stage("left").resources is None
    assert pipeline.stage("join").needs == ("left", "right")
    assert pipeline.stage("join").place == "pipelines/x.yaml:6"


def test_a_stage_needs_the_one_written_before_it() -> None:
    pipeline = read("source: s\nstages: [a, {component: b, needs: []}, c]\n")
    assert [(stage.name, stage.needs) for stage in pipeline.stages] == [
        ("a", ()),
        ("b", ()),
        ("c", ("b",)),
    ]


def test_without_an_output_the_last_stage_written_is_the_result() -> None:
    pipeline = read("source: s\nstages: [{component: z, needs: [y]}, {component: y, needs: []}]\n")
    assert [stage.name for stage in pipeline.stages] == ["y", "z"]
    assert (pipeline.output, pipeline.output_stages) == ("", ("z",))


def test_two_stages_of_one_component_need_two_names() -> None:
    error = complaint("source: s\nstages:\n- a/load\n- b/load\n")
    assert error.message == "pipelines/x.yaml:4: there are two stages called 'load'"
    assert error.hint == "give one of them another name: `- {name: …, component: …}`"
    assert "two stages called 'Load'" in complaint("source: s\nstages: [a/load, b/Load]\n").message


@pytest.mark.parametrize("name", ["a b", "..", "a.b", "größe", "-a", "", "x" * 64])
def test_a_stages_name_is_a_plain_word(name: str) -> None:
    error = complaint(f"source: s\nstages:\n- {json.dumps({'component': 'c/' + name})}\n")
    assert error.message.startswith("pipelines/x.yaml:3: ")
    assert error.message.endswith("cannot be a stage's name")
    assert error.hint == "letters, digits, - and _"


@pytest.mark.parametrize("name", ["source", "output"])
def test_a_stage_is_not_called_like_an_end_of_the_pipeline(name: str) -> None:
    error = complaint(f"source: s\nstages: [{{component: c, name: {name}}}]\n")
    assert (
        error.message == f"pipelines/x.yaml:2: a stage cannot be called {name!r}: the word is taken"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the key 'stages' is missing"),
        ("source: s\n", ":1: the key 'stages' is missing"),
        (
            "stages: [a]\n",
            ":1: the pipeline's 'source' is missing, and the stage does not say `refresh`",
        ),
        ("source: s\nstages: []\n", ":2: a pipeline needs at least one stage"),
        ("source: s\nstages: a\n", ":2: expected a list, got text (at stages)"),
        (
            "source: s\nstages:\n- a\n- 3\n",
            ":4: expected text or a mapping, got a whole number (at stages.1)",
        ),
        (
            "source: 3\nstages: [a]\n",
            ":1: expected text or a mapping, got a whole number (at source)",
        ),
        ("source:\nstages: [a]\n", ":1: expected text or a mapping, got nothing (at source)"),
        ("source: ''\nstages: [a]\n", ":1: the source is empty"),
        ("source: {location: ''}\nstages: [a]\n", ":1: the source is empty"),
        ("source: {url: x}\nstages: [a]\n", ":1: unknown key 'url' (at source.url)"),
        (
            "source:\n  location: s\n  sha256: ABC\nstages: [a]\n",
            ":3: sha256 must be 64 lower-case hex digits",
        ),
        ("source: s\nstages: [a]\nstage: [b]\n", ":3: unknown key 'stage' (at stage)"),
        ("source: s\nsource: t\nstages: [a]\n", ":2: the key 'source' stands twice"),
        (
            "source: s\nstages:\n- name: a\n",
            ":3: the key 'component' is missing, or 'image' in its place",
        ),
        (
            "source: s\nstages:\n- component: a\n  parms: {}\n",
            ":4: unknown key 'parms' (at stages.0.parms)",
        ),
        (
            "source: s\nstages:\n- component: a\n  params:\n    x: 1\n    y: [2]\n",
            ":6: expected text, a number, true or false, got a list (at stages.0.params.y)",
        ),
        (
            "source: s\nstages:\n- component: a\n  params: {a-b: 1, a_b: 2}\n",
            ":3: the parameter 'a_b' stands twice",
        ),
        (
            "source: s\nstages: [{component: a, needs: b}]\n",
            ":2: expected a list or nothing, got text (at stages.0.needs)",
        ),
        (
            "source: s\nstages: [a, {component: b, needs: [a, a]}]\n",
            ":2: stage 'b' names a need twice",
        ),
        (
            "source: s\nstages: [{component: a, resources: {cpu: -1}}]\n",
            ":2: cpu must not be negative",
        ),
        (
            "source: s\nstages: [a]\noutput: 3\n",
            ":3: expected text or a mapping or nothing, got a whole number (at output)",
        ),
        (
            "source: s\nstages: [a]\noutput: {path: o}\n",
            ":3: the key 'stages' is missing (at output)",
        ),
        (
            "source: s\nstages: [a]\noutput: {path: '', stages: [a]}\n",
            ":3: an output needs a path and at least one stage",
        ),
        (
            "source: s\nstages: [a]\noutput: {path: o, stages: []}\n",
            ":3: an output needs a path and at least one stage",
        ),
    ],
)
def test_an_error_names_file_line_and_key(text: str, message: str) -> None:
    assert complaint(text).message == WHERE + message


def test_an_error_in_json_names_the_key() -> None:
    with pytest.raises(SpecError) as failure:
        read(
            '{"source": "s", "stages": ["a", {"component": "b", "resources": {"cpu": -1}}]}',
            "pipelines/x.json",
        )
    assert failure.value.message == "pipelines/x.json (at stages.1): cpu must not be negative"
    with pytest.raises(SpecError) as failure:
        read('{"source": "s", "stages": ["a", 3]}', "pipelines/x.json")
    assert (
        failure.value.message
        == "pipelines/x.json (at stages.1): expected text or a mapping, got a whole number"
    )


def test_an_unknown_need_suggests_the_nearest_stage() -> None:
    error = complaint("source: s\nstages:\n- a/clean\n- {component: b, needs: [claen]}\n")
    assert (
        error.message
        == "pipelines/x.yaml:4: stage 'b' needs 'claen', which is no stage of this pipeline"
    )
    assert error.hint == "did you mean 'clean'?"


def test_an_unknown_output_stage_suggests_the_nearest() -> None:
    error = complaint("source: s\nstages: [a/train]\noutput:\n  path: o\n  stages: [trian]\n")
    assert error.message == "pipelines/x.yaml:5: 'trian' is no stage of this pipeline"
    assert error.hint == "did you mean 'train'?"


def test_a_circle_is_named_alone() -> None:
    error = complaint("""source: s
stages:
- first
- {component: after, needs: [two]}
- {component: one, needs: [three, first]}
- {component: two, needs: [one]}
- {component: three, needs: [two]}
""")
    assert error.message == (
        "pipelines/x.yaml:6: the stages' needs go round in a circle: two → one → three → two"
    )
    assert (
        error.hint == "a stage needs only what is computed before it: take one of these needs out"
    )
    assert "circle: a → a" in complaint("source: s\nstages: [{component: a, needs: [a]}]\n").message


@given(st.permutations(range(6)), st.data())
def test_each_stage_comes_after_its_needs(order: list[int], choices: st.DataObject) -> None:
    needs = {
        number: choices.draw(st.lists(st.sampled_from(order[:place]), unique=True)) if place else []
        for place, number in enumerate(order)
    }
    written = [{"component": f"c/s{n}", "needs": [f"s{m}" for m in needs[n]]} for n in range(6)]
    pipeline = read(json.dumps({"source": "s", "stages": written}))
    names = [stage.name for stage in pipeline.stages]
    assert sorted(names) == [f"s{n}" for n in range(6)]
    for place, stage in enumerate(pipeline.stages):
        assert set(stage.needs) <= set(names[:place])


def test_a_pipeline_of_thousands_of_stages_is_read() -> None:
    stages = "".join(f"- c/s{number}\n" for number in range(3000))
    pipeline = read(f"source: s\nstages:\n{stages}")
    assert pipeline.stages[-1].needs == ("s2998",)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("source: s\nstage: [a]\n", "did you mean 'stages'?"),
        ("sourc: s\nstages: [a]\n", "did you mean 'source'?"),
        ("source: {url: x}\nstages: [a]\n", "there are: follow_links, location, sha256"),
        ("source: s\noutput: {path: o, stage: [a]}\nstages: [a]\n", "did you mean 'stages'?"),
        ("source: s\nstages: [a, {component: b, need: [a]}]\n", "did you mean 'needs'?"),
        (
            "source: s\nstages: [{component: b, resources: {cpus: 1}}]\n",
            "did you mean 'cpu'?",
        ),
    ],
)
def test_an_unknown_key_gets_the_nearest_one(text: str, hint: str) -> None:
    with pytest.raises(SpecError) as failure:
        read_pipeline(text.encode(), "pipelines/x.yaml", "x")
    assert failure.value.hint == hint
