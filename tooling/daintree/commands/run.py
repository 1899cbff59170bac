"""`doit run`: pipelines and their stages, and any other task of the project, as one run of doit."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from doit.cmd_base import TaskLoader2
from doit.cmd_run import Run as DoitRun

from daintree.commands import doit_adapter
from daintree.commands.command import (
    COMMANDS,
    complain,
    option,
    plan_request,
    print_json,
    request_of,
    reserved_names,
    shared,
)
from daintree.errors import DaintreeError, UsageError
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Planned
from daintree.pipeline.session import Request
from daintree.settings import Settings, read_settings
from daintree.spec.pipeline import load_pipeline, pipeline_files
from daintree.store.records import IndexRecord, short_run
from daintree.terminal import colour, columns, count, duration, say, size, streamed

KEEP_GOING = option(
    "keep_going", "run all that does not need what has failed", type=bool, short="k"
)
JOBS = option(
    "jobs", "stages at a time (default: the setting `jobs`); the same as -n", type=int, short="j"
)

# A stage that has printed nothing for so long is said to be running, and again after twice that, up to LONGEST_SILENCE.
FIRST_SILENCE, LONGEST_SILENCE = 20.0, 300.0
# A line of a traceback that names a file.
_FRAME = r'^\s*File "(/[^"]+)", line \d'


class _Running(msgspec.Struct):
    """A stage that is being computed: since when, what its last run took, and when it is next said to be running."""

    began: float
    expected: float | None
    due: float
    silence: float = FIRST_SILENCE


class Progress:
    """The events that people see. Lines carry their stage's name, since stages run side by side."""

    def __init__(self, planned: Planned, clock: Callable[[], float] = time.perf_counter) -> None:
        session, plan = planned
        self._plan = plan
        self._settings = session.settings
        self._clock = clock
        self._width = max(len(stage.name) for stage in plan.stages)
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watchdog: threading.Thread | None = None
        if plan.runner != "local":
            # What they warn of, a base image that may change, has no part in a virtual environment.
            from daintree.components import gathered

            warnings = {w for version in plan.versions.values() for w in version.warnings}
            for warning in gathered(sorted(warnings)):
                say(colour("warning: ", "yellow", sys.stderr) + warning)

    def hit(self, stage: str, record: IndexRecord) -> None:
        self._print(stage, "hit", "green", f"saves {duration(record.seconds)}")

    def starting(self, stage: str, reason: str, expected: float | None) -> None:
        """Print why a stage is computed; while it is silent, its elapsed and expected time is printed now and then."""
        self._print(stage, "run", "yellow", reason)
        now = self._clock()
        with self._lock:
            self._running[stage] = _Running(now, expected, due=now + FIRST_SILENCE)
            if self._watchdog is None:
                self._watchdog = threading.Thread(target=self._watch, daemon=True)
                self._watchdog.start()

    def line(self, stage: str, text: str) -> None:
        """Print a line of the stage's own output; colours are its own, other control sequences are dropped."""
        with self._lock:
            running = self._running.get(stage)
            if running:
                running.due = self._clock() + running.silence
        bar = colour("|", "dim", sys.stderr)
        say(f"{stage.ljust(self._width)}  {bar} {streamed(self._in_working_tree(stage, text))}")

    def computed(self, stage: str, record: IndexRecord) -> None:
        with self._lock:
            self._running.pop(stage, None)
        what = f"{duration(record.seconds)}, {count(record.count, 'file')}, {size(record.bytes)}"
        self._print(stage, "done", "green", what)

    def note(self, stage: str, text: str) -> None:
        self._print(stage, "note", "cyan", text)

    def warning(self, stage: str, text: str) -> None:
        say(colour("warning: ", "yellow", sys.stderr) + text)

    def end(self) -> None:
        self._ended.set()

    def print_silent(self) -> None:
        """Print elapsed and expected time of each stage that has been silent for long enough."""
        now = self._clock()
        with self._lock:
            silent = [(name, stage) for name, stage in self._running.items() if stage.due <= now]
            for _, stage in silent:
                stage.silence = min(2 * stage.silence, LONGEST_SILENCE)
                stage.due = now + stage.silence
        for name, stage in silent:
            last = f"; last run {duration(stage.expected)}" if stage.expected is not None else ""
            self._print(name, "…", "dim", f"running for {duration(now - stage.began)}{last}")

    def _in_working_tree(self, stage: str, text: str) -> str:
        """A traceback's line with the working tree's file in the place of the snapshot's or image's, where both are the same."""
        match = re.match(_FRAME, text)
        if match is None:
            return text
        copies = (f"{self._settings.snapshots}/", "/application/")
        files = self._plan.version_of(self._plan.stage(stage)).files
        same = [file for file in files if match[1].endswith(f"/{file.path}")]
        if not same or not match[1].startswith(copies):
            return text
        file = max(same, key=lambda file: len(file.path))
        own = self._settings.root / file.origin
        with suppress(OSError):
            if file.is_content(own.read_bytes()):
                return text.replace(match[1], str(own), 1)
        return text

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self.print_silent()

    def _print(self, stage: str, status: str, shade: str, text: str) -> None:
        say(f"{stage.ljust(self._width)}  {colour(status.ljust(4), shade, sys.stderr)}  {text}")


def run_plan(planned: Planned, *, stage: str = "") -> PipelineRun:
    """Run a plan, or its `stage` and what that needs, with no other task beside it; progress goes to stderr.

    Raises as `PipelineRun` does, and the error of a stage that failed.
    """
    progress = Progress(planned)
    try:
        run = PipelineRun(planned, progress, stage=stage)
        doit_adapter.run_stages([run], doit_adapter.RunOptions())
        run.remember()
    finally:
        progress.end()
    return run


def run_summary(run: PipelineRun, seconds: float) -> str:
    """One row per stage with its run's id, then the closing line, and where the output is."""
    results = run.results
    rows = [
        [name, result.status, duration(result.record.seconds), short_run(result.record.run)]
        for name, result in results.items()
    ]
    hits = [result for result in results.values() if result.status == "hit"]
    saved = sum(result.record.seconds for result in hits)
    closing = (
        f"{run.plan.pipeline.name}: {count(len(hits), 'hit')}, {count(len(rows) - len(hits), 'run')}, "
        f"{duration(seconds)} spent, {duration(saved)} saved"
    )
    where = [f"output in {run.output}"] if run.output else []
    return "\n".join([*columns(rows), closing, *where])


def print_sweep(run: PipelineRun, metrics: Sequence[str], *, lowest: bool) -> None:
    """Print the metrics of a sweep's runs, best first by the first of `metrics`, then the combinations without output; nothing for a run that is none.

    Raises UsageError for a metric that no run has.
    """
    if run.plan.combinations:
        from daintree.commands.metrics import sweep_table

        records = [result.record for result in run.results.values()]
        swept = [*next(iter(run.plan.combinations.values())).values]
        rows = sweep_table(
            *(records, run.session.store, run.missing_outputs(), swept, metrics), lowest=lowest
        )
        print(*rows, sep="\n", end="\n" * bool(rows))


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
                "path": run.session.store.address(result.record.location),
            }
            for name, result in run.results.items()
        ],
    }


class Run(doit_adapter.AtProject, DoitRun):  # type: ignore[misc]
    """doit's own run command, which also knows pipelines."""

    doc_purpose = "run pipelines (skipping stages whose output is in the store) or tasks"
    doc_usage = "[PIPELINE | PIPELINE:STAGE | TASK …] [--set stage.parameter=value …]"
    doc_description = (
        "Stages whose output already lies in the artifact store under the hash of their component's version, "
        "parameters and inputs are skipped. Without names, an overview is printed and nothing runs."
    )
    cmd_options = (
        *shared(
            "source", "set", "runner", "output", "force", "only", "sweep", "metric", "lowest", "yes"
        ),
        JOBS,
        KEEP_GOING,
        *shared("verify", "json"),
        *DoitRun.cmd_options,
    )

    def execute(self, params: Any, names: Sequence[str]) -> int:
        """Run pipelines and tasks; returns the exit code. Without names, an overview."""
        root = doit_adapter.daintree_project(params)
        if root is None:
            return 1 if super().execute(params, names) else 0
        if not names:
            from daintree.commands.list import print_overview

            return print_overview(root)
        return self._run_names(root, params, names)

    def _run_names(self, root: Path, params: Any, names: Sequence[str]) -> int:
        wanted = _read(root, params, names)
        if params["pdb"] and wanted.targets:
            return _debug(wanted)
        if len(wanted.targets) < 2:
            return self._run_together(wanted, params, set())
        code, before, complete = 0, list[str](), set[str]()
        for together in _rounds(root, wanted.targets):
            failed = [_places(root, t)[1] for t in before if t.partition(":")[0] not in complete]
            ready = [t for t in together if not _reads(_places(root, t)[0], failed)]
            for target in sorted({*together} - {*ready}):
                say(f"note: {target} is not run: it reads the output of what has failed")
            before += together
            round = msgspec.structs.replace(wanted, targets=tuple(ready))
            try:
                code = max(code, self._run_together(round, params, complete) if ready else 0)
            except DaintreeError as error:
                if not wanted.options.keep_going:
                    raise
                code = complain(error)
            wanted = msgspec.structs.replace(wanted, tasks=())
        return code

    def _run_together(self, wanted: _Wanted, params: Any, complete: set[str]) -> int:
        """Run these as one doit run, and print what came of each pipeline whose stages all have their output; its name goes to `complete`."""
        began = time.perf_counter()
        runs = [_start(wanted, target) for target in wanted.targets]
        code = 0
        try:
            if wanted.tasks:
                self.place(params)
                self.loader: TaskLoader2 = doit_adapter.StageLoader(
                    runs, self.loader, partial(_start, wanted)
                )
                names = [*(run.target for run in runs), *wanted.tasks]
                code = doit_adapter.execute_runs(
                    self, params, names, wanted.options, super().execute
                )
            else:
                doit_adapter.run_stages(runs, wanted.options)
        finally:
            for run in runs:
                run.events.end()
                run.remember()
                complete |= {run.plan.pipeline.name} if run.is_complete else set()
                if run.is_complete and wanted.json:
                    print_json(run_as_json(run))
                elif run.is_complete or (run.plan.combinations and run.results):
                    print(run_summary(run, time.perf_counter() - began))
                    print_sweep(run, params["metric"], lowest=params["lowest"])
        return 1 if code else 0


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Words of a `doit run`: pipelines and stages of them, other tasks, and the request for each pipeline, whose name it lacks.

    `single` is doit's own word for `only`.
    """

    settings: Settings
    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    request: Request
    single: bool
    options: doit_adapter.RunOptions
    json: bool


def _read(root: Path, params: Any, names: Sequence[str]) -> _Wanted:
    """The words as they were typed. Words after --set and --force belong to them: more assignments, more stages."""
    known = pipeline_files(root)
    _refuse_commands([name for name in names if name not in known])
    named = [name for name in names if name.partition(":")[0] in known]
    others = [name for name in names if name not in named]
    # A whole pipeline brings those of its stages that are named beside it.
    targets = tuple(
        t for t in dict.fromkeys(named) if t in known or t.partition(":")[0] not in named
    )
    assignments = [word for word in others if "=" in word] if targets else []
    tasks = [word for word in others if word not in assignments]
    forced = [part for word in params["force"] for part in word.split(",") if part]
    if targets and forced:
        forced, tasks = [*forced, *tasks], []
    wanted = _Wanted(
        settings=read_settings(root),
        targets=targets,
        tasks=tuple(tasks),
        request=msgspec.structs.replace(
            request_of("", params, assignments),
            force=tuple(forced),
            only=params["only"],
            always=params["always"],
        ),
        single=params["single"],
        options=doit_adapter.RunOptions(
            params["jobs"] or params["num_process"],
            params["keep_going"] or params["continue"] or bool(params["sweep"]),
        ),
        json=params["json"],
    )
    if len(targets) + len(tasks) > 1:
        _refuse_shared_options(wanted)
    if (params["metric"] or params["lowest"]) and not params["sweep"]:
        raise UsageError(
            "--metric and --lowest rank the combinations of a --sweep",
            hint="doit metrics PIPELINE compares past runs",
        )
    return wanted


def _start(wanted: _Wanted, target: str) -> PipelineRun:
    """The run of a pipeline, or of one of its stages, planned as it is wanted."""
    name, _, stage = target.partition(":")
    only = wanted.request.only or (_single(target) if wanted.single else "")
    request = msgspec.structs.replace(wanted.request, pipeline=name, only=only)
    made = plan_request(wanted.settings, request, fetch=True)
    _check_target(made, stage)
    return PipelineRun(made, Progress(made), stage=stage)


def _debug(wanted: _Wanted) -> int:
    [target, *others] = (*wanted.targets, *wanted.tasks)
    name, _, stage = target.partition(":")
    if others or not stage or wanted.request.sweep:
        hint = f"doit run {name}:{stage or 'STAGE'} --pdb, with --set for its parameters"
        raise UsageError("--pdb is for one stage", hint=hint)
    from daintree.commands.shell import debug_stage

    request = msgspec.structs.replace(
        wanted.request, pipeline=name, force=(), only="", always=False
    )
    return debug_stage(plan_request(wanted.settings, request, fetch=True), stage)


def _rounds(root: Path, targets: Sequence[str]) -> Iterator[list[str]]:
    """The targets in groups that run together; one that reads another's output is planned once that one has run.

    So is another stage of a pipeline, which needs what that one has computed.
    """
    together: list[str] = []
    written: list[Path | None] = []
    for target in targets:
        sources, output = _places(root, target)
        pipeline = target.partition(":")[0]
        same = any(other.partition(":")[0] == pipeline for other in together)
        if same or _reads(sources, written):
            yield together
            together, written = [], []
        together.append(target)
        written.append(output)
    if together:
        yield together


def _places(root: Path, target: str) -> tuple[list[Path], Path | None]:
    pipeline = load_pipeline(root, target.partition(":")[0], reserved_names(root))
    sources = [Path(os.path.abspath(root / s.location)) for s in pipeline.sources.values()]
    output = Path(os.path.abspath(root / pipeline.output)) if pipeline.output else None
    return sources, output


def _reads(sources: Sequence[Path], outputs: Sequence[Path | None]) -> bool:
    """True where a source lies in one of the output directories."""
    return any(source.is_relative_to(out) for out in outputs if out for source in sources)


def _check_target(made: Planned, stage: str) -> None:
    session, plan = made
    if stage:
        session.pipeline.stage(stage)
    only = plan.request.only
    if plan.combinations and (stage or only) in {bound.name for bound in plan.stages}:
        raise UsageError(
            f"no value of --sweep reaches the stage {stage or only}",
            hint="sweep parameters of that stage, or of stages before it",
        )
    if stage and only and only != stage:
        raise UsageError(f"--only {only} and {plan.pipeline.name}:{stage} contradict each other")
    if plan.request.output and (stage or only):
        raise UsageError(
            f"--output is for a whole pipeline, and this run is of the stage {stage or only} alone",
            hint=f"doit pull {plan.pipeline.name}:{stage or only} --to DIR copies what a stage has put out",
        )
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


def _refuse_commands(names: Sequence[str]) -> None:
    for name in names:
        if name in COMMANDS:
            raise UsageError(
                f"{name!r} is a command, which comes first", hint=f"doit {name} NAME --OPTION …"
            )


def _refuse_shared_options(wanted: _Wanted) -> None:
    request, names = wanted.request, (*wanted.targets, *wanted.tasks)
    given = {
        "source": request.sources,
        "output": request.output,
        "set": request.set,
        "sweep": request.sweep,
        "force": request.force,
        "only": request.only,
        "json": wanted.json,
    }
    for name in filter(given.get, given):
        raise UsageError(
            f"--{name} with several names ({', '.join(names)}): which of them is it for?",
            hint="run them one by one",
        )
