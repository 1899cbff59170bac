"""Engine: a plan's stages as doit tasks, and the run that they are part of."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from inspect import Signature
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from doit.action import BaseAction
from doit.exceptions import TaskError, TaskFailed
from doit.task import Task

from daintree.concurrency import Cancellation
from daintree.errors import (
    ArtifactDamaged,
    DaintreeError,
    EnvironmentFailed,
    StoreError,
    UsageError,
    check_writable,
    from_os_error,
)
from daintree.pipeline.decisions import FORCED, BoundStage, Decision, Hit, Miss, Pending, Result
from daintree.pipeline.plan import Plan, Planned, refusals
from daintree.settings import expand_home
from daintree.spec.component import Scalar
from daintree.spec.pipeline import plain_stage
from daintree.store.layout import execution_note
from daintree.store.records import IndexRecord

if TYPE_CHECKING:
    from daintree.pipeline.execute import Events

# Inputs that are found damaged are computed anew; one that keeps changing meanwhile is given up.
MOST_REPAIRS = 5
# A stage that is to stop is given three seconds by its runner; what a server or a transfer still holds then is left behind.
STOP_SECONDS = 10.0


class PipelineRun:
    """Run of one plan: doit decides when a stage's turn is, this class what is done with it.

    `failures` are the errors of stages, in the order in which they came; `output` is the directory that the pipeline's
    output was copied to, as it was given ("" as long as it was not). Stages that do not depend on each other may be
    executed from several threads.
    """

    def __init__(self, planned: Planned, events: Events, *, stage: str = "") -> None:
        """`stage` is the one to end with, in a sweep with all its values, "" for the whole pipeline, whose output is copied to its directory then.

        Raises EnvironmentFailed for a stage that the runner cannot run, UsageError for a plan of one stage alone (`only`)
        whose needs have no outputs, and as `check_start`.
        """
        self.session, self.plan = planned
        self.results: dict[str, Result] = {}
        self.failures: list[Exception] = []
        self.output = ""
        self.events = events
        self._stages = {stage.name: stage for stage in self.plan.stages}
        self._decisions: dict[str, Decision] = dict(self.plan.decisions)
        self._cancellation = Cancellation()
        only = self.plan.request.only
        self._target = only or stage
        swept = bool(self.plan.combinations)
        self.target = f"{self.plan.pipeline.name}:{'' if swept else self._target}".rstrip(":")
        wanted = self._ends() if only else self._wanted()
        for name, refusal in refusals(self.session, self.plan).items():
            if name in wanted:
                raise EnvironmentFailed(
                    f"stage {self.plan.pipeline.name}:{name}: {refusal.message}", hint=refusal.hint
                )
        self._directory = check_start(planned, wanted, whole=not self._target)
        if only:
            self._take_needs()

    @property
    def is_complete(self) -> bool:
        """True once every stage asked for has its output, and the pipeline's output is in its directory."""
        published = self._directory is None or bool(self.output)
        return published and self._wanted() <= self.results.keys()

    def _ends(self) -> set[str]:
        """The stages that the run is to end with."""
        target = self._target
        return {name for name in self._stages if not target or plain_stage(name) == target}

    def _wanted(self) -> set[str]:
        """The stages that the run is to end with, and all that they depend on."""
        ends = self._ends()
        return ends | self.plan.ancestors(ends)

    @property
    def is_chain(self) -> bool:
        """True where each stage waits for the one before, so that no two can run at once."""
        stages = self.plan.stages
        return all(set(stage.needs) == {before.name} for before, stage in pairwise(stages))

    def tasks(self) -> list[Task]:
        """The run as doit tasks: `pipeline:stage` for each stage, after those it needs, and the group `pipeline`.

        The group's own action copies the pipeline's output. In a plan of one stage alone, that one is the only stage.
        """
        pipeline, only = self.plan.pipeline, self.plan.request.only
        selected: Collection[str] = self._stages
        if only or self.plan.combinations:
            selected = self._ends() if only else self._wanted()
        tasks = [
            Task(
                _task_name(pipeline.name, stage.name),
                [RunAction(self, f"run stage {stage.name}", partial(self.execute, stage.name))],
                task_dep=[] if only else [_task_name(pipeline.name, need) for need in stage.needs],
                uptodate=[UpToDate(self, stage.name)],
                doc=stage.spec.description or stage.component,
                subtask_of=pipeline.name,
            )
            for stage in self.plan.stages
            if stage.name in selected
        ]
        # No stage can be called output.
        copies = [
            Task(
                _task_name(pipeline.name, f"output[{name}]"),
                [RunAction(self, f"copy the output {name}", partial(self.publish_output, name))],
                task_dep=[
                    _task_name(pipeline.name, stage) for stage in combination.stages.values()
                ],
                subtask_of=pipeline.name,
            )
            for name, combination in self.plan.combinations.items()
            if self._directory
        ]
        publish = RunAction(self, f"copy the output of {pipeline.name}", self.publish_output)
        actions = [publish] if self._directory and not copies else None
        group = Task(pipeline.name, actions, doc=pipeline.description, has_subtask=True)
        group.task_dep = [task.name for task in (*tasks, *copies)]
        return [*tasks, *copies, group]

    def is_up_to_date(self, name: str) -> bool:
        """True for a hit that nothing has to be written for; asked in doit's main thread, never waits.

        A pending stage is not up to date: its action looks again once its needs have run.
        """
        decision = self._decisions[name]
        if not isinstance(decision, Hit) or decision.adopt:
            return False
        if not self.session.store.holds(decision.record):
            return False
        if name not in self.results:
            self.results[name] = Result("hit", decision.record)
            self.events.hit(name, decision.record)
        return True

    def execute(self, name: str) -> None:
        """Compute the stage, or take what another run has computed meanwhile; damaged inputs are computed again first.

        Raises as `StageExecution.execute` does, and KeyboardInterrupt once the run is cancelled.
        """
        from daintree.pipeline.execute import InputDamaged, StageExecution

        stage = self._stages[name]
        with self._cancellation.running():
            for _ in range(MOST_REPAIRS):
                inputs = {need: self.results[need].record for need in stage.needs}
                execution = StageExecution(
                    Planned(self.session, self.plan), stage, inputs, self.events, self._cancellation
                )
                try:
                    self._settle(stage, execution.execute(self._decisions[name]))
                    return
                except InputDamaged as damage:
                    self._decisions[damage.need] = damage.decision
                    self.execute(damage.need)
        raise UsageError(
            f"stage {name!r}: its inputs keep changing under it",
            hint="is another program writing to the store?",
        )

    def cancel(self) -> None:
        """Make every stage that is being computed, or waits, stop, and wait until they have, STOP_SECONDS at most."""
        self._cancellation.cancel(STOP_SECONDS)

    def publish_output(self, combination: str = "") -> None:
        """Copy the pipeline's output, or that of a sweep's combination, to its directory; what is damaged in the store is computed again first.

        Raises UsageError for a directory that holds something else, DaintreeError where it cannot be written.
        """
        from daintree.pipeline.output_directory import publish_output

        directory = self._directory
        assert directory is not None
        wanted = _wanted_output(self.plan)
        store, root = self.session.store, self.session.settings.root
        combined = self.plan.combinations.get(combination)
        outputs = self._output_stages(combined.stages if combined else {})
        place, values = directory / combination, combined.values if combined else {}
        try:
            try:
                publish_output(place, self._records(outputs), store, root, values)
            except ArtifactDamaged:
                self._repair(outputs.values())
                publish_output(place, self._records(outputs), store, root, values)
        except OSError as error:
            raise _not_written(self.plan, error) from None
        self.output = wanted

    def remember(self) -> None:
        """Keep on this machine which runs a complete execution of the whole pipeline ended with, hits too, for `doit name`.

        Nothing where the store cannot be written.
        """
        if not self.is_complete or self._target or self.plan.combinations:
            return
        runs = {name: result.record.location for name, result in self.results.items()}
        note = execution_note(self.plan.pipeline.name)
        content = msgspec.json.encode(runs, order="sorted")
        store = self.session.store
        with suppress(StoreError):
            if store.read_note(note, shared=False) != content:
                store.write_note(note, content, shared=False)

    def _settle(self, stage: BoundStage, result: Result) -> None:
        before = self._decisions[stage.name]
        self.results[stage.name] = result
        self._decisions[stage.name] = Hit(result.record)
        if isinstance(before, Hit) and before.record.digest != result.record.digest:
            self._reconsider_after(stage)

    def _reconsider_after(self, stage: BoundStage) -> None:
        """Decide anew what needs the stage: another's output took the place of the one that the plan counted on."""
        changed = {stage.name}
        for later in self.plan.stages:
            waits_for = tuple(need for need in later.needs if need in changed)
            if waits_for:
                changed.add(later.name)
                if self._decisions[later.name] != Miss(FORCED):
                    self._decisions[later.name] = Pending(waits_for)

    def _repair(self, names: Iterable[str]) -> None:
        """Verify the outputs of stages byte by byte, and compute those again that are not whole."""
        for name in names:
            record = self.results[name].record
            try:
                self.session.store.check(record, thorough=True)
            except ArtifactDamaged as damage:
                self._decisions[name] = Miss(damage.message, damaged=record)
                self.execute(name)

    def _take_needs(self) -> None:
        """Take the outputs of all that the one stage depends on from the store. Raises UsageError for one that is not there."""
        ancestors = self.plan.ancestors(self._ends())
        for before in self.plan.stages:
            if before.name in ancestors and self.results.keys() >= set(before.needs):
                hit = isinstance(self._decisions[before.name], Hit)
                if hit and not self.is_up_to_date(before.name):
                    self.execute(before.name)
        needs = dict.fromkeys(need for end in self._ends() for need in self._stages[end].needs)
        missing = [need for need in needs if need not in self.results]
        if missing:
            raise UsageError(
                f"--only {self._target}: the store has no output of {', '.join(missing)} for it to read",
                hint=f"doit run {self.plan.pipeline.name}:{plain_stage(missing[0])} first, or leave --only out",
            )

    def _output_stages(self, combined: Mapping[str, str]) -> dict[str, str]:
        """The stages whose outputs are wanted, by subdirectory; `combined` are those of a sweep's combination, by the pipeline's own."""
        pipeline = self.plan.pipeline
        return {
            name if pipeline.output_split else "": combined.get(name, name)
            for name in pipeline.output_stages
        }

    def missing_outputs(self) -> list[tuple[str, dict[str, Scalar]]]:
        """Each combination of a sweep that lacks an output: the first stage without one, and its swept values."""
        missing = self._wanted() - self.results.keys()
        return [
            (next(stage for stage, own in c.stages.items() if own in missing), c.values)
            for c in self.plan.combinations.values()
            if missing & {*c.stages.values()}
        ]

    def _records(self, stages: Mapping[str, str]) -> dict[str, IndexRecord]:
        return {name: self.results[stage].record for name, stage in stages.items()}


def check_start(planned: Planned, wanted: Iterable[str], *, whole: bool) -> Path | None:
    """Check all that a run of the `wanted` stages needs besides themselves, before anything runs: what is wrong must not come out after an hour of computing.

    Returns the directory that gets the output, None when none does, as where the run is not of the `whole` pipeline. Nothing is
    written. Raises EngineError for a runner that can run nothing, StoreError for a store that cannot be written, UsageError for an output directory that
    must not be replaced or that a source holds, SpecError for one that is another pipeline's too, DaintreeError where it cannot be written.
    """
    session, plan = planned
    computes = not all(isinstance(plan.decisions[name], Hit) for name in wanted)
    if computes:
        session.runner.check()
        session.store.local.directory.check_writable()
    request, root = plan.request, session.settings.root
    if not whole or not (request.output or plan.pipeline.output):
        return None
    from daintree.pipeline.output_directory import check_outputs, check_place

    directory = request.directory if request.output else root
    directory /= expand_home(_wanted_output(plan))
    _check_sources(planned, directory)
    for combination in plan.combinations or ("",):
        place = Path(os.path.realpath(directory / combination))
        check_place(place, session.store, root)
        if computes or not place.exists():
            try:
                check_writable(place.parent)
            except OSError as error:
                raise _not_written(plan, error) from None
    if not request.output:
        check_outputs(root, session.pipeline)
    return directory


def _wanted_output(plan: Plan) -> str:
    """The output directory as it was given; a sweep has one beside it."""
    wanted = plan.request.output or plan.pipeline.output
    return f"{wanted.rstrip('/')}.sweep" if plan.combinations else wanted


def _not_written(plan: Plan, error: OSError) -> DaintreeError:
    return from_os_error(error, f"the output {_wanted_output(plan)} cannot be written")


def _check_sources(planned: Planned, directory: Path) -> None:
    """Raise UsageError where a source holds what the run would write: no run would ever find it unchanged."""
    session, plan = planned
    for name, source in session.sources.items():
        for path, what in {
            directory: "the pipeline's output",
            session.store.directory: "the store",
        }.items():
            if source.holds(Path(os.path.realpath(path))):
                place = os.path.relpath(path, session.settings.root)
                raise UsageError(
                    f"{plan.pipeline.file}: the source {plan.identities[name].origin} holds {what}, {place}",
                    hint="each run would change what the next one reads: name another directory",
                )


def _task_name(pipeline: str, stage: str) -> str:
    """Name of a stage's task; doit's names have no equals sign."""
    return f"{pipeline}:{stage}".replace("=", ":")


class UpToDate:
    """A stage's decision as doit asks for it."""

    # doit asks each for its signature, which costs more than the answer where Python has to work it out.
    __signature__ = Signature()

    def __init__(self, run: PipelineRun, name: str) -> None:
        self._run, self._name = run, name

    def __call__(self) -> bool:
        return self._run.is_up_to_date(self._name)


class RunAction(BaseAction):  # type: ignore[misc]
    """A call as a doit action; its error is kept in the run's `failures`, for the command to print."""

    def __init__(self, run: PipelineRun, name: str, call: partial[None] | Any) -> None:
        self._run, self._name, self._call = run, name, call
        self.out = self.err = self.result = None
        self.values: dict[str, Any] = {}

    def __str__(self) -> str:
        return self._name

    def execute(self, out: Any = None, err: Any = None) -> TaskFailed | TaskError | None:
        """Follow doit's protocol: None when all went well. Interrupts pass."""
        try:
            self._call()
        except DaintreeError as error:
            self._run.failures.append(error)
            return TaskFailed(error.message)
        except Exception as error:
            self._run.failures.append(error)
            return TaskError(str(error))
        return None
