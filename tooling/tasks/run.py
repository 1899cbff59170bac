"""`doit run`: pipelines and their stages, and any other task of the project."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from doit.cmd_run import Run as DoitRun
from doit.exceptions import InvalidCommand, InvalidDodoFile, InvalidTask

from tooling.errors import DaintreeError, UsageError
from tooling.project import find_project, is_daintree
from tooling.report.progress import Progress
from tooling.report.summary import run_as_json, run_summary
from tooling.run.output import publish_output
from tooling.run.pipeline_run import PipelineRun
from tooling.run.planning import Plan, Request, make_plan
from tooling.settings import read_settings
from tooling.spec.pipeline_reader import pipeline_files
from tooling.suggest import nearest
from tooling.tasks.command import (
    HELP_OPTION,
    JSON_OPTION,
    AnyOrderParse,
    guarded,
    option,
    print_json,
    typed_arguments,
)
from tooling.tasks.names import COMMANDS, reserved_names
from tooling.tasks.pipeline_tasks import FixedTasks, memory_database, stage_tasks
from tooling.tasks.quiet import QuietReporter

SOURCE = option("source", "read this instead of the pipeline's source: a path or a URL")
OUTPUT = option("output", "copy the output here instead of where the pipeline says")
SET = option(
    "set", "stage.parameter=value: another value for a parameter; may be repeated", type=list
)
FORCE = option("force", "compute this stage though it is a hit; may be repeated", type=list)
ONLY = option("only", "run this stage alone, on the outputs that its needs have already")
RUNNER = option("runner", "what executes the stages (default: the setting `runner`)")


class Run(DoitRun):  # type: ignore[misc]
    """doit's own run command, which also knows pipelines."""

    doc_purpose = "run pipelines (skipping stages whose output is in the store) or tasks"
    doc_usage = "[PIPELINE | PIPELINE:STAGE | TASK …] [--set stage.parameter=value …]"
    doc_description = (
        "Stages whose output already lies in the artifact store under the hash of their component's version, "
        "parameters and inputs are skipped. Without names, an overview is printed and nothing runs."
    )
    cmd_options = (
        *DoitRun.cmd_options,
        SOURCE,
        OUTPUT,
        SET,
        FORCE,
        ONLY,
        RUNNER,
        JSON_OPTION,
        HELP_OPTION,
    )

    @cached_property
    def cmdparser(self) -> AnyOrderParse:
        """The parser of this command's options; doit's settings give its defaults."""
        parser = AnyOrderParse(self.get_options())
        parser.overwrite_defaults(self.config_vals)
        return parser

    def parse_execute(self, in_args: Sequence[str]) -> int:
        """Called by doit with the words after the command's name; returns the exit code."""
        return guarded(lambda: self._dispatch(typed_arguments(in_args, sys.argv[1:])))

    def _dispatch(self, arguments: Sequence[str]) -> int:
        params, names = self.cmdparser.parse(arguments)
        params.update(self.opt_vals)
        if params["help"]:
            print(self.help())
            return 0
        if self.opt_vals.get("dodoFile") or os.environ.get("DOIT_FILE"):
            return self._run_tasks(params, names, None)
        root = find_project(Path.cwd())
        if not is_daintree(root):
            return self._run_tasks(params, names, root)
        if not names:
            from tooling.tasks.overview import print_overview

            return print_overview(root)
        return self._run_names(root, params, names)

    def _run_names(self, root: Path, params: Any, names: Sequence[str]) -> int:
        known = pipeline_files(root)
        targets = [name for name in names if name.partition(":")[0] in known]
        rest = [name for name in names if name not in targets]
        if not targets:
            return self._run_tasks(params, rest, root)
        stages, rest = _loose_words(params, rest)
        if len(targets) > 1 or rest:
            _refuse_shared_options(params, [*targets, *rest])
        # Tasks go first: a name that is none of them must be told before a pipeline has run for an hour.
        code = self._run_tasks(params, rest, root) if rest else 0
        for target in targets:
            code = max(code, self._run_pipeline(root, params, target, stages))
        return code

    def _run_tasks(self, params: Any, names: Sequence[str], root: Path | None) -> int:
        """Ordinary doit tasks, from the project's dodo.py wherever below it we are."""
        if root is not None:
            params["dodoFile"] = str(root / "dodo.py")
            if not os.path.isabs(params["dep_file"]):
                params["dep_file"] = str(root / params["dep_file"])
        if params["backend"] == "sqlite3":
            _renew_database(Path(params["dep_file"]))
        try:
            return 1 if super().execute(params, list(names)) else 0
        except (InvalidCommand, InvalidTask, InvalidDodoFile) as error:
            raise self._refusal(str(error), names, root) from None

    def _refusal(self, said: str, names: Sequence[str], root: Path | None) -> UsageError:
        """What doit refuses, in our words: mostly a name that is neither a pipeline nor a task."""
        tasks = [task.name for task in getattr(self, "task_list", [])]
        known = [*COMMANDS, *(pipeline_files(root) if root else []), *tasks]
        unknown = [name for name in names if name not in known]
        if not unknown:
            return UsageError(said.strip())
        return UsageError(
            f"there is no pipeline, task or command {unknown[0]!r}",
            hint=nearest(unknown[0], known),
        )

    def _run_pipeline(self, root: Path, params: Any, target: str, stages: Sequence[str]) -> int:
        began = time.perf_counter()
        name, _, stage = target.partition(":")
        request = Request(
            pipeline=name,
            directory=Path.cwd(),
            source=params["source"],
            output=params["output"],
            set=tuple(params["set"]),
            force=(*_split(params["force"]), *stages),
            only=params["only"],
            runner=params["runner"],
        )
        plan = make_plan(read_settings(root), request, reserved_names(root), fetch=True)
        _check_target(plan, stage)
        progress = Progress(plan, began)
        run = PipelineRun(plan, progress)
        self._execute_stages(
            run, params, f"{name}:{request.only or stage}".rstrip(":"), request.only
        )
        copied = "" if stage or request.only else _publish(plan, run, request)
        if params["json"]:
            print_json(run_as_json(run))
        else:
            print(run_summary(run, progress.seconds(), copied))
        return 0

    def _execute_stages(self, run: PipelineRun, params: Any, task: str, only: str) -> None:
        """Let doit run the stages' tasks; raises what the first stage that failed raised."""
        failures: list[Exception] = []
        if only:
            _settle_needs(run, only)
        self.loader = FixedTasks(stage_tasks(run, failures, only=only))
        self.dep_manager = memory_database()
        params["reporter"] = QuietReporter()
        params["num_process"] = _threads(run, params)
        params["par_type"] = "thread"
        try:
            code = super().execute(params, [task])
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
        if before.name in ancestors and run.results.keys() >= set(before.needs):
            run.current(before.name)
    missing = [need for need in stage.needs if need not in run.results]
    if missing:
        raise UsageError(
            f"--only {only}: the store has no output of {', '.join(missing)} for it to read",
            hint=f"run {run.plan.pipeline.name}:{missing[0]} first, or leave --only out",
        )


def _ancestors(plan: Plan, name: str) -> set[str]:
    """The stages that a stage depends on, directly or not."""
    found = set(plan.pipeline.stage(name).needs)
    for stage in reversed(plan.stages):
        if stage.name in found:
            found.update(stage.needs)
    return found


def _check_target(plan: Plan, stage: str) -> None:
    names = [known.name for known in plan.stages]
    if stage and stage not in names:
        raise UsageError(
            f"pipeline {plan.pipeline.name!r} has no stage {stage!r}", hint=nearest(stage, names)
        )
    if stage and plan.request.only and plan.request.only != stage:
        raise UsageError(
            f"--only {plan.request.only} and {plan.pipeline.name}:{stage} contradict each other"
        )


def _publish(plan: Plan, run: PipelineRun, request: Request) -> str:
    """Copy the output where it was asked for; the directory's name, or "" when there is none."""
    wanted = request.output or plan.pipeline.output
    if not wanted:
        return ""
    directory = (request.directory if request.output else plan.settings.root) / Path(
        wanted
    ).expanduser()
    split = plan.pipeline.output_split
    records = {
        name if split else "": run.results[name].record for name in plan.pipeline.output_stages
    }
    publish_output(directory, records, plan.store, plan.settings.root)
    return wanted


def _loose_words(params: Any, rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words after --set and --force that belong to them: more assignments, more stages. (stages, what is left)"""
    assignments = [word for word in rest if "=" in word]
    params["set"] = [*params["set"], *assignments]
    others = [word for word in rest if word not in assignments]
    return (others, []) if params["force"] else ([], others)


def _split(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for name in names for part in name.split(",") if part)


def _refuse_shared_options(params: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in ("source", "output", "set", "force", "only", "json"):
        if params[name]:
            raise UsageError(
                f"--{name} with several names ({', '.join(names)}): which of them is it for?",
                hint="run them one by one",
            )


def _renew_database(path: Path) -> None:
    """Remove doit's database when it is unreadable: it only remembers what can be found out again."""
    import sqlite3

    if not path.is_file():
        return
    try:
        with sqlite3.connect(path) as connection:
            connection.execute("pragma schema_version").fetchone()
    except sqlite3.DatabaseError:
        path.unlink()
