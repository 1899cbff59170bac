"""`doit run`: pipelines and their stages, and any other task of the project."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doit.cmd_run import Run as DoitRun

from daintree.commands.command import JSON_OPTION, option, plan_request, print_json
from daintree.commands.doit_adapter import DODO, AtProject
from daintree.commands.execution import carry_out
from daintree.commands.names import COMMANDS
from daintree.errors import UsageError
from daintree.pipeline.execute import PipelineRun, Result
from daintree.pipeline.plan import Plan
from daintree.pipeline.session import Request
from daintree.settings import find_project, is_daintree, read_settings
from daintree.spec.pipeline import pipeline_files
from daintree.terminal import columns, count, duration


def run_summary(run: PipelineRun, seconds: float, copied: str) -> str:
    """One row per stage with its output's path, then the closing line."""
    rows = [
        [name, result.status, duration(result.record.seconds), _path(run, result)]
        for name, result in run.results.items()
    ]
    hits = [result for result in run.results.values() if result.status == "hit"]
    saved = sum(result.record.seconds for result in hits)
    closing = (
        f"{run.plan.pipeline.name}: {count(len(hits), 'hit')}, {count(len(rows) - len(hits), 'run')}, "
        f"{duration(seconds)} spent, {duration(saved)} saved"
    )
    return "\n".join([*columns(rows), closing + (f"; output in {copied}" if copied else "")])


def run_as_json(run: PipelineRun) -> dict[str, Any]:
    """The same for programs."""
    return {
        "pipeline": run.plan.pipeline.name,
        "runner": run.plan.runner,
        "stages": [
            {
                "name": name,
                "status": result.status,
                "run": result.record.run,
                "seconds": result.record.seconds,
                "digest": result.record.digest,
                "path": _path(run, result),
            }
            for name, result in run.results.items()
        ],
    }


def _path(run: PipelineRun, result: Result) -> str:
    return run.session.store.address(result.record.location)


SOURCE = option("source", "read this instead of the pipeline's source: a path or a URL")
OUTPUT = option("output", "copy the output here instead of where the pipeline says")
SET = option(
    "set", "stage.parameter=value: another value for a parameter; may be repeated", type=list
)
FORCE = option("force", "compute this stage though it is a hit; may be repeated", type=list)
ONLY = option("only", "run this stage alone, on the outputs that its needs have already")
RUNNER = option("runner", "what executes the stages (default: the setting `runner`)")


class Run(AtProject, DoitRun):  # type: ignore[misc]
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
    )

    def execute(self, params: Any, names: Sequence[str]) -> int:
        """Run pipelines and tasks; returns the exit code. Without names, an overview."""
        if params["dodoFile"] != DODO:
            return self._run_tasks(params, names)
        root = find_project(Path.cwd())
        if not is_daintree(root):
            return self._run_tasks(params, names)
        if not names:
            from daintree.commands.list import print_overview

            return print_overview(root)
        return self._run_names(root, params, names)

    def _run_names(self, root: Path, params: Any, names: Sequence[str]) -> int:
        known = pipeline_files(root)
        _refuse_commands([name for name in names if name not in known])
        targets = [name for name in names if name.partition(":")[0] in known]
        rest = [name for name in names if name not in targets]
        if not targets:
            return self._run_tasks(params, rest)
        stages, rest = _loose_words(params, rest)
        if len(targets) > 1 or rest:
            _refuse_shared_options(params, [*targets, *rest])
        # Tasks go first: a name that is none of them must be told before a pipeline has run for an hour.
        code = self._run_tasks(params, rest) if rest else 0
        for target in targets:
            code = max(code, self._run_pipeline(root, params, target, stages))
        return code

    def _run_tasks(self, params: Any, names: Sequence[str]) -> int:
        """Ordinary doit tasks."""
        return 1 if super().execute(params, names) else 0

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
            only=params["only"] or (_single(target) if params["single"] else ""),
            always=params["always"],
            runner=params["runner"],
        )
        made = plan_request(read_settings(root), request, fetch=True)
        _check_target(made.plan, stage)
        done = carry_out(*made, began, stage=stage, options=params)
        if params["json"]:
            print_json(run_as_json(done.run))
        else:
            print(run_summary(done.run, done.seconds, done.copied))
        return 0


def _check_target(plan: Plan, stage: str) -> None:
    if stage:
        plan.stage(stage)
    only = plan.request.only
    if stage and only and only != stage:
        raise UsageError(f"--only {only} and {plan.pipeline.name}:{stage} contradict each other")
    others = [name for name in plan.request.force if only and name != only]
    if others:
        raise UsageError(
            f"--only {only} and --force {others[0]} contradict each other",
            hint="--only runs that stage alone: force it, or leave --only out",
        )


def _single(target: str) -> str:
    """The stage that doit's own --single asks for: --only, in doit's words."""
    stage = target.partition(":")[2]
    if not stage:
        raise UsageError(
            f"--single needs a stage, and {target} is a whole pipeline", hint=f"{target}:STAGE"
        )
    return stage


def _loose_words(params: Any, rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words after --set and --force that belong to them: more assignments, more stages. (stages, what is left)"""
    assignments = [word for word in rest if "=" in word]
    params["set"] = [*params["set"], *assignments]
    others = [word for word in rest if word not in assignments]
    return (others, []) if params["force"] else ([], others)


def _split(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for name in names for part in name.split(",") if part)


def _refuse_commands(names: Sequence[str]) -> None:
    for name in names:
        if name in COMMANDS:
            raise UsageError(
                f"{name!r} is a command, which comes first", hint=f"doit {name} NAME --OPTION …"
            )


def _refuse_shared_options(params: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in ("source", "output", "set", "force", "only", "json"):
        if params[name]:
            raise UsageError(
                f"--{name} with several names ({', '.join(names)}): which of them is it for?",
                hint="run them one by one",
            )
