"""Sources by name, the stages that read them, and stages that read none."""

from __future__ import annotations

import pytest

from daintree.spec.pipeline import SourceSpec
from tests.spec.test_pipeline_reader import complaint, read

NAMED = """
sources: {ratings: data/ratings/*.csv, items: {location: https://example.com/items, sha256: %s}}
stages:
  - {component: c/clean, needs: [source.ratings]}
  - {component: c/join, needs: [source.items, clean]}
""" % ("ab" * 32)


def test_a_stage_reads_the_sources_that_it_names() -> None:
    pipeline = read(NAMED)
    assert pipeline.sources == {
        "ratings": SourceSpec(location="data/ratings/*.csv"),
        "items": SourceSpec(location="https://example.com/items", sha256="ab" * 32),
    }
    assert [(s.name, s.needs, s.sources) for s in pipeline.stages] == [
        ("clean", (), ("ratings",)),
        ("join", ("clean",), ("items",)),
    ]


def test_the_one_source_is_read_by_the_stages_that_need_no_other() -> None:
    pipeline = read("source: x\nstages: [a/one, a/two, {component: a/three, needs: []}]\n")
    assert [stage.sources for stage in pipeline.stages] == [("",), (), ("",)]


@pytest.mark.parametrize("refresh", ["1h", "1d", "7d", "always", "never"])
def test_a_stage_without_a_source_says_how_long_its_output_stays_good(refresh: str) -> None:
    text = f"stages:\n- {{component: a/one, refresh: {refresh}}}\n- a/two\n"
    one, two = read(text).stages
    assert (one.sources, one.needs, one.refresh) == ((), (), refresh)
    assert (two.needs, two.refresh) == (("one",), "")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "stages: [a/one]",
            ":1: the pipeline's 'source' is missing, and the stage",
            "`source: PATH`",
        ),
        (
            "sources: {r: x}\nstages: [a/one]",
            ":2: the stage reads none of the sources",
            "needs: [source.r]",
        ),
        (
            "sources: {r: x}\nstages: [{component: a/one, needs: [source.q]}]",
            ":2: this pipeline has no source 'q'",
            "did you mean",
        ),
        (
            "source: x\nstages: [{component: a/one, needs: [source.q]}]",
            ":2: this pipeline has no source 'q'",
            "sources: {q: …}",
        ),
        (
            "sources: {r: x}\nstages: [{component: a/one, needs: [source.r, source.r]}]",
            ":2: a stage names a source twice",
            "",
        ),
        (
            "source: x\nsources: {r: x}\nstages: [a/one]",
            ":2: a pipeline has a 'source' or 'sources', not both",
            "give the one a name",
        ),
        (
            "sources: {One: x}\nstages: [{component: a/one, needs: [source.One]}]",
            ":1: a stage is called 'One', too",
            "another name",
        ),
        (
            "sources: {r: x, R: y}\nstages: [{component: a/one, needs: [source.r]}]",
            ":1: there are two sources called 'R'",
            "another name",
        ),
        (
            "sources: {'a b': x}\nstages: [a/one]",
            ":1: 'a b' cannot be a source's name",
            "letters, digits",
        ),
        ("sources: {output: x}\nstages: [a/one]", ":1: a source cannot be called 'output'", ""),
        ("sources: {r: ''}\nstages: [a/one]", ":1: the source is empty", ""),
        ("source: ''\nstages: [a/one]", ":1: the source is empty", ""),
        (
            "sources: {r: {location: x, sha256: abc}}\nstages: [a/one]",
            ":1: sha256 must be 64",
            "",
        ),
        ("stages: [{component: a/one, refresh: 2d}]", ":1: ", "a refresh is one of: 1d, 1h, 7d"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str, hint: str) -> None:
    error = complaint(text)
    assert message in error.message
    assert hint in error.hint
