"""Selection of what goes: never a root, by age, by rank in its stage, and by what frees most for the time it costs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from daintree.store.garbage import (
    NOTHING_LEADS,
    RETIRED,
    KeptSource,
    Output,
    Policy,
    Roots,
    Survey,
    select,
)

DAY = 86400.0
NOW = 1000 * DAY


def output(number: int, *, age: float = 1, **changed: object) -> Output:
    """An output of this many days of age that a key leads to."""
    facts: dict[str, object] = {
        "run": f"run-{number}",
        "location": f"place-{number}",
        "pipeline": "words",
        "stage": "count",
        "version": f"version-{number}",
        "environment": "image",
        "content": f"content-{number}",
        "recipe": f"recipe-{number}",
        "finished": NOW - age * DAY,
        "seconds": 10.0,
        "bytes": 100,
        "files": 1,
        "keys": (f"content-{number}",),
    }
    return Output(**{**facts, **changed})  # type: ignore[arg-type]


def survey(*outputs: Output, sources: Sequence[KeptSource] = ()) -> Survey:
    """A store of these outputs and sources, and nothing else."""
    items: list[Output | KeptSource] = [*outputs, *sources]
    return Survey(outputs, tuple(sources), sum(item.bytes for item in items))


def gone(surveyed: Survey, policy: Policy, roots: Roots | None = None) -> list[str]:
    """The runs, or digests, that go, in their order."""
    doomed = select(surveyed, roots or Roots(), policy, NOW)
    items = [one.item for one in doomed]
    return [item.run if isinstance(item, Output) else item.digest for item in items]


def test_without_a_policy_only_that_goes_which_nothing_leads_to() -> None:
    surveyed = survey(output(1), output(2, keys=()), output(3, keys=(), retired=NOW - 1))
    doomed = select(surveyed, Roots(), Policy(), NOW)
    assert [one.why for one in doomed] == [NOTHING_LEADS, RETIRED]


def test_a_key_that_leads_to_no_file_goes_in_any_case() -> None:
    assert gone(survey(output(1, files=0, bytes=0)), Policy()) == ["run-1"]


def test_what_is_older_goes() -> None:
    surveyed = survey(output(1, age=31), output(2, age=29))
    assert gone(surveyed, Policy(older_than=30 * DAY)) == ["run-1"]


def test_all_but_the_last_of_each_stage_go() -> None:
    outputs = [output(n, age=n) for n in (3, 1, 2)] + [output(9, age=9, stage="clean")]
    assert gone(survey(*outputs), Policy(keep_last=2)) == ["run-3"]


def test_the_last_of_a_stage_are_those_of_its_project() -> None:
    outputs = [output(1, age=5, project="mine"), output(2, age=1, project="theirs")]
    assert gone(survey(*outputs), Policy(keep_last=1)) == []


def test_an_output_that_nothing_leads_to_is_not_among_the_last() -> None:
    surveyed = survey(output(1, age=1, keys=()), output(2, age=2))
    assert gone(surveyed, Policy(keep_last=1)) == ["run-1"]


def test_the_last_stay_however_old_they_are() -> None:
    surveyed = survey(*(output(n, age=40 + n) for n in (1, 2, 3)))
    assert gone(surveyed, Policy(older_than=30 * DAY, keep_last=2)) == ["run-3"]
    assert gone(surveyed, Policy(max_size=0, keep_last=2)) == ["run-3"]


def test_most_bytes_for_a_second_go_first_and_the_oldest_among_equals() -> None:
    surveyed = survey(
        output(1, bytes=100, seconds=100.0),
        output(2, bytes=100, seconds=1.0),
        output(3, age=5, bytes=50, seconds=5.0),
        output(4, age=6, bytes=100, seconds=10.0),
    )
    assert gone(surveyed, Policy(max_size=0)) == ["run-2", "run-4", "run-3", "run-1"]
    assert gone(surveyed, Policy(max_size=150)) == ["run-2", "run-4"]


def test_what_costs_nothing_goes_before_what_costs_something() -> None:
    source = KeptSource("sha256:1", 10, NOW)
    surveyed = survey(output(1, seconds=0.001), output(2, keys=()), sources=[source])
    assert gone(surveyed, Policy(max_size=105)) == ["run-2", "sha256:1"]


def test_sources_go_by_their_age() -> None:
    sources = [KeptSource("sha256:1", 10, NOW - 40 * DAY), KeptSource("sha256:2", 10, NOW)]
    assert gone(survey(sources=sources), Policy(older_than=30 * DAY)) == ["sha256:1"]
    kept_roots = Roots(sources=frozenset(["sha256:1"]))
    assert gone(survey(sources=sources), Policy(older_than=30 * DAY), kept_roots) == []


def test_another_project_s_outputs_are_not_this_one_s_to_remove() -> None:
    read = [(), ("shop",), ("shop", "fraud")]
    sources = [KeptSource(f"sha256:{n}", 10, 0.0, 0, names) for n, names in enumerate(read)]
    surveyed = survey(
        output(1, project="shop"), output(2, project="fraud"), output(3), sources=sources
    )
    for limit in (Policy(older_than=0), Policy(max_size=0), Policy(keep_last=0)):
        own = msgspec.structs.replace(limit, project="shop")
        assert {name for name in gone(surveyed, own) if name.startswith("run")} == {"run-1"}
        assert "sha256:2" not in gone(surveyed, own)
        assert {"run-1", "run-2", "run-3"} <= set(gone(surveyed, limit))
    assert gone(surveyed, Policy(older_than=0, project="shop"))[1:] == ["sha256:0", "sha256:1"]


def test_what_a_collection_has_begun_is_finished_by_whoever_comes() -> None:
    outputs = [
        output(1, project="fraud", keys=(), retired=NOW - 1),
        output(2, project="fraud", files=0),
        output(3, project="fraud", keys=()),
    ]
    begun = KeptSource("sha256:1", 10, 0.0, NOW - 1, ("fraud",))
    surveyed = survey(*outputs, sources=[begun])
    assert gone(surveyed, Policy(project="shop")) == ["run-1", "run-2", "sha256:1"]


ROOTS = st.sampled_from(
    [
        Roots(locations=frozenset(["place-1"])),
        Roots(pipelines=frozenset(["words"])),
        Roots(versions=frozenset(["version-1"])),
    ]
)
LIMITS = st.none() | st.integers(0, 5)


@given(roots=ROOTS, older=LIMITS, last=LIMITS, largest=LIMITS, keys=st.booleans())
def test_a_root_never_goes(
    roots: Roots, older: int | None, last: int | None, largest: int | None, keys: bool
) -> None:
    root = output(1, age=900, keys=("content-1",) if keys else ())
    policy = Policy(older_than=older, keep_last=last, max_size=largest)
    assert "run-1" not in gone(survey(root, output(2)), policy, roots)


@given(
    sizes=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.integers(0, 9))),
    largest=st.integers(0, 300),
)
def test_a_store_is_brought_to_its_size_and_no_further(
    sizes: list[tuple[int, int, int]], largest: int
) -> None:
    outputs = [
        output(number, bytes=size, seconds=float(seconds), age=age)
        for number, (size, seconds, age) in enumerate(sizes)
    ]
    doomed = [one.item for one in select(survey(*outputs), Roots(), Policy(max_size=largest), NOW)]
    left = sum(one.bytes for one in outputs) - sum(one.bytes for one in doomed)
    assert left <= largest
    assert not doomed or left + doomed[-1].bytes > largest
