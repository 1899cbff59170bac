"""When a watched pipeline runs, and what is told: looks are made by the test, there is nothing to wait for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from daintree.commands.watch import Watch, WatchedPipeline, WatchReport, failed_before
from daintree.errors import DaintreeError, SourceError, SpecError, StageFailed, StoreUnavailable
from daintree.pipeline.decisions import Decision, Hit, Miss, SourceIdentity
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Plan, Planned
from daintree.pipeline.session import Session
from daintree.store.records import Keys, RunManifest
from tests.contract.runs import key_of, manifest_of, record_of

GONE = SourceError("the source corpus.txt does not exist")
FAILED = StageFailed("stage words:train ended with exit code 1")


class Bench(WatchedPipeline, WatchReport):
    """A source, a store's answer and a runner as the test wants them; `told` and `runs` are what came of it."""

    def __init__(self, *, there: bool = False, last: RunManifest | None = None) -> None:
        self.source: str | DaintreeError = "one"
        self.planning: DaintreeError | None = None
        self.running: DaintreeError | None = None
        self.while_running: str = ""
        self.decision: Decision = Hit(record_of()) if there else Miss()
        self.last = last
        self.events: list[str] = []
        self.runs: list[str] = []
        self.watch = Watch(self, self)

    def identify(self) -> str:
        if isinstance(self.source, DaintreeError):
            raise self.source
        return self.source

    def plan(self) -> Planned:
        if self.planning:
            raise self.planning
        stage = SimpleNamespace(
            name="train", needs=(), sources=("",), content=lambda inputs: key_of(inputs[""])
        )
        history = [self.last] if self.last else []
        plan = SimpleNamespace(
            pipeline=SimpleNamespace(name="words"),
            stages=(stage,),
            decisions={"train": self.decision},
            identities={"": SourceIdentity(self.identify(), self.identify(), "corpus.txt")},
        )
        by_place = {run.location: run for run in history}
        store = SimpleNamespace(
            history=lambda pipeline, stage: iter(history), read_run=by_place.__getitem__
        )
        return Planned(cast(Session, SimpleNamespace(store=store)), cast(Plan, plan))

    def run(self, planned: Planned) -> None:
        self.runs.append(planned.plan.identities[""].identity)
        if self.while_running:
            self.source, self.while_running = self.while_running, ""
        if self.running:
            raise self.running

    def watching(self, pipeline: str, interval: float) -> None:
        """Of no interest here, as what follows a run."""

    def ran(self, run: PipelineRun, seconds: float) -> None: ...

    def unchanged(self, plan: Plan) -> None:
        self.events.append("unchanged")

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        self.events.append(f"failed before: {run.run}")

    def starting(self, plan: Plan) -> None:
        self.events.append("starting")

    def failed(self, error: DaintreeError) -> None:
        self.events.append(f"failed: {error.message}")

    def away(self, error: DaintreeError) -> None:
        self.events.append(f"away: {error.message}")

    def back(self) -> None:
        self.events.append("back")

    def look(self, source: str | DaintreeError | None = None) -> list[str]:
        """Look, at this source from now on; what was told."""
        self.source = source or self.source
        before = len(self.events)
        self.watch.look()
        return self.events[before:]


def failed_on(source: str) -> RunManifest:
    return manifest_of(keys=Keys(key_of("recipe"), key_of(source)))


def test_what_is_missing_runs_at_the_first_look_and_then_once_a_change() -> None:
    bench = Bench()
    assert bench.look() == ["starting"]
    assert bench.look() == []
    assert bench.look("two") == ["starting"]
    assert bench.look() == []
    assert bench.look("one") == ["starting"], "back to an older one is a change"
    assert bench.runs == ["one", "two", "one"]


def test_what_is_all_there_at_the_first_look_is_not_run() -> None:
    bench = Bench(there=True)
    assert bench.look() == ["unchanged"]
    assert bench.look() == []
    assert bench.look("two") == ["starting"]


def test_a_run_that_fails_is_told_and_waits_for_a_change() -> None:
    bench = Bench()
    bench.running = FAILED
    assert bench.look() == ["starting", f"failed: {FAILED.message}"]
    assert bench.look() == []
    bench.running = None
    assert bench.look("two") == ["starting"]
    assert bench.runs == ["one", "two"]


def test_a_change_during_a_run_leads_to_one_more() -> None:
    bench = Bench()
    bench.while_running = "two"
    bench.look()
    assert bench.look() == ["starting"]
    assert bench.look() == []
    assert bench.runs == ["one", "two"]


def test_a_source_that_is_away_is_told_once_and_so_is_its_return() -> None:
    bench = Bench()
    bench.look()
    assert bench.look(GONE) == [f"away: {GONE.message}"]
    assert bench.look(SourceError("the source corpus.txt broke off after 7 bytes")) == []
    assert bench.look(StoreUnavailable("no server")) == ["away: no server"], "another trouble"
    assert bench.look("one") == ["back"], "nothing has changed"
    assert bench.look(GONE) == [f"away: {GONE.message}"]
    assert bench.look("two") == ["back", "starting"]
    assert bench.runs == ["one", "two"]


def test_what_is_away_at_the_start_is_waited_for() -> None:
    bench = Bench()
    assert bench.look(GONE) == [f"away: {GONE.message}"]
    assert bench.look("one") == ["back", "starting"]


def test_a_change_is_not_lost_while_it_cannot_be_planned() -> None:
    bench = Bench()
    bench.look()
    bench.planning = StoreUnavailable("no server")
    assert bench.look("two") == ["away: no server"]
    assert bench.look() == []
    bench.planning = None
    assert bench.look() == ["back", "starting"]
    assert bench.runs == ["one", "two"]


@pytest.mark.parametrize("error", [GONE, StoreUnavailable("no server")], ids=["source", "server"])
def test_a_run_during_which_something_went_away_is_made_up_for(error: DaintreeError) -> None:
    bench = Bench()
    bench.running = error
    assert bench.look() == ["starting", f"away: {error.message}"]
    bench.running = None
    assert bench.look() == ["back", "starting"]
    assert bench.look() == []


def test_what_the_project_has_wrong_ends_the_watch_at_its_start_alone() -> None:
    bench = Bench()
    bench.planning = SpecError("pipelines/words.yaml:3: unknown key")
    with pytest.raises(SpecError):
        bench.look()
    bench.planning = None
    bench.look()
    bench.planning = SpecError("pipelines/words.yaml:3: unknown key")
    assert bench.look("two") == ["away: pipelines/words.yaml:3: unknown key"]


def test_what_failed_on_the_same_source_before_is_not_run_at_the_first_look() -> None:
    bench = Bench(last=failed_on("one"))
    assert bench.look() == [f"failed before: {bench.last and bench.last.run}"]
    assert bench.look("two") == ["starting"]
    assert bench.look("one") == ["starting"], "a change is a reason to try"


@pytest.mark.parametrize(
    ("last", "is_known"),
    [
        (failed_on("one"), True),
        (failed_on("another"), False),
        (manifest_of(keys=Keys(key_of("recipe"), key_of("one")), result="succeeded"), False),
        (None, False),
    ],
)
def test_a_failure_counts_for_the_same_inputs_alone(
    last: RunManifest | None, is_known: bool
) -> None:
    assert failed_before(Bench(last=last).plan()) is (last if is_known else None)
    assert failed_before(Bench(there=True, last=last).plan()) is None


def test_once_runs_what_is_missing_and_raises_what_is_wrong() -> None:
    bench = Bench()
    assert bench.watch.once()
    assert bench.events == ["starting"]
    bench.running = FAILED
    with pytest.raises(StageFailed):
        bench.watch.once()
    bench.source = GONE
    with pytest.raises(SourceError):
        bench.watch.once()


def test_once_tells_what_is_there_and_what_has_failed() -> None:
    there, failed = Bench(there=True), Bench(last=failed_on("one"))
    assert there.watch.once()
    assert not failed.watch.once()
    assert there.events == ["unchanged"]
    assert failed.events == [f"failed before: {failed.last and failed.last.run}"]
    assert there.runs == failed.runs == []
