"""A plan as doit tasks: order, hits, pending stages, failures, single stages, and where the output goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daintree.errors import EnvironmentFailed, StageFailed, UsageError
from daintree.pipeline.decisions import Miss
from daintree.pipeline.engine import PipelineRun
from daintree.runners.runner import Job
from tests.pipeline.workshop import Screen, Workshop

STAGES = ["load", "left", "right", "join"]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "project")


def statuses(run: PipelineRun) -> dict[str, str]:
    return {name: result.status for name, result in run.results.items()}


def writes(text: str) -> Callable[[Job], int]:
    """A stage with this output."""

    def body(job: Job) -> int:
        (job.output / "result.txt").write_text(text)
        return 0

    return body


def fails(job: Job) -> int:
    return 3


def test_stages_run_after_those_they_need_and_are_hits_afterwards(workshop: Workshop) -> None:
    first = workshop.run()
    assert workshop.runner.executed == STAGES
    assert statuses(first) == dict.fromkeys(STAGES, "run")
    second = workshop.run()
    assert workshop.runner.executed == STAGES
    assert statuses(second) == dict.fromkeys(STAGES, "hit")
    assert (workshop.root / "out" / "result.txt").read_text() == "join"
    assert first.output == second.output == "out"
    assert first.is_complete


def test_a_stage_brings_those_it_needs_and_no_others(workshop: Workshop) -> None:
    run = workshop.run(stage="right")
    assert workshop.runner.executed == ["load", "right"]
    assert run.is_complete
    assert not (workshop.root / "out").exists(), "the pipeline's output is not made of a part of it"


def test_a_pending_stage_looks_again_and_reports_a_hit(workshop: Workshop) -> None:
    workshop.run()
    workshop.versions["c/load"] = "2"
    planned = workshop.plan()
    assert workshop.statuses(planned) == {
        "load": "miss", "left": "pending", "right": "pending", "join": "pending",
    }  # fmt: skip
    screen = Screen()
    run = PipelineRun(planned, screen)
    assert not run.is_up_to_date("left"), "a pending stage is its action's to decide"
    finished = workshop.run(planned)
    assert workshop.runner.executed == [*STAGES, "load"], "the same bytes as before: early cutoff"
    assert statuses(finished) == {"load": "run", "left": "hit", "right": "hit", "join": "hit"}
    assert workshop.statuses() == dict.fromkeys(STAGES, "hit"), "by their recipe keys from now on"


def test_what_another_run_has_published_meanwhile_is_a_hit(workshop: Workshop) -> None:
    late = workshop.plan()
    workshop.run()
    run = workshop.run(late)
    assert workshop.runner.executed == STAGES
    assert statuses(run) == dict.fromkeys(STAGES, "hit")


def test_a_forced_stage_is_computed_though_it_hits(workshop: Workshop) -> None:
    workshop.run()
    run = workshop.run(workshop.plan(force=("left",)))
    assert workshop.runner.executed == [*STAGES, "left"]
    assert statuses(run) == {"load": "hit", "left": "run", "right": "hit", "join": "hit"}


@pytest.mark.parametrize("jobs", [1, 4])
def test_after_a_failure_nothing_that_needs_it_runs(workshop: Workshop, jobs: int) -> None:
    workshop.runner.bodies["load"] = fails
    with pytest.raises(StageFailed, match="stage x:load ended with exit code 3"):
        workshop.run(jobs=jobs)
    assert workshop.runner.executed == ["load"]
    assert not (workshop.root / "out").exists()


def test_keep_going_runs_what_does_not_need_the_failed_stage(workshop: Workshop) -> None:
    workshop.runner.bodies["left"] = fails
    with pytest.raises(StageFailed, match="x:left"):
        workshop.run(keep=True)
    assert workshop.runner.executed == ["load", "left", "right"]
    workshop.runner.bodies["left"] = fails
    with pytest.raises(StageFailed, match="x:left"):
        workshop.run()
    assert workshop.statuses() == {
        "load": "hit", "left": "miss", "right": "hit", "join": "pending",
    }  # fmt: skip


def test_a_bug_is_raised_as_it_is_and_an_interrupt_passes(workshop: Workshop) -> None:
    def bug(job: Job) -> int:
        raise ZeroDivisionError

    def interrupt(job: Job) -> int:
        raise KeyboardInterrupt

    workshop.runner.bodies["load"] = bug
    with pytest.raises(ZeroDivisionError):
        workshop.run()
    workshop.runner.bodies["load"] = interrupt
    run = PipelineRun(workshop.plan(), Screen())
    with pytest.raises(KeyboardInterrupt):
        run.execute("load")
    run.cancel()
    with pytest.raises(KeyboardInterrupt):
        run.execute("load")
    assert run.failures == []


def test_one_stage_alone_reads_what_the_store_has(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="the store has no output of left, right"):
        workshop.run(workshop.plan(only="join"))
    workshop.run()
    run = workshop.run(workshop.plan(only="join", force=("join",)))
    assert workshop.runner.executed == [*STAGES, "join"]
    assert run.target == "x:join"
    assert run.is_complete


@pytest.mark.parametrize("thorough", [True, False], ids=["bytes", "file"])
def test_a_damaged_input_is_computed_again_before_it_is_read(
    workshop: Workshop, thorough: bool
) -> None:
    first = workshop.run()
    workshop.versions["c/join"] = "2"
    planned = workshop.plan()
    output = Path(first.session.store.output_path(first.results["left"].record))
    output.chmod(0o755)
    (output / "result.txt").chmod(0o644)
    if thorough:
        (output / "result.txt").write_text("LEFT")
    else:
        (output / "result.txt").unlink()
    run = workshop.run(planned)
    assert workshop.runner.executed == [*STAGES, "left", "join"]
    assert statuses(run)["left"] == "run"
    assert run.events.texts.count("left works") == 1  # type: ignore[attr-defined]


def test_a_damaged_output_is_computed_again_before_it_is_copied(workshop: Workshop) -> None:
    first = workshop.run()
    planned = workshop.plan(output="copy")
    output = Path(first.session.store.output_path(first.results["join"].record))
    (output / "result.txt").chmod(0o644)
    (output / "result.txt").write_text("JOIN")
    workshop.run(planned)
    assert workshop.runner.executed == [*STAGES, "join"]
    assert (workshop.root / "copy" / "result.txt").read_text() == "join"


def test_an_output_directory_of_somebody_is_refused_before_anything_runs(
    workshop: Workshop,
) -> None:
    (workshop.root / "out").mkdir()
    (workshop.root / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="thesis"):
        workshop.run()
    assert workshop.runner.executed == []


def test_a_run_leaves_nothing_of_doit_on_disk(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    workshop.run()
    assert list(directory.iterdir()) == []


def test_a_chain_needs_no_threads(tmp_path: Path, workshop: Workshop) -> None:
    chain = Workshop(tmp_path / "chain", "source: data.txt\nstages: [c/load, c/clean, c/train]\n")
    assert PipelineRun(chain.plan(), Screen()).is_chain
    assert not PipelineRun(workshop.plan(), Screen()).is_chain


def test_a_changed_source_is_read_and_the_same_bytes_end_the_chain(workshop: Workshop) -> None:
    workshop.run()
    workshop.runner.bodies["load"] = writes("other")
    workshop.write("two")
    run = workshop.run()
    assert statuses(run) == {"load": "run", "left": "run", "right": "run", "join": "hit"}
    assert run.plan.decisions["load"] == Miss()


def test_what_the_runner_refuses_is_told_before_anything_runs(workshop: Workshop) -> None:
    workshop.runner.refused.add("c/join")
    with pytest.raises(EnvironmentFailed, match="c/join is refused"):
        workshop.run()
    assert workshop.runner.executed == []
    workshop.run(stage="right")
    assert workshop.runner.executed == ["load", "right"]
