"""A plan carried out: its stages by doit, its output copied to where it belongs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from doit.action import BaseAction
from doit.cmd_base import TaskLoader2
from doit.cmd_run import Run as DoitRun
from doit.dependency import Dependency, JSONCodec
from doit.exceptions import TaskError, TaskFailed
from doit.task import Task

from daintree.commands.command import foreign
from daintree.errors import ArtifactDamaged, DaintreeError, UsageError
from daintree.pipeline.execute import PipelineRun
from daintree.pipeline.output_directory import check_place, publish_output
from daintree.pipeline.plan import Plan
from daintree.pipeline.session import Session
from daintree.settings import expand_home
from daintree.store.records import IndexRecord
from daintree.terminal import colour, count, duration, say, size


class Progress:
    """The listener that people see. Lines of stages that run side by side carry their stage's name."""

    def __init__(self, plan: Plan, began: float) -> None:
        """`began` is the value of time.perf_counter() when the command began."""
        self._began = began
        self._width = max(len(stage.name) for stage in plan.stages)
        if plan.runner != "local":
            # What they warn of, a base image that may change, has no part in a virtual environment.
            from daintree.components.version import gathered

            found = {w for version in plan.versions.values() for w in version.warnings}
            for warning in gathered(sorted(found)):
                say(colour("warning: ", "yellow", sys.stderr) + warning)

    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.perf_counter() - self._began

    def hit(self, stage: str, record: IndexRecord) -> None:
        """A stage that is skipped."""
        self._tell(stage, "hit", "green", f"saves {duration(record.seconds)}")

    def starting(self, stage: str, reason: str) -> None:
        """A stage that is about to be computed, and why."""
        self._tell(stage, "run", "yellow", reason)

    def line(self, stage: str, text: str) -> None:
        """What the stage says."""
        say(f"{stage.ljust(self._width)}  {colour('|', 'dim', sys.stderr)} {text}")

    def computed(self, stage: str, record: IndexRecord) -> None:
        """A stage that was computed."""
        what = f"{duration(record.seconds)}, {count(record.count, 'file')}, {size(record.bytes)}"
        self._tell(stage, "done", "green", what)

    def note(self, stage: str, text: str) -> None:
        """Something worth knowing."""
        self._tell(stage, "note", "cyan", text)

    def warning(self, stage: str, text: str) -> None:
        """Something that is being put right."""
        say(colour("warning: ", "yellow", sys.stderr) + text)

    def _tell(self, stage: str, status: str, shade: str, text: str) -> None:
        say(f"{stage.ljust(self._width)}  {colour(status.ljust(4), shade, sys.stderr)}  {text}")


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


class QuietReporter:
    """Implements doit's reporter protocol and prints nothing but errors of doit itself."""

    desc = "nothing"

    def __init__(self, outstream: Any = None, options: Any = None) -> None:
        self.errors: list[str] = []

    def runtime_error(self, msg: str) -> None:
        """An error of doit itself."""
        self.errors.append(msg)

    def _ignore(self, *arguments: Any) -> None:
        return

    initialize = get_status = execute_task = add_failure = add_success = _ignore
    skip_uptodate = skip_ignore = cleanup_error = teardown_task = complete_run = _ignore


class CarriedOut(msgspec.Struct, frozen=True):
    """A run that went well: its results, its wall seconds, and where its output was copied to ("": nowhere)."""

    run: PipelineRun
    seconds: float
    copied: str


def carry_out(
    session: Session,
    plan: Plan,
    began: float,
    *,
    stage: str = "",
    options: Mapping[str, Any] | None = None,
) -> CarriedOut:
    """Run the plan's stages, or one stage with those before it, and copy the output if that is the whole pipeline's.

    `began` is the value of time.perf_counter() when the command began; `options` are those of doit's own `run`
    (default: its defaults). Raises what the first stage that failed raised.
    """
    only = plan.request.only
    # Told now: what is wrong with it must not come out after an hour of computing.
    directory = None if stage or only else _output(session, plan)
    progress = Progress(plan, began)
    run = PipelineRun(session, plan, progress)
    _execute_stages(run, f"{plan.pipeline.name}:{only or stage}".rstrip(":"), options)
    copied = _publish(plan, run, directory) if directory else ""
    return CarriedOut(run, progress.seconds(), copied)


def _execute_stages(run: PipelineRun, task: str, options: Mapping[str, Any] | None) -> None:
    """Let doit run the stages' tasks; raises what the first stage that failed raised."""
    only = run.plan.request.only
    failures: list[Exception] = []
    if only:
        _settle_needs(run, only)
    command = DoitRun(task_loader=FixedTasks(stage_tasks(run, failures, only=only)))
    command.dep_manager = memory_database()
    params = command.cmdparser.parse([])[0]
    params.update(options or {})
    params["reporter"] = QuietReporter()
    params["num_process"] = _threads(run, params)
    # Both are in the plan by now; doit's own meaning would pass over the stages' needs.
    params["always"] = params["single"] = False
    params["par_type"] = "thread"
    try:
        code = command.execute(params, [task])
    except BaseException:
        run.cancel()
        raise
    for failure in failures[1:]:
        print(f"error: {failure}", file=sys.stderr)
    if failures:
        raise failures[0]
    if code:
        raise DaintreeError(f"doit could not run {task} (its code {code})")


def _threads(run: PipelineRun, params: Mapping[str, Any]) -> int:
    """How many threads doit gets: none for a chain, where each stage waits for the one before."""
    wanted = int(params["num_process"]) or run.session.settings.jobs
    chain = all(
        set(stage.needs) == {before.name}
        for before, stage in zip(run.plan.stages, run.plan.stages[1:], strict=False)
    )
    return 0 if chain or wanted < 2 else wanted


def _settle_needs(run: PipelineRun, only: str) -> None:
    """Look up the outputs of all that the stage depends on. Raises UsageError when one that it needs is not there."""
    stage = run.plan.pipeline.stage(only)
    ancestors = _ancestors(run.plan, only)
    for before in run.plan.stages:
        if before.name not in ancestors or not run.results.keys() >= set(before.needs):
            continue
        if not run.current(before.name) and run.is_hit(before.name):
            run.execute(before.name)
    missing = [need for need in stage.needs if need not in run.results]
    if missing:
        raise UsageError(
            f"--only {only}: the store has no output of {', '.join(missing)} for it to read",
            hint=f"doit run {run.plan.pipeline.name}:{missing[0]} first, or leave --only out",
        )


def _ancestors(plan: Plan, name: str) -> set[str]:
    """The stages that a stage depends on, directly or not."""
    found = set(plan.pipeline.stage(name).needs)
    for stage in reversed(plan.stages):
        if stage.name in found:
            found.update(stage.needs)
    return found


def _output(session: Session, plan: Plan) -> Path | None:
    """The directory that gets the output, None when none does. Raises UsageError for one that must not be replaced."""
    request, pipeline, root = plan.request, plan.pipeline, session.settings.root
    if request.output:
        directory = request.directory / expand_home(request.output)
    elif pipeline.output:
        directory = root / expand_home(pipeline.output)
    else:
        return None
    check_place(directory, session.store, root)
    return directory


def _publish(plan: Plan, run: PipelineRun, directory: Path) -> str:
    """Copy the output there; the directory's name as it was given."""
    wanted = plan.request.output or plan.pipeline.output
    try:
        try:
            publish_output(
                directory, _outputs(plan, run), run.session.store, run.session.settings.root
            )
        except ArtifactDamaged:
            run.make_whole(plan.pipeline.output_stages)
            publish_output(
                directory, _outputs(plan, run), run.session.store, run.session.settings.root
            )
    except OSError as error:
        raise foreign(error, f"the output {wanted} cannot be written") from None
    return wanted


def _outputs(plan: Plan, run: PipelineRun) -> dict[str, IndexRecord]:
    """The records of the stages whose outputs are wanted, by subdirectory."""
    split = plan.pipeline.output_split
    return {name if split else "": run.results[name].record for name in plan.pipeline.output_stages}
