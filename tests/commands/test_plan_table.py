"""The plan for people and for programs: statuses, reasons in words, and a cost that is never guessed."""

from __future__ import annotations

import json
import pty
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from daintree.commands.plan import plan_as_json, plan_table
from daintree.pipeline.decisions import Hit, Miss, Pending
from daintree.pipeline.plan import Planned
from daintree.pipeline.reasons import reason
from daintree.store.records import InputRecord, RunManifest
from daintree.terminal import printable


@pytest.fixture
def mixed(
    planned: Callable[..., Planned], hit: Callable[[str, float], Hit], manifest: RunManifest
) -> Planned:
    """One stage of each status; `right` and `join` have run before."""
    right = msgspec.structs.replace(manifest, stage="right", component="c/gone", seconds=2.0)
    return planned(
        {
            "load": hit("r1", 3.0),
            "left": Miss(),
            "right": Miss(),
            "join": Pending(("left", "right")),
        },
        last={"right": right, "join": manifest},
    )


def test_each_stage_has_a_row_with_status_duration_and_reason(mixed: Planned) -> None:
    assert plan_table(mixed) == [
        f"x: runner local, source data.json, store {mixed.session.store.url}",
        "  stage  status   last    reason",
        "  load   HIT      3.00 s  unchanged",
        "  left   MISS     -       no run recorded",
        "  right  MISS     2.00 s  component c/gone → c/work; environment venv-3.11-linux-x86_64 → image; other needs: load",
        "  join   PENDING  12.3 s  waits for left, right",
        "2 stages to run (2.00 s and 1 unknown), 1 pending (at most 12.3 s), 1 hit (saves 3.00 s)",
    ]


def test_programs_get_the_contract(mixed: Planned) -> None:
    report = plan_as_json(mixed)
    assert (report["pipeline"], report["runner"]) == ("x", "local")
    assert [list(stage) for stage in report["stages"]] == [
        ["name", "component", "version", "status", "reason", "key", "run", "last_seconds"]
    ] * 4
    load, left, _, join = report["stages"]
    assert load == {
        "name": "load",
        "component": "c/load",
        "version": "sha256:c/load",
        "status": "hit",
        "reason": "unchanged",
        "key": mixed.plan.stages[0].recipe,
        "run": "r1",
        "last_seconds": 3.0,
    }
    assert (left["status"], left["run"], left["last_seconds"]) == ("miss", None, None)
    assert (join["status"], join["run"], join["last_seconds"]) == ("pending", None, 12.34)
    assert json.loads(json.dumps(report)) == report


def test_a_plan_of_hits_says_that_there_is_nothing_to_run(
    planned: Callable[..., Planned], hit: Callable[[str, float], Hit]
) -> None:
    plan = planned({name: hit(name, 2.5) for name in ("load", "left", "right", "join")})
    assert plan_table(plan)[-1] == "nothing to run: 4 hits, 10.0 s saved"


def test_a_first_run_costs_nobody_knows_what(planned: Callable[..., Planned]) -> None:
    plan = planned(
        {
            "load": Miss(),
            "left": Pending(("load",)),
            "right": Pending(("load",)),
            "join": Pending(("left",)),
        }
    )
    assert plan_table(plan)[-1] == (
        "1 stage to run (duration unknown), 3 pending (duration unknown)"
    )


def test_a_hit_by_content_says_so(
    planned: Callable[..., Planned], hit: Callable[[str, float], Hit]
) -> None:
    adopted = msgspec.structs.replace(hit("r1", 1.0), adopt=True)
    plan = planned({"load": adopted}, pipeline=b"source: s\nstages: [c/load]\n")
    assert plan_as_json(plan)["stages"][0]["reason"] == "same inputs as an earlier run"


def test_a_run_that_knows_more_inputs_than_the_plan_says_which_changed(
    planned: Callable[..., Planned], manifest: RunManifest
) -> None:
    """A stage that was pending turns out a miss because the output of its need came out different."""
    last = msgspec.structs.replace(
        manifest,
        stage="left",
        component="c/work",
        version="sha256:c/work",
        environment="image",
        parameters={},
        inputs=(InputRecord("load", "old", ""),),
    )
    session, plan = planned({"load": Miss(), "left": Pending(("load",))}, last={"left": last})
    left = plan.stages[1]
    assert reason(session, plan, left, Miss(), {"load": "new"}) == "the output of load changed"
    assert reason(session, plan, left, Miss(), {"load": "old"}) == "its run is gone from the store"


def test_on_a_terminal_the_status_is_coloured_and_nothing_else(
    planned: Callable[..., Planned], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = planned(
        {"MISS": Miss()}, pipeline=b"source: s\nstages: [{component: c/x, name: MISS}]\n"
    )
    leader, follower = pty.openpty()
    with open(leader, "rb"), open(follower, "w") as terminal:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("sys.stdout", terminal)
        lines = [printable(line) for line in plan_table(plan)]
    assert lines[1] == "  stage  status  last  reason"
    assert lines[2] == "  MISS   \033[31mMISS\033[0m    -     no run recorded"
