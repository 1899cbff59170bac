"""Runs that a plan reaches: those of other machines, too."""

from __future__ import annotations

from pathlib import Path

from daintree.pipeline.plan import locations_reached
from daintree.spec.component import ComponentSpec
from tests.pipeline.workshop import InProcess, Workshop


class Machine(InProcess):
    """A runner of a machine with this Python, which also has those that components ask for."""

    def __init__(self, python: str) -> None:
        super().__init__()
        self._python = python

    def environment_class(self, spec: ComponentSpec) -> str:
        return f"venv-{spec.python or self._python}-linux-x86_64"


def test_runs_of_a_machine_with_other_pythons_are_reached(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "project")
    workshop.specs["c/left"] = ComponentSpec(python="3.12")
    workshop.runner = Machine("3.13")
    workshop.run()
    runs = {entry.location: entry for entry in workshop.plan().session.store.history()}
    assert sorted({run.environment[5:9] for run in runs.values()}) == ["3.12", "3.13"]
    workshop.runner = Machine("3.11")
    session, plan = workshop.plan()
    assert {plan.decisions[stage.name].status for stage in plan.stages} <= {"miss", "pending"}
    environments = {run.environment for run in runs.values()}
    assert locations_reached(session.store, plan, environments) == runs.keys()
    assert locations_reached(session.store, plan, ["image"]) == set()
