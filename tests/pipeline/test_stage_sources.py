"""Sources of a run's stages: each counts for the stages that name it, and lies where they look for it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daintree.errors import SpecError, UsageError
from daintree.pipeline.decisions import Miss
from daintree.pipeline.plan import read_last_runs, refresh_tokens
from daintree.pipeline.reasons import reason
from daintree.runners.runner import Job
from daintree.spec.pipeline import read_pipeline
from tests.pipeline.workshop import Body, Workshop

NAMED = """
sources: {ratings: ratings, items: items/*.csv}
output: out
stages:
  - {component: c/clean, needs: [source.ratings]}
  - {component: c/price, needs: [source.items]}
  - {component: c/join, needs: [source.items, clean, price]}
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path / "project", NAMED)
    for name in ("ratings/r.csv", "items/i.csv", "items/notes.txt"):
        path = made.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return made


def reads(inputs: dict[str, list[str]], name: str) -> Body:
    def body(job: Job) -> int:
        inputs[name] = sorted(_files(Path(job.input)))
        (job.output / "result.txt").write_text(name)
        return 0

    return body


def _files(directory: Path) -> list[str]:
    """The files as most programs look for them: a walk that passes over links to directories."""
    return [
        str(Path(path, name).relative_to(directory))
        for path, _, names in os.walk(directory)
        for name in names
    ]


def test_a_stage_finds_one_input_in_its_input_and_several_below_it(workshop: Workshop) -> None:
    inputs: dict[str, list[str]] = {}
    workshop.runner.bodies = {name: reads(inputs, name) for name in ("clean", "price", "join")}
    workshop.run()
    assert inputs == {
        "clean": ["r.csv"],
        "price": ["i.csv"],
        "join": ["clean/result.txt", "items/i.csv", "price/result.txt"],
    }
    session, plan = workshop.plan()
    run = session.last_run("join")
    assert run is not None
    assert [(i.name, i.is_source) for i in run.inputs] == [
        ("clean", False),
        ("items", True),
        ("price", False),
    ]
    assert plan.origins == "ratings=ratings, items=items/*.csv"


def test_a_source_counts_only_for_the_stages_that_name_it(workshop: Workshop) -> None:
    workshop.run()
    (workshop.root / "items/i.csv").write_text("other")
    planned = workshop.plan()
    assert workshop.statuses(planned) == {"clean": "hit", "price": "miss", "join": "pending"}
    read_last_runs(*planned)
    why = reason(*planned, planned.plan.stage("price"), Miss())
    assert why == "the source items changed"
    (workshop.root / "items/notes.txt").write_text("it matches nothing")
    workshop.run()
    assert set(workshop.statuses().values()) == {"hit"}


def test_a_single_sources_name_is_in_no_content_key(workshop: Workshop) -> None:
    workshop.run()
    for text in (NAMED.replace("ratings:", "stars:").replace("source.ratings", "source.stars"),):
        (workshop.root / "pipelines/x.yaml").write_text(text)
        assert set(workshop.statuses().values()) == {"hit"}
    short = "source: ratings\noutput: out\nstages: [c/clean]\n"
    (workshop.root / "pipelines/x.yaml").write_text(short)
    assert workshop.statuses() == {"clean": "hit"}


def test_another_source_may_be_given_for_each_name(workshop: Workshop, tmp_path: Path) -> None:
    workshop.run()
    (workshop.root / "other").mkdir()
    (workshop.root / "other/r.csv").write_text("other")
    planned = workshop.plan(sources=("ratings=other",))
    assert workshop.statuses(planned) == {"clean": "miss", "price": "hit", "join": "pending"}
    assert planned.plan.origins == "ratings=other, items=items/*.csv"


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("other", "'other': which source of pipeline 'x' is it for?", "--source ratings=PATH"),
        ("ratings=", "which source", "--source ratings=PATH"),
        ("rating=a", "pipeline 'x' has no source 'rating'", "did you mean 'ratings'?"),
    ],
)
def test_a_source_that_the_pipeline_does_not_have_is_an_error(
    word: str, message: str, hint: str, workshop: Workshop
) -> None:
    with pytest.raises(UsageError) as failure:
        workshop.plan(sources=(word,))
    assert message in failure.value.message
    assert hint in failure.value.hint


def test_the_one_source_may_have_any_name() -> None:
    pipeline = read_pipeline(b"source: x\nstages: [a/b]\n", "pipelines/x.yaml", "x")
    assert pipeline.typed_sources(("a=b.csv",)) == {"": "a=b.csv"}
    assert pipeline.typed_sources(()) == {}


QUERY = """
output: out
stages:
  - {component: c/query, refresh: %s}
  - c/clean
"""
STEPS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}


@pytest.mark.parametrize("refresh", STEPS)
def test_a_stage_without_a_source_is_computed_once_in_its_time(
    refresh: str, tmp_path: Path
) -> None:
    workshop = Workshop(tmp_path / "project", QUERY % refresh)
    inputs: dict[str, list[str]] = {}
    workshop.runner.bodies["query"] = reads(inputs, "query")
    workshop.run()
    assert inputs == {"query": []}
    workshop.now += timedelta(minutes=44)
    assert set(workshop.statuses().values()) == {"hit"}
    before = refresh_tokens(workshop.now)[refresh]
    workshop.now += STEPS[refresh]
    planned = workshop.plan()
    assert workshop.statuses(planned) == {"query": "miss", "clean": "pending"}
    why = reason(*planned, planned.plan.stage("query"), Miss())
    assert why == f"refresh {before} → {refresh_tokens(workshop.now)[refresh]}"
    workshop.run(planned)
    assert workshop.runner.executed == ["query", "clean", "query"], "the same bytes: clean is a hit"


def test_always_is_each_plan_anew_and_never_is_once(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "project", QUERY % "always")
    planned = workshop.plan()
    workshop.run(planned)
    token = planned.plan.stage("query").refresh
    run = planned.session.last_run("query")
    workshop.run(planned)
    assert run is None or run.refresh == token
    assert workshop.statuses()["query"] == "miss"
    (workshop.root / "pipelines/x.yaml").write_text(QUERY % "never")
    workshop.run()
    workshop.now += timedelta(days=4000)
    assert set(workshop.statuses().values()) == {"hit"}


def test_a_refresh_holds_for_a_stage_with_inputs_too(tmp_path: Path) -> None:
    text = "source: data.txt\nstages: [{component: c/query, refresh: 1d}]\n"
    workshop = Workshop(tmp_path / "project", text)
    workshop.run()
    assert workshop.statuses() == {"query": "hit"}
    workshop.now += timedelta(days=1)
    assert workshop.statuses() == {"query": "miss"}


def test_tokens_are_of_utc_and_weeks_begin_on_monday() -> None:
    tokens = refresh_tokens(datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    assert tokens["1h"] == "2026-03-01T23Z"
    assert (tokens["1d"], tokens["7d"]) == ("2026-03-01", "week of 2026-02-23")
    assert "never" not in tokens
    assert tokens["always"] != refresh_tokens(datetime(2026, 3, 1, 23, 59, tzinfo=UTC))["always"]


@pytest.mark.parametrize("output", ["ratings", "ratings/out", "items/out.csv"])
def test_a_source_that_holds_the_output_is_refused_before_anything_runs(
    output: str, workshop: Workshop
) -> None:
    with pytest.raises(UsageError, match="holds the pipeline's output"):
        workshop.run(workshop.plan(output=output))
    assert workshop.runner.executed == []


def test_a_source_that_holds_the_store_is_refused(workshop: Workshop) -> None:
    planned = workshop.plan(sources=("ratings=.",), output="../out")
    with pytest.raises(UsageError, match="holds the store"):
        workshop.run(planned)


def test_another_pipelines_output_is_refused_before_anything_runs(workshop: Workshop) -> None:
    (workshop.root / "pipelines/y.yaml").write_text(
        "source: data.txt\noutput: out/y\nstages: [a/b]\n"
    )
    with pytest.raises(SpecError, match="lie one in the other"):
        workshop.run()
    assert workshop.runner.executed == []
    workshop.run(workshop.plan(output="elsewhere"))
