"""`doit store --orphans`: what a run that was killed has left is shown, and removed when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.projects import Project


def left_behind(project: Project) -> Path:
    """A staging place whose owner has died."""
    place = Path(project.environ["DAINTREE_STORE"]) / "_staging/killed"
    (place / "run/output").mkdir(parents=True)
    (place / "run/output/a.csv").write_bytes(b"12345")
    return place


def test_orphans_are_shown_and_removed_when_asked_for(ran: Project) -> None:
    store, left = ran.environ["DAINTREE_STORE"], left_behind(ran)
    shown = ran.doit("store", "--orphans")
    assert shown.stdout.splitlines() == [
        f"{store}: 1 interrupted run (5 B) that nothing leads to",
        "remove them with: doit store --orphans --yes",
    ]
    assert left.exists()
    removed = ran.doit("store", "--orphans", "--yes")
    assert removed.stdout == f"removed 1 interrupted run (5 B) from {store}\n"
    assert not left.exists()
    assert set(ran.plan("words").values()) == {"hit"}


def test_orphans_as_json(ran: Project) -> None:
    store = ran.environ["DAINTREE_STORE"]
    expected = {"store": store, "orphans": 0, "bytes": 0, "removed": False}
    assert ran.doit("store", "--orphans", "--json").json() == expected


def test_emptying_and_clearing_up_are_two_things(ran: Project) -> None:
    complaint = ran.doit("store", "--orphans", "--empty").complaint()
    assert "--empty and --orphans contradict each other" in complaint
