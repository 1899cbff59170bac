"""A plan carried out: its stages by doit, its output copied to where it belongs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from doit.cmd_run import Run as DoitRun

from daintree.errors import ArtifactDamaged, DaintreeError, UsageError
from daintree.manifest import IndexRecord
from daintree.report.progress import Progress
from daintree.run.output import check_place, publish_output
from daintree.run.pipeline_run import PipelineRun
from daintree.run.planning import Plan
from daintree.tasks.command import foreign
from daintree.tasks.pipeline_tasks import FixedTasks, memory_database, stage_tasks
from daintree.tasks.quiet import QuietReporter


class CarriedOut(msgspec.Struct, frozen=True):
    """A run that went well: its results, its wall seconds, and where its output was copied to ("": nowhere)."""

    run: PipelineRun
    seconds: float
    copied: str


def carry_out(
    plan: Plan, began: float, *, stage: str = "", options: Mapping[str, Any] | None = None
) -> CarriedOut:
    """Run the plan's stages, or one stage with those before it, and copy the output if that is the whole pipeline's.

    `began` is the value of time.perf_counter() when the command began; `options` are those of doit's own `run`
    (default: its defaults). Raises what the first stage that failed raised.
    """
    only = plan.request.only
    # Told now: what is wrong with it must not come out after an hour of computing.
    directory = None if stage or only else _output(plan)
    progress = Progress(plan, began)
    run = PipelineRun(plan, progress)
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
    wanted = int(params["num_process"]) or run.plan.settings.jobs
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


def _output(plan: Plan) -> Path | None:
    """The directory that gets the output, None when none does. Raises UsageError for one that must not be replaced."""
    request, pipeline, root = plan.request, plan.pipeline, plan.settings.root
    if request.output:
        directory = request.directory / Path(request.output).expanduser()
    elif pipeline.output:
        directory = root / Path(pipeline.output).expanduser()
    else:
        return None
    check_place(directory, plan.store, root)
    return directory


def _publish(plan: Plan, run: PipelineRun, directory: Path) -> str:
    """Copy the output there; the directory's name as it was given."""
    wanted = plan.request.output or plan.pipeline.output
    try:
        try:
            publish_output(directory, _outputs(plan, run), plan.store, plan.settings.root)
        except ArtifactDamaged:
            run.make_whole(plan.pipeline.output_stages)
            publish_output(directory, _outputs(plan, run), plan.store, plan.settings.root)
    except OSError as error:
        raise foreign(error, f"the output {wanted} cannot be written") from None
    return wanted


def _outputs(plan: Plan, run: PipelineRun) -> dict[str, IndexRecord]:
    """The records of the stages whose outputs are wanted, by subdirectory."""
    split = plan.pipeline.output_split
    return {name if split else "": run.results[name].record for name in plan.pipeline.output_stages}
