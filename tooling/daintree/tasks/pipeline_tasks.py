"""A pipeline as doit tasks: one a stage, skipped through doit's own up-to-date protocol, and one group for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from doit.action import BaseAction
from doit.cmd_base import TaskLoader2
from doit.dependency import Dependency, JSONCodec
from doit.exceptions import TaskError, TaskFailed
from doit.task import Task

from daintree.errors import DaintreeError
from daintree.run.pipeline_run import PipelineRun


class StageAction(BaseAction):  # type: ignore[misc]
    """Executes one stage; what goes wrong is kept in `failures` for the command to tell."""

    def __init__(self, run: PipelineRun, stage: str, failures: list[Exception]) -> None:
        self._run = run
        self._stage = stage
        self._failures = failures
        self.out = self.err = self.result = None
        self.values: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"run stage {self._stage}"

    def execute(self, out: Any = None, err: Any = None) -> TaskFailed | TaskError | None:
        """doit's protocol: None when it went well. Interrupts pass."""
        try:
            self._run.execute(self._stage)
        except DaintreeError as error:
            self._failures.append(error)
            return TaskFailed(error.message)
        except Exception as error:
            self._failures.append(error)
            return TaskError(str(error))
        return None


def stage_tasks(run: PipelineRun, failures: list[Exception], *, only: str = "") -> list[Task]:
    """The tasks of a planned pipeline: `pipeline:stage` for each, after those it needs, and the group `pipeline`.

    With `only`, that one stage alone. doit asks `uptodate` in its main thread once the stage's needs are done;
    it looks up and never waits.
    """
    pipeline = run.plan.pipeline
    tasks = [
        Task(
            f"{pipeline.name}:{stage.name}",
            [StageAction(run, stage.name, failures)],
            task_dep=[] if only else [f"{pipeline.name}:{need}" for need in stage.needs],
            uptodate=[partial(run.current, stage.name)],
            doc=stage.spec.description or stage.component,
            subtask_of=pipeline.name,
        )
        for stage in run.plan.stages
        if not only or stage.name == only
    ]
    group = Task(pipeline.name, None, doc=pipeline.description, has_subtask=True)
    group.task_dep = [task.name for task in tasks]
    return [*tasks, group]


class FixedTasks(TaskLoader2):  # type: ignore[misc]
    """Gives doit tasks that exist already."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self._tasks = list(tasks)

    def load_doit_config(self) -> dict[str, Any]:
        """Nothing: pyproject.toml says what there is to say."""
        return {}

    def load_tasks(self, cmd: Any, pos_args: Any) -> list[Task]:
        """The tasks."""
        return self._tasks


class _Memory:
    """A doit database that lives as long as the process: the artifact store alone decides what is up to date."""

    def __init__(self, name: str, codec: Any, module_name: Any = None) -> None:
        self.name = name
        self._tasks: dict[str, dict[str, Any]] = {}

    def get(self, task: str, key: str) -> Any:
        return self._tasks.get(task, {}).get(key)

    def set(self, task: str, key: str, value: Any) -> None:
        self._tasks.setdefault(task, {})[key] = value

    def in_(self, task: str) -> bool:
        return task in self._tasks

    def remove(self, task: str) -> None:
        self._tasks.pop(task, None)

    def remove_all(self) -> None:
        self._tasks.clear()

    def dump(self) -> None:
        return


def memory_database() -> Dependency:
    """doit's bookkeeping for one pipeline run; two runs at once share nothing."""
    return Dependency(_Memory, ":memory:", codec_cls=JSONCodec)
