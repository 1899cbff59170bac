"""`doit pull`, `doit shell` and `doit run --pdb`: one stage by itself, or all of them, on what the store has."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from daintree.commands.command import (
    DaintreeCommand,
    fixed_address,
    option,
    plan_request,
    request_of,
    shared,
)
from daintree.components import ComponentVersion, directory_of
from daintree.concurrency import side_by_side
from daintree.errors import SourceError, UsageError
from daintree.pipeline import past_run
from daintree.pipeline.addresses import Address, find_output, find_run, named_runs, pipeline_of
from daintree.pipeline.decisions import BoundStage, Hit, inputs_of
from daintree.pipeline.output_directory import Copied, copy_of, publish_copy
from daintree.pipeline.plan import Plan, Planned
from daintree.pipeline.session import Request, Session
from daintree.process import run_in_foreground
from daintree.runners.runner import Job
from daintree.settings import expand_home
from daintree.spec.pipeline import component_hint
from daintree.store.integrity import hash_artifact
from daintree.store.records import IndexRecord, RunManifest, index_record_of
from daintree.store.store import Store, open_store
from daintree.terminal import count, say, size

FETCHED_TOGETHER = 4


class Pull(DaintreeCommand):
    """Copies a stage's last inputs and output, or the outputs of all stages, out of the store."""

    doc_usage = "PIPELINE[:STAGE][@NAME] | RUN [--set stage.parameter=value …]"
    doc_description = (
        "Fetches the inputs that the stage would read now, or else those of its last run, and the output that came "
        "of them, into DIR/input and DIR/output. Of a whole pipeline: the output of each stage that a run would not "
        "compute, into DIR/STAGE/output. With @NAME: what the runs read and wrote that have the name; of RUN, a run id or its beginning: what that run did. Every file is verified; files that are not its own are never touched."
    )
    cmd_options = (
        *shared("source", "set", "runner", "verify"),
        option("to", "the directory (default: pull/PIPELINE[/STAGE] in the project)"),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        target, *words = names
        pipeline, _, stage = target.partition(":")
        request, to = request_of(pipeline, options, words), options["to"]
        if address := fixed_address(self.root, target, request):
            self._pull_runs(address, request, to)
        elif ":" in target:
            self._pull_stage(request, stage, to)
        else:
            self._pull_outputs(request, to)

    def _pull_stage(self, request: Request, stage: str, to: str) -> None:
        session, plan = plan_request(self.settings, request, fetch=True)
        cached = last_data(session, plan, stage)
        directory = self._directory(to, request.pipeline, stage)
        copy_data(session, plan, cached, directory)
        read = [r for r in cached.needs.values() if not past_run.is_receipt(session.store, r)]
        print(f"{directory}/input  {_what(*read) if cached.needs else 'the source'}")
        if cached.output:
            print(f"{directory / 'output'}  {_what(cached.output)}")
        else:
            target = f"{request.pipeline}:{stage}"
            say(f"no run of {target} on these inputs is recorded: there is no output")

    def _pull_outputs(self, request: Request, to: str) -> None:
        session, plan = plan_request(self.settings, request, fetch=True)
        pipeline, directory = request.pipeline, self._directory(to, request.pipeline)
        outputs = {name: d.record for name, d in plan.decisions.items() if isinstance(d, Hit)}
        if not outputs:
            raise UsageError(
                f"the store has no output of {pipeline} as it is now", hint=f"doit run {pipeline}"
            )
        # Those that the cache lacks are fetched together; what has the same bytes lies in one place.
        records = {record.location: record for record in outputs.values()}
        side_by_side(session.store.output_path, records.values(), FETCHED_TOGETHER)
        for stage in plan.stages:
            if stage.name in outputs:
                target, record = directory / stage.name, outputs[stage.name]
                content = {"output": copy_of(record, session.store)}
                publish_copy(target, content, session.store, self.root, option="--to")
                print(f"{target / 'output'}  {_what(record)}")
            else:
                say(f"{pipeline}:{stage.name} has no output in the store: doit run {pipeline}")

    def _pull_runs(self, address: Address, request: Request, to: str) -> None:
        store = open_store(self.settings, verify=request.verify)
        if address.name:
            runs, pipeline, stage = named_runs(store, address), address.subject, address.stage
        else:
            run = find_output(store, address)
            runs, pipeline, stage = {run.stage: run}, run.pipeline, run.stage
        directory = self._directory(to, pipeline, stage)
        for name, run in runs.items():
            for path in copy_run(store, self.root, run, directory if stage else directory / name):
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
    doc_usage = "PIPELINE:STAGE [--set stage.parameter=value …] | RUN | PIPELINE[:STAGE]@NAME"
    doc_description = (
        "The shell runs where the stage would: in its virtual environment or, with the docker runner, in a container. "
        "Its directory is laid out as in the image and leads into the working tree, so that an edit counts at once. "
        "$RUN runs the stage's command, $INPUT is what it reads, $OUTPUT an empty directory that is removed at the end. "
        "What comes on stdin is run, where that is no terminal. Nothing is recorded. With RUN, a run id or its beginning, or @NAME it is that run's "
        "own version, parameters and inputs, also of one that failed."
    )
    cmd_options = (
        *shared("source", "set", "runner"),
        option("frozen", "the version's own files instead of the working tree's", type=bool),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Open it; the exit code is the shell's. Raises UsageError for a whole pipeline."""
        target, *words = names
        pipeline, _, stage = target.partition(":")
        request = request_of(pipeline, options, words)
        if address := fixed_address(self.root, target, request):
            store = open_store(self.settings)
            run = find_run(store, address, pipeline_of(self.root, address))
            session = past_run.session_of_run(self.settings, store, run)
            with past_run.job_of_run(session, run) as job:
                return self._open(session, job)
        if not stage:
            raise UsageError(
                f"doit shell {target}: which stage?",
                hint=component_hint(self.root, target) or "doit shell PIPELINE:STAGE",
            )
        session, plan = plan_request(self.settings, request, fetch=True)
        cached = last_data(session, plan, stage)
        with shell_job(session, plan, cached, frozen=options["frozen"]) as job:
            return self._open(session, job)

    def _open(self, session: Session, job: Job) -> int:
        shell = session.runner.shell(job, terminal=sys.stdin.isatty())
        say(f"{job.label} in its environment ({session.runner.name}); $RUN runs")
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
    with shell_job(session, plan, last_data(session, plan, stage)) as job:
        shell = session.runner.shell(job, terminal=True)
        python, *program = shell.command
        say(f"{job.label} under pdb; nothing is recorded")
        return run_in_foreground(
            [python, "-c", _DEBUGGED, *program], cwd=job.scratch, env=shell.variables
        )


def _what(*records: Any) -> str:
    files, total = sum(r.count for r in records), sum(r.bytes for r in records)
    return f"{count(files, 'file')}, {size(total)}"


class StageData(msgspec.Struct, frozen=True):
    """A stage, the outputs that it reads by need (its sources are the plan's), and its output, None where it has none yet."""

    stage: BoundStage
    needs: Mapping[str, IndexRecord]
    output: IndexRecord | None


def last_data(session: Session, plan: Plan, name: str) -> StageData:
    """The inputs the stage would read now, where all of them are in the store; else those of its last run.

    The output is the one that came of these inputs: a hit's, else that of the last run if it read the same.
    Raises UsageError for an unknown stage, and where there is nothing at all.
    """
    stage = plan.stage(name)
    decision = plan.decisions[name]
    digests = inputs_of(stage, plan.decisions, plan.identities)
    last = session.last_run(stage.name)
    if last is not None and last.result != "succeeded":
        last = None
    if digests is None:
        if last is None:
            waits = ", ".join(n for n in stage.needs if not isinstance(plan.decisions[n], Hit))
            raise UsageError(
                f"{plan.pipeline.name}:{name} has never run, and the store has no output of {waits} for it to read",
                hint=f"doit run {plan.pipeline.name}:{waits.partition(',')[0]}",
            )
        return StageData(stage, past_run.inputs_of_run(session, last), index_record_of(last))
    needs = {n: d.record for n in stage.needs if isinstance(d := plan.decisions[n], Hit)}
    if isinstance(decision, Hit):
        return StageData(stage, needs, decision.record)
    same = last is not None and {record.name: record.digest for record in last.inputs} == digests
    return StageData(stage, needs, index_record_of(last) if last and same else None)


def copy_data(session: Session, plan: Plan, cached: StageData, directory: Path) -> None:
    """Make `directory/input` and `directory/output` verified copies, both at once.

    The input is laid out as the stage reads it. Raises as `publish_copy` does, SourceError for a source that
    has changed.
    """
    contents = {need: _input(record, session.store) for need, record in cached.needs.items()}
    contents |= {name: _source(session, plan, name) for name in cached.stage.sources}
    several = len(contents) > 1
    contents = {
        f"input/{name}" if several else "input": content for name, content in contents.items()
    }
    if cached.output:
        contents["output"] = copy_of(cached.output, session.store)
    publish_copy(directory, contents, session.store, session.settings.root, option="--to")


def copy_run(store: Store, root: Path, run: RunManifest, directory: Path) -> list[Path]:
    """Make `directory/output`, and `directory/input` where the store has it, verified copies of what a run wrote and read; these.

    A source that was read in place is not in the store. Raises as `publish_copy` does.
    """
    contents = {"output": copy_of(index_record_of(run), store)}
    digests = {record.name: record.digest for record in run.inputs}
    origins = {r.name: store.read_run(r.origin) for r in run.inputs if not r.is_source}
    for name, origin in origins.items():
        if (
            origin is not None
            and origin.output is not None
            and origin.output.digest == digests[name]
        ):
            place = f"input/{name}" if len(run.inputs) > 1 else "input"
            contents[place] = _input(index_record_of(origin), store)
    publish_copy(directory, contents, store, root, option="--to")
    return [directory / name for name in ("input", "output") if (directory / name).is_dir()]


def _input(record: IndexRecord, store: Store) -> Copied:
    """An output as the stage that needs it reads it: that of a stage without one is an empty directory."""
    copied = copy_of(record, store)
    if past_run.is_receipt(store, record):
        return copied._replace(digest="", write=lambda target: target.mkdir(parents=True))
    return copied


def _source(session: Session, plan: Plan, name: str) -> Copied:
    digest, origin = plan.identities[name].digest, plan.identities[name].origin
    assert digest is not None

    def write(target: Path) -> None:
        source, links = session.sources[name], target.with_name(f"{target.name}.links")
        links.mkdir(parents=True)
        source.files(links)
        shutil.copytree(links, target)
        shutil.rmtree(links)
        # The digest of what lies in a bucket is that of its listing.
        if not (source.unchanged() if source.url else hash_artifact(target).digest == digest):
            raise SourceError(f"the source {origin} changed while it was read", hint="run it again")

    return Copied(digest, write)


@contextmanager
def shell_job(
    session: Session, plan: Plan, cached: StageData, *, frozen: bool = False
) -> Iterator[Job]:
    """The stage as a job on its cached inputs, whose bytes are verified; its output is removed in the end.

    Its program is the working tree's, laid out as in the image, so that an edit counts at once; `frozen`: the version's snapshot.

    Raises StoreError when an input is not whole, and as preparing the environment does.
    """
    past_run.check_needs(session, cached.needs)
    version = plan.version_of(cached.stage)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        working_tree: tuple[Path, ...] = ()
        # An image is built of the version's own files, which the working tree's may cease to be meanwhile.
        prepared = session.prepare(version, say)
        if not (frozen or version.image):
            links = Path(name, "application")
            working_tree = (links, *_link_working_tree(version, session.settings.root, links))
            if prepared.snapshot:
                prepared = msgspec.structs.replace(prepared, snapshot=links)
        job = past_run.new_job(session, cached.stage, prepared, cached.needs, Path(name))
        # A component whose `data` is a file runs in no container.
        if working_tree and not (working_tree[0] / "data").is_symlink():
            _make_mount_points(working_tree[0] / "data", job)
        yield msgspec.structs.replace(job, working_tree=working_tree)


def _make_mount_points(directory: Path, job: Job) -> None:
    """Make what a container mounts below the directory of links, which is read-only in it."""
    for name in ("output", "scratch", "input"):
        # Hides what the component has there itself, as in the image.
        (directory / name).unlink(missing_ok=True)
        (directory / name).mkdir()
    (directory / "ca-bundle.pem").touch()
    for name, place in job.places.items():
        point = directory / "input" / name
        if name and place.is_dir():
            point.mkdir(parents=True)
        elif name:
            point.parent.mkdir(parents=True, exist_ok=True)
            point.touch()


def _link_working_tree(version: ComponentVersion, root: Path, links: Path) -> list[Path]:
    """Fill `links` with a link for each entry of the version, into the component or a library; the directories linked into."""
    entries: dict[str, str] = {}
    for file in version.files:
        parts = file.path.split("/")
        # What a container mounts lies in `data`, so that one is a directory of links itself.
        depth = 2 if parts[0] == "data" and len(parts) > 1 else 1
        rest = "".join(f"/{part}" for part in parts[depth:])
        entries["/".join(parts[:depth])] = file.origin.removesuffix(rest)
    links.mkdir()
    if "data" not in entries:
        (links / "data").mkdir()
    for name, origin in entries.items():
        if (root / origin).exists():
            (links / name).symlink_to(root.resolve() / origin)
    # Whoever edits in place does so in the working tree, and replaces no link.
    links.chmod(0o555)
    users = (version.name, *version.libraries)
    return [root.resolve() / directory_of(user) for user in users]
