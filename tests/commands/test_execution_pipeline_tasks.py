"""A pipeline as doit tasks: skipped, run and failed through doit's own protocol, with no database on disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from doit.control import TaskControl
from doit.exceptions import TaskError, TaskFailed
from doit.runner import Runner

from daintree.commands.execution import QuietReporter, StageAction, memory_database, stage_tasks
from daintree.errors import StageFailed
from daintree.pipeline.execute import PipelineRun


class Stages:
    """Stands where a PipelineRun stands: stages with needs, some with their output there, some that fail."""

    def __init__(
        self, needs: dict[str, list[str]], *, there: set[str], fail: dict[str, Exception]
    ) -> None:
        spec = SimpleNamespace(description="what it does")
        self.plan = SimpleNamespace(
            pipeline=SimpleNamespace(name="p", description="a pipeline"),
            stages=[
                SimpleNamespace(name=name, needs=tuple(needed), spec=spec, component="c")
                for name, needed in needs.items()
            ],
        )
        self.there, self.fail = there, fail
        self.executed: list[str] = []

    def current(self, name: str) -> bool:
        return name in self.there

    def execute(self, name: str) -> None:
        if name in self.fail:
            raise self.fail[name]
        self.executed.append(name)


CHAIN = {"load": [], "clean": ["load"], "train": ["clean"]}


def run(stages: Stages, *names: str, only: str = "") -> tuple[int, list[Exception]]:
    """Let doit run these tasks; its result and the failures."""
    failures: list[Exception] = []
    tasks = stage_tasks(cast(PipelineRun, stages), failures, only=only)
    control = TaskControl(tasks)
    control.process(list(names) or None)
    result = Runner(memory_database(), QuietReporter()).run_all(control.task_dispatcher())
    return result, failures


def stages_of(needs: dict[str, list[str]] | None = None, **more: Any) -> Stages:
    return Stages(needs or CHAIN, **{"there": set(), "fail": {}, **more})


def test_stages_run_after_those_they_need() -> None:
    stages = stages_of({"train": ["clean"], "clean": ["load"], "load": []})
    assert run(stages, "p") == (0, [])
    assert stages.executed == ["load", "clean", "train"]


def test_what_is_there_is_skipped() -> None:
    stages = stages_of(there={"load", "clean"})
    assert run(stages, "p") == (0, [])
    assert stages.executed == ["train"]


def test_a_stage_brings_those_it_needs_and_no_others() -> None:
    stages = stages_of()
    run(stages, "p:clean")
    assert stages.executed == ["load", "clean"]


def test_only_one_stage_is_run_alone() -> None:
    stages = stages_of()
    run(stages, "p:clean", only="clean")
    assert stages.executed == ["clean"]


@pytest.mark.parametrize("error", [StageFailed("stage p:clean failed"), ValueError("a bug")])
def test_after_a_failure_nothing_that_needs_it_runs(error: Exception) -> None:
    stages = stages_of(fail={"clean": error})
    result, failures = run(stages, "p")
    assert result != 0
    assert failures == [error]
    assert stages.executed == ["load"]


def test_what_is_the_users_and_what_is_a_bug_are_told_apart() -> None:
    failures: list[Exception] = []
    stages = cast(
        PipelineRun, stages_of(fail={"load": StageFailed("no"), "clean": ValueError("bug")})
    )
    assert isinstance(StageAction(stages, "load", failures).execute(), TaskFailed)
    bug = StageAction(stages, "clean", failures).execute()
    assert isinstance(bug, TaskError)
    assert not isinstance(bug, TaskFailed)
    assert StageAction(stages, "train", failures).execute() is None
    assert str(StageAction(stages, "train", failures)) == "run stage train"


def test_an_interrupt_is_nobodys_failure() -> None:
    failures: list[Exception] = []
    stages = stages_of(fail={"load": cast(Exception, KeyboardInterrupt())})
    with pytest.raises(KeyboardInterrupt):
        StageAction(cast(PipelineRun, stages), "load", failures).execute()
    assert failures == []


def test_doit_keeps_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        stages = stages_of()
        run(stages, "p")
        assert stages.executed == ["load", "clean", "train"], "no run remembers another"
    assert list(tmp_path.iterdir()) == []
