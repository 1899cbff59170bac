"""`doit pull`, `doit shell` and `doit run --pdb`: one stage by itself, or all of them, on what the store has."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daintree.commands.command import (
    PLANNING,
    VERIFY,
    DaintreeCommand,
    option,
    plan_request,
    request_of,
)
from daintree.commands.name import fixed_address
from daintree.errors import UsageError
from daintree.pipeline.addresses import Address, named_runs
from daintree.pipeline.plan import Planned
from daintree.pipeline.session import Request
from daintree.pipeline.stage_data import (
    copy_data,
    copy_outputs,
    copy_run,
    last_data,
    outputs_in_store,
    shell_job,
)
from daintree.process import run_in_foreground
from daintree.settings import expand_home
from daintree.store.store import open_store
from daintree.terminal import count, say, size


class Pull(DaintreeCommand):
    """Copies a stage's last inputs and output, or the outputs of all stages, out of the store."""

    doc_usage = "PIPELINE[:STAGE][@NAME] [--set stage.parameter=value …]"
    doc_description = (
        "Fetches the inputs that the stage would read now, or else those of its last run, and the output that came "
        "of them, into DIR/input and DIR/output. Of a whole pipeline: the output of each stage that a run would not "
        "compute, into DIR/STAGE/output. With @NAME: what the runs read and wrote that have the name. Every file is verified; files that are not its own are never touched."
    )
    cmd_options = (
        *PLANNING,
        VERIFY,
        option("to", "the directory (default: pull/PIPELINE[/STAGE] in the project)"),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Find, copy, and print where."""
        target, *words = names
        pipeline, _, stage = target.partition(":")
        request, to = request_of(pipeline, options, words), options["to"]
        if "@" in target:
            self._pull_named(fixed_address(target, request), request, to)
        elif ":" in target:
            self._pull_stage(request, stage, to)
        else:
            self._pull_outputs(request, to)

    def _pull_stage(self, request: Request, stage: str, to: str) -> None:
        session, plan = plan_request(self.settings, request, fetch=True)
        cached = last_data(session, plan, stage)
        directory = self._directory(to, request.pipeline, stage)
        copy_data(session, plan, cached, directory)
        read = cached.needs.values()
        print(f"{directory}/input" + (f"  {_what(*read)}" if read else "  the source"))
        if cached.output:
            print(f"{directory / 'output'}  {_what(cached.output)}")
        else:
            target = f"{request.pipeline}:{stage}"
            say(f"no run of {target} on these inputs is recorded: there is no output")

    def _pull_outputs(self, request: Request, to: str) -> None:
        session, plan = plan_request(self.settings, request, fetch=True)
        pipeline, directory = request.pipeline, self._directory(to, request.pipeline)
        outputs = outputs_in_store(plan)
        copy_outputs(session, outputs, directory)
        for stage in plan.stages:
            if stage.name in outputs:
                print(f"{directory / stage.name / 'output'}  {_what(outputs[stage.name])}")
            else:
                say(f"{pipeline}:{stage.name} has no output in the store: doit run {pipeline}")

    def _pull_named(self, address: Address, request: Request, to: str) -> None:
        store = open_store(self.settings, verify=request.verify)
        directory = self._directory(to, address.subject, address.stage)
        for stage, run in named_runs(store, address).items():
            place = directory / ("" if address.stage else stage)
            for path in copy_run(store, self.root, run, place):
                print(path)

    def _directory(self, to: str, pipeline: str, stage: str = "") -> Path:
        if not to:
            return self.root / "pull" / pipeline / stage
        chosen = Path(expand_home(to)).absolute()
        for place in (chosen, *chosen.parents):
            if place.exists() and not place.is_dir():
                raise UsageError(
                    f"--to {to}: {place} is no directory",
                    hint="name a directory, there or to be made",
                )
        return chosen


class OpenShell(DaintreeCommand):
    """Opens a shell in a stage's environment, on its last inputs, with its command ready."""

    name = "shell"
    doc_usage = "PIPELINE:STAGE [--set stage.parameter=value …]"
    doc_description = (
        "The shell runs where the stage would: in its virtual environment or, with the docker runner, in a container. "
        "Its directory is laid out as in the image and leads into the working tree, so that an edit counts at once. "
        "$RUN runs the stage's command, $INPUT is what it reads, $OUTPUT an empty directory that is removed at the end. "
        "What comes on stdin is run, where that is no terminal. Nothing is recorded."
    )
    cmd_options = (
        *PLANNING,
        option("frozen", "the version's own files instead of the working tree's", type=bool),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Open it; the exit code is the shell's. Raises UsageError for a whole pipeline."""
        target, *words = names
        pipeline, _, stage = target.partition(":")
        if not stage:
            raise UsageError(f"doit shell {target}: which stage?", hint="doit shell PIPELINE:STAGE")
        request = request_of(pipeline, options, words)
        session, plan = plan_request(self.settings, request, fetch=True)
        cached = last_data(session, plan, stage)
        with shell_job(session, plan, cached, say, frozen=options["frozen"]) as job:
            shell = session.runner.shell(job, terminal=sys.stdin.isatty())
            say(f"{job.label} in its environment ({plan.runner}); $RUN runs")
            say(f"  {shlex.join(shell.command)}")
            return run_in_foreground(shell.start, cwd=shell.directory, env=shell.variables)


# Runs a program as __main__ and opens the debugger where it fails; an exit that was made of an error counts as that error.
_DEBUGGED = """
import os, pdb, runpy, sys, traceback
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except BaseException as raised:
    error = raised.__context__ if isinstance(raised, SystemExit) else raised
    if error is None or getattr(raised, "code", 1) in (0, None):
        raise
    traceback.print_exception(error)
    pdb.post_mortem(error.__traceback__)
    sys.exit(1)
"""


def debug_stage(made: Planned, stage: str) -> int:
    """Run a stage's program in the working tree on this terminal, with Python's debugger where it fails; its exit code.

    Nothing is recorded. Raises UsageError without a terminal, for another runner than the local one, and as `last_data` does.
    """
    session, plan = made
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise UsageError(
            "--pdb needs a terminal", hint="type it yourself, without a pipe before or after it"
        )
    if plan.runner != "local":
        raise UsageError(f"--pdb: the runner {plan.runner} has no debugger", hint="--runner local")
    with shell_job(session, plan, last_data(session, plan, stage), say) as job:
        shell = session.runner.shell(job, terminal=True)
        python, *program = shell.command
        say(f"{job.label} under pdb; nothing is recorded")
        return run_in_foreground(
            [python, "-c", _DEBUGGED, *program], cwd=job.scratch, env=shell.variables
        )


def _what(*records: Any) -> str:
    files, total = sum(r.count for r in records), sum(r.bytes for r in records)
    return f"{count(files, 'file')}, {size(total)}"
