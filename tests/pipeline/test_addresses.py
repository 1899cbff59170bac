"""Addresses of runs: how they are read, and the run that each leads to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daintree.errors import StageFailed, StoreError, UsageError
from daintree.pipeline.addresses import (
    Address,
    find_output,
    find_run,
    is_named,
    last_execution,
    named_runs,
    parse_address,
)
from daintree.spec.pipeline import Pipeline, load_pipeline
from daintree.store.records import NamedRun, NameRecord, RunManifest, named_run_of
from daintree.store.store import Store, directory_store
from tests.contract.runs import OTHER_RUN, RUN, collect, publish, publish_failed
from tests.pipeline.workshop import Workshop


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return directory_store(tmp_path / "store")


def named(store: Store, name: str, **runs: RunManifest) -> NameRecord:
    record = NameRecord(
        pipeline="words", name=name, runs={s: named_run_of(run) for s, run in runs.items()}
    )
    assert store.write_name(record, None)
    return record


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("words", Address("words")),
        ("words:train", Address("words", "train")),
        ("words@production", Address("words", name="production")),
        ("words:train@v1.2", Address("words", "train", "v1.2")),
        (RUN, Address(RUN)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert is_named(text) == bool(address.name)


@pytest.mark.parametrize(
    "text",
    ["", "@x", "words@", "words:", ":train", "a:b:c", "a@b@c", "a/b@c", "../x", "a b@c", "ä@b"],
)
def test_another_form_is_an_error_that_says_the_form(text: str) -> None:
    assert not is_named(text)
    with pytest.raises(UsageError) as failure:
        parse_address(text)
    assert failure.value.message == f"{text!r} cannot be read"
    assert "PIPELINE[:STAGE]@NAME" in failure.value.hint


def test_each_form_leads_to_its_run(store: Store) -> None:
    first, second = publish(store, RUN), publish(store, OTHER_RUN)
    named(store, "baseline", train=first)
    for text, run in {
        RUN: first,
        OTHER_RUN[:-4]: second,
        "words:train": second,
        "words:train@baseline": first,
        "words@baseline": first,
    }.items():
        assert find_run(store, parse_address(text)) == run


def test_what_nobody_has_named_may_be_the_beginning_of_a_runs_id(store: Store) -> None:
    run, failed = publish(store, RUN), publish_failed(store, OTHER_RUN)
    for text in (f"words:train@{RUN}", f"words:train@{RUN[-8:-2]}"):
        assert find_run(store, parse_address(text)) == run
        assert named_runs(store, parse_address(text)) == {"train": run}
    other = publish(store, RUN.replace("2026", "2025"), stage="rank")
    named(store, RUN[-8:], rank=other)
    assert find_run(store, parse_address(f"words@{RUN[-8:]}")) == other
    for text in (
        f"words:clean@{RUN}",
        f"other:train@{RUN}",
        f"words:train@{RUN[-5:]}",
        f"words:train@{failed.run}",
    ):
        with pytest.raises(UsageError, match="has the name"):
            find_run(store, parse_address(text))


@pytest.mark.parametrize("text", ["wrods", "wrods:train", "wrods@best", "wrods:train@best"])
def test_the_nearest_pipeline_that_has_runs_is_suggested(store: Store, text: str) -> None:
    publish(store, RUN)
    with pytest.raises(UsageError) as failure:
        find_run(store, parse_address(text))
    assert failure.value.hint == "did you mean 'words'?"


def test_a_pipeline_is_no_run_and_its_stages_are_named(store: Store) -> None:
    publish(store, RUN)
    with pytest.raises(UsageError) as failure:
        find_run(store, parse_address("words"))
    assert failure.value.hint == "of which stage? words:train"


def test_a_failed_run_has_no_output_to_take(store: Store) -> None:
    failed = publish_failed(store, RUN)
    with pytest.raises(UsageError, match=f"run {RUN} failed: it {failed.failure}") as failure:
        find_output(store, parse_address(RUN))
    assert failure.value.hint == f"doit show {RUN} has its log"


def test_a_collected_output_cannot_be_taken(store: Store) -> None:
    publish(store, RUN)
    assert collect(store) == ["removed"]
    with pytest.raises(UsageError, match=f"the output of run {RUN} was collected 20") as failure:
        find_output(store, parse_address(RUN))
    assert "by ana@laptop" in failure.value.message
    assert failure.value.hint.startswith("doit run words computes it again")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20990101", "there is no run '20990101'"),
        ("words:nothing", "there is no run 'words:nothing'"),
        ("words@basline", "no run of words has the name 'basline'"),
        ("other@baseline", "no run of other has the name 'baseline'"),
        ("words:clean@baseline", "words@baseline names no run of a stage 'clean'"),
    ],
)
def test_an_unknown_one_is_an_error(store: Store, text: str, message: str) -> None:
    named(store, "baseline", train=publish(store, RUN))
    with pytest.raises(UsageError) as failure:
        find_run(store, parse_address(text))
    assert failure.value.message == message
    assert failure.value.hint


def test_the_nearest_name_is_suggested(store: Store) -> None:
    named(store, "production", train=publish(store, RUN))
    with pytest.raises(UsageError) as failure:
        find_run(store, parse_address("words@prodction"))
    assert failure.value.hint == "did you mean 'production'?"


def test_a_name_of_several_stages_needs_one(store: Store) -> None:
    runs = {"train": publish(store, RUN), "rank": publish(store, OTHER_RUN, stage="rank")}
    named(store, "baseline", **runs)
    assert named_runs(store, parse_address("words@baseline")) == runs
    with pytest.raises(UsageError, match="names no run of a single stage"):
        find_run(store, parse_address("words@baseline"))


def test_a_removed_name_leads_nowhere(store: Store) -> None:
    record = named(store, "baseline", train=publish(store, RUN))
    assert store.write_name(msgspec.structs.replace(record, runs={}), record)
    with pytest.raises(UsageError, match="no run of words has the name"):
        find_run(store, parse_address("words:train@baseline"))


def test_another_run_at_the_place_of_a_named_one_does_not_pass_for_it(store: Store) -> None:
    run = publish(store, RUN)
    other = NamedRun(run.run, run.location, run.keys.content, "sha256:" + "0" * 64, "0" * 64)
    record = NameRecord(pipeline="words", name="baseline", runs={"train": other})
    assert store.write_name(record, None)
    with pytest.raises(StoreError, match=f"run {RUN} is gone .* or damaged"):
        find_run(store, parse_address("words:train@baseline"))


def test_a_stage_without_success_leads_to_its_latest_failure(store: Store) -> None:
    failed = publish_failed(store, RUN)
    assert find_run(store, parse_address("words:train")).failure == failed.failure


class TestLastExecution:
    """The runs that a whole execution ended with, hits too."""

    def pipeline(self, workshop: Workshop) -> Pipeline:
        return load_pipeline(workshop.root, "x", ())

    def execute(self, workshop: Workshop) -> dict[str, str]:
        """Run the pipeline as `doit run` does; its runs by stage."""
        run = workshop.run()
        run.remember()
        return {name: result.record.run for name, result in run.results.items()}

    def last(self, workshop: Workshop) -> dict[str, str]:
        runs = last_execution(workshop.plan().session.store, self.pipeline(workshop))
        return {stage: run.run for stage, run in runs.items()}

    def test_hits_count_though_newer_runs_are_recorded(self, tmp_path: Path) -> None:
        workshop = Workshop(tmp_path)
        first = self.execute(workshop)
        workshop.write("two")
        second = self.execute(workshop)
        assert self.last(workshop) == second
        workshop.write("one")
        assert self.execute(workshop) == first
        assert self.last(workshop) == first

    def test_a_part_of_a_pipeline_is_no_execution_of_it(self, tmp_path: Path) -> None:
        workshop = Workshop(tmp_path)
        first = self.execute(workshop)
        workshop.write("two")
        workshop.run(stage="left").remember()
        assert self.last(workshop) == first

    def test_another_machine_takes_the_last_one_in_the_store(self, tmp_path: Path) -> None:
        workshop = Workshop(tmp_path)
        run = workshop.run()
        assert self.last(workshop) == {n: r.record.run for n, r in run.results.items()}

    def test_an_unfinished_execution_does_not_count(self, tmp_path: Path) -> None:
        workshop = Workshop(tmp_path)
        with pytest.raises(UsageError) as failure:
            self.last(workshop)
        assert failure.value.message == "no complete execution of x is recorded"
        assert failure.value.hint == "doit run x"
        workshop.runner.bodies["join"] = lambda job: 1
        with pytest.raises(StageFailed):
            workshop.run()
        with pytest.raises(UsageError, match="no complete execution"):
            self.last(workshop)
