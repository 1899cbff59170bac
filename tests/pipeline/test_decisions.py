"""What the plan decides, from what the store says: checked against a store that is a dictionary of records."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import ArtifactDamaged
from daintree.pipeline.decisions import (
    FORCED,
    BoundStage,
    Decision,
    Hit,
    Miss,
    Pending,
    SourceIdentity,
    decide,
    decide_all,
    inputs_of,
    with_recipe,
)
from daintree.spec.component import ComponentSpec, Param, Resources, Scalar
from daintree.store.records import IndexRecord

SPEC = ComponentSpec(
    params={
        "epochs": Param(type="int", default=1),
        "threads": Param(type="int", default=1, affects_output=False),
    }
)
SOURCE = SourceIdentity("source-identity", "sha256:source", "data.json")
SOURCES = {"": SOURCE}


def bound(
    name: str,
    needs: Mapping[str, str] | None = None,
    *,
    parameters: Mapping[str, Scalar] | None = None,
    version: str = "v1",
    source: SourceIdentity = SOURCE,
) -> BoundStage:
    """A stage whose `needs` are recipe keys by name."""
    values = {"epochs": 1, "threads": 1, **(parameters or {})}
    unbound = BoundStage(
        name=name,
        component=f"c/{name}",
        version=version,
        files={},
        spec=SPEC,
        parameters=values,
        needs=tuple(needs or ()),
        resources=Resources(),
        environment="image",
        sources=() if needs else ("",),
        recipe="",
    )
    return with_recipe(unbound, needs or {}, {"": source})


def record(run: str, digest: str, inputs: Mapping[str, str], content: str = "") -> IndexRecord:
    """A record; unless said otherwise one that STAGE computed on INPUTS."""
    return IndexRecord(
        run=run,
        location=f"at/{run}",
        content=content or STAGE.content(INPUTS),
        record="0" * 64,
        record_bytes=300,
        digest=digest,
        count=1,
        bytes=1,
        inputs=dict(inputs),
        seconds=1.0,
    )


class Shelf:
    """Records by stage key; the runs in `damaged` do not hold what their records say."""

    def __init__(self) -> None:
        self.records: dict[str, IndexRecord] = {}
        self.damaged: set[str] = set()

    def lookup(self, key: str) -> IndexRecord | None:
        return self.records.get(key)

    def check(self, record: IndexRecord) -> None:
        if record.run in self.damaged:
            raise ArtifactDamaged(f"run {record.run} is damaged", file="x", kind="damaged")

    def decide(self, stage: BoundStage, inputs: Mapping[str, str] | None) -> Decision:
        return decide(stage, inputs, (), self.lookup(stage.recipe), self.lookup, self.check)


INPUTS = {"": "sha256:source"}
STAGE = bound("load")


def test_nothing_in_the_store_is_a_miss_whose_reason_history_tells() -> None:
    assert Shelf().decide(STAGE, INPUTS) == Miss()


def test_a_recipe_record_on_the_same_inputs_is_a_hit() -> None:
    shelf = Shelf()
    shelf.records[STAGE.recipe] = record("r1", "d1", INPUTS)
    assert shelf.decide(STAGE, INPUTS) == Hit(shelf.records[STAGE.recipe])


def test_a_recipe_record_on_other_inputs_counts_for_nothing() -> None:
    shelf = Shelf()
    shelf.records[STAGE.recipe] = record("r1", "d1", {"": "sha256:other"})
    assert shelf.decide(STAGE, INPUTS) == Miss()


def test_a_record_of_another_content_key_counts_for_nothing() -> None:
    shelf = Shelf()
    another = record("r1", "d1", INPUTS, "sha256:another stage's")
    shelf.records = {STAGE.recipe: another, STAGE.content(INPUTS): another}
    assert shelf.decide(STAGE, INPUTS) == Miss()


def test_a_content_record_is_a_hit_to_adopt() -> None:
    shelf = Shelf()
    other = record("r1", "d1", {"another-name": "sha256:source"})
    shelf.records[STAGE.content(INPUTS)] = other
    assert shelf.decide(STAGE, INPUTS) == Hit(other, adopt=True)


def test_a_damaged_recipe_record_is_a_miss_that_says_so() -> None:
    shelf = Shelf()
    broken = record("r1", "d1", INPUTS)
    shelf.records = {STAGE.recipe: broken, STAGE.content(INPUTS): broken}
    shelf.damaged = {"r1"}
    assert shelf.decide(STAGE, INPUTS) == Miss("run r1 is damaged", damaged=broken)


def test_another_run_under_the_content_key_stands_in_for_a_damaged_one() -> None:
    shelf = Shelf()
    whole = record("r2", "d1", INPUTS)
    shelf.records = {STAGE.recipe: record("r1", "d1", INPUTS), STAGE.content(INPUTS): whole}
    shelf.damaged = {"r1"}
    assert shelf.decide(STAGE, INPUTS) == Hit(whole, adopt=True)


def test_two_damaged_runs_are_a_miss_of_the_one_under_the_content_key() -> None:
    shelf = Shelf()
    other = record("r2", "d1", INPUTS)
    shelf.records = {STAGE.recipe: record("r1", "d1", INPUTS), STAGE.content(INPUTS): other}
    shelf.damaged = {"r1", "r2"}
    assert shelf.decide(STAGE, INPUTS) == Miss("run r2 is damaged", damaged=other)


def test_a_source_that_is_not_fetched_is_a_miss() -> None:
    source = SourceIdentity("", None, "https://example.com/x")
    decisions = decide_all([STAGE], {"": source}, {}, frozenset(), Shelf().lookup, Shelf().check)
    assert decisions == {"load": Miss("the source is not fetched yet")}


def test_only_parameters_that_affect_the_output_are_in_the_keys() -> None:
    slower = bound("load", parameters={"threads": 8})
    other = bound("load", parameters={"epochs": 2})
    assert (slower.recipe, slower.content(INPUTS)) == (STAGE.recipe, STAGE.content(INPUTS))
    assert other.recipe != STAGE.recipe
    assert other.content(INPUTS) != STAGE.content(INPUTS)
    assert STAGE.ineffective == ("threads",)
    assert STAGE.effective_parameters == {"epochs": 1}


def test_the_source_counts_only_for_stages_that_read_it() -> None:
    other_source = SourceIdentity("another-identity", "sha256:source", "data.json")
    assert bound("load", source=other_source).recipe != STAGE.recipe
    needs = {"load": STAGE.recipe}
    assert bound("clean", needs, source=other_source).recipe == bound("clean", needs).recipe


def test_a_waiting_stage_names_what_it_waits_for() -> None:
    assert Pending(("clean", "load")).reason == "waits for clean, load"


def test_inputs_are_unknown_until_every_need_is_a_hit() -> None:
    stage = bound("join", {"a": "ra", "b": "rb"})
    a, b = (Hit(record(name, f"d{name}", {})) for name in "ab")
    assert inputs_of(stage, {"a": a, "b": b}, SOURCES) == {"a": "da", "b": "db"}
    for unknown in (Miss(), Pending(("a",))):
        assert inputs_of(stage, {"a": a, "b": unknown}, SOURCES) is None


@pytest.mark.parametrize("first_is_stored", [True, False])
def test_a_forced_stage_is_a_miss_though_it_may_hit_and_whatever_it_waits_for(
    first_is_stored: bool,
) -> None:
    shelf = Shelf()
    clean = bound("clean", {"load": STAGE.recipe})
    after = bound("after", {"clean": clean.recipe})
    if first_is_stored:
        shelf.records[STAGE.recipe] = record("r1", "d1", INPUTS)
        shelf.records[clean.recipe] = record(
            "r2", "d2", {"load": "d1"}, clean.content({"load": "d1"})
        )
    decisions = decide_all(
        [STAGE, clean, after],
        SOURCES,
        shelf.records,
        frozenset({"clean"}),
        shelf.lookup,
        shelf.check,
    )
    assert decisions["clean"] == Miss(FORCED)
    assert decisions["after"] == Pending(("clean",))
    assert decisions["load"].status == ("hit" if first_is_stored else "miss")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[BoundStage], Shelf, frozenset[str]]:
    """Stages that need some of those before them, and a store that holds some runs, some on other inputs, some damaged."""
    stages: list[BoundStage] = []
    shelf = Shelf()
    digests: dict[str, str] = {}
    for place in range(draw(st.integers(1, 6))):
        needs = (
            draw(st.lists(st.sampled_from(stages), unique_by=lambda s: s.name)) if stages else []
        )
        stage = bound(f"s{place}", {need.name: need.recipe for need in needs})
        right = {need.name: digests[need.name] for need in needs} or {"": "sha256:source"}
        digests[stage.name] = f"d{place}"
        for key in (stage.recipe, stage.content(right)):
            if draw(st.booleans()):
                inputs = right if draw(st.booleans()) else dict.fromkeys(right, "sha256:other")
                run = draw(st.sampled_from([f"r{place}a", f"r{place}b"]))
                shelf.records[key] = record(run, digests[stage.name], inputs, stage.content(right))
                if draw(st.integers(0, 3)) == 0:
                    shelf.damaged.add(run)
        stages.append(stage)
    forced = draw(st.frozensets(st.sampled_from([stage.name for stage in stages]), max_size=2))
    return stages, shelf, forced


@given(worlds())
def test_every_decision_is_what_the_store_allows(
    world: tuple[list[BoundStage], Shelf, frozenset[str]],
) -> None:
    stages, shelf, forced = world
    recipes = {stage.recipe: shelf.lookup(stage.recipe) for stage in stages}
    decisions = decide_all(stages, SOURCES, recipes, forced, shelf.lookup, shelf.check)
    assert list(decisions) == [stage.name for stage in stages]
    for stage in stages:
        decision = decisions[stage.name]
        waits_for = tuple(n for n in stage.needs if not isinstance(decisions[n], Hit))
        if stage.name in forced:
            assert decision == Miss(FORCED)
        elif waits_for:
            assert decision == Pending(waits_for)
        else:
            inputs = inputs_of(stage, decisions, SOURCES)
            assert inputs is not None
            _check_settled(stage, decision, inputs, shelf)


def _check_settled(
    stage: BoundStage, decision: Decision, inputs: Mapping[str, str], shelf: Shelf
) -> None:
    """A stage whose inputs are known hits exactly when a whole record of these inputs is there."""
    by_recipe = shelf.lookup(stage.recipe)
    by_content = shelf.lookup(stage.content(inputs))
    usable = [
        candidate
        for candidate, counts in (
            (by_recipe, by_recipe is not None and by_recipe.inputs == inputs),
            (by_content, by_content is not None),
        )
        if counts and candidate is not None and candidate.run not in shelf.damaged
    ]
    if isinstance(decision, Hit):
        assert decision.record == usable[0]
        assert decision.adopt is (
            by_recipe is None or by_recipe.inputs != inputs or by_recipe.run in shelf.damaged
        )
    else:
        assert isinstance(decision, Miss)
        assert usable == []
        if decision.damaged is not None:
            assert decision.damaged.run in shelf.damaged
            assert decision.reason == f"run {decision.damaged.run} is damaged"
        else:
            assert by_content is None
