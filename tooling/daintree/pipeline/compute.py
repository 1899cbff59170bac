"""Computing one stage: its input laid out, its component run, its output hashed and recorded."""

from __future__ import annotations

import getpass
import os
import platform
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from daintree import __version__
from daintree.components import ComponentVersion
from daintree.components.commit_tree import head
from daintree.components.snapshot import make_snapshot
from daintree.digest import short
from daintree.errors import (
    ArtifactDamaged,
    ArtifactRejected,
    DaintreeError,
    SourceError,
    StageFailed,
)
from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.plan import Plan
from daintree.pipeline.session import Session
from daintree.runners.runner import Job, Outcome, Prepared, Runner
from daintree.runners.variables import failure_hint
from daintree.settings import Settings
from daintree.spec.parameters import as_argument
from daintree.store.integrity import hash_artifact
from daintree.store.protocol import Staging, Store
from daintree.store.records import (
    Artifact,
    IndexRecord,
    InputRecord,
    Keys,
    RunManifest,
    index_record_of,
)


def prepare(
    session: Session, plan: Plan, stage: BoundStage, announce: Callable[[str], None]
) -> Prepared:
    """What the plan's runner runs the stage's version in. Raises EnvironmentFailed, VersionError."""
    return prepare_version(session.runner, plan.version_of(stage), session.settings, announce)


def prepare_version(
    runner: Runner, version: ComponentVersion, settings: Settings, announce: Callable[[str], None]
) -> Prepared:
    """What the runner runs the version in; its snapshot is made if the runner needs one. Raises as `prepare` does."""
    return runner.prepare(
        version, lambda: make_snapshot(version, settings.root, settings.snapshots), announce
    )


def job_of(
    session: Session,
    stage: BoundStage,
    run: str,
    prepared: Prepared,
    needs: Mapping[str, IndexRecord],
    place: Staging,
    cancelled: Callable[[], bool] = lambda: False,
) -> Job:
    """The stage as a job that reads the outputs of these runs, or the plan's source where it needs none.

    `place` has the directories for its output, its temporary files and its log; the input is laid out beside
    its `scratch`.
    """
    url = "" if needs else session.source.url
    directory, places = (
        (url, {}) if url else _lay_out(session, needs, place.scratch.with_name("input"))
    )
    return Job(
        label=f"{session.pipeline.name}:{stage.name}",
        component=stage.component,
        version=stage.version,
        run=run,
        prepared=prepared,
        arguments=arguments_of(stage),
        input=str(directory),
        places=places,
        output=place.output,
        scratch=place.scratch,
        log=place.log,
        # Whoever reads a URL needs the network for it.
        network=stage.spec.network or bool(url),
        env=stage.spec.env,
        object_store=url.startswith("s3://"),
        resources=stage.resources,
        cancelled=cancelled,
    )


def arguments_of(stage: BoundStage) -> tuple[str, ...]:
    """The parameters as the component's command line takes them, sorted by name.

    A value that begins with a dash is joined to its flag, so that no parser takes it for a flag of its own.
    """
    arguments: list[str] = []
    for name, value in sorted(stage.parameters.items()):
        flag, text = "--" + name.replace("_", "-"), as_argument(value)
        arguments += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return tuple(arguments)


def _lay_out(
    session: Session, needs: Mapping[str, IndexRecord], directory: Path
) -> tuple[Path, Mapping[str, Path]]:
    """The directory the stage reads, and where its parts really are.

    A single need's output is read in place; else `directory` is made and filled with links, one per need or
    source file.
    """
    outputs = {name: session.store.output_path(record.location) for name, record in needs.items()}
    if len(outputs) == 1:
        [output] = outputs.values()
        return output, {"": output}
    directory.mkdir()
    for name, output in outputs.items():
        (directory / name).symlink_to(output)
    return directory, outputs or session.source.files(directory)


class Listener(Protocol):
    """Gets the events of a run; called from the threads that the stages run in."""

    def hit(self, stage: str, record: IndexRecord) -> None:
        """A stage's output is in the store."""
        ...

    def starting(self, stage: str, reason: str) -> None:
        """A stage is about to be computed."""
        ...

    def line(self, stage: str, text: str) -> None:
        """The stage said a line."""
        ...

    def computed(self, stage: str, record: IndexRecord) -> None:
        """A stage was computed and published."""
        ...

    def note(self, stage: str, text: str) -> None:
        """Something worth knowing that is no problem: an installation, a wait."""
        ...

    def warning(self, stage: str, text: str) -> None:
        """Something went wrong and is being put right."""
        ...


LAST_LINES = 12


@dataclass(frozen=True)
class Attempt:
    """One stage about to be computed: on which inputs (by need, "" for the source), under which content key, and why."""

    stage: BoundStage
    inputs: Mapping[str, IndexRecord | None]
    digests: Mapping[str, str]
    content: str
    reason: str


@dataclass(frozen=True)
class _Execution:
    """How an attempt went: its run and when it began, what it ran in, how it ended, and its output or why it has none."""

    run: str
    started: datetime
    prepared: Prepared
    outcome: Outcome
    output: Artifact | None
    failure: str


def compute(
    session: Session,
    plan: Plan,
    attempt: Attempt,
    listener: Listener,
    may_publish: Callable[[], bool],
    cancelled: Callable[[], bool],
) -> IndexRecord:
    """Run the stage and keep the run, failed or not; return what the index should say of it.

    The index itself is the caller's. Raises StageFailed when the stage does not succeed (the run is kept,
    with its log), SourceError when the source changed meanwhile (nothing is kept).
    """
    stage = attempt.stage
    prepared = prepare(session, plan, stage, lambda text: listener.note(stage.name, text))
    started = datetime.now(UTC)
    run = run_id(started)
    with session.store.stage(run) as staging:
        records = {name: record for name, record in attempt.inputs.items() if record is not None}
        job = job_of(session, stage, run, prepared, records, staging, cancelled)
        tail: deque[str] = deque(maxlen=LAST_LINES)

        def on_line(text: str) -> None:
            tail.append(text)
            listener.line(stage.name, text)

        outcome = session.runner.execute(job, on_line)
        output, failure = _judge(stage, outcome, staging)
        _check_inputs(session, plan, attempt)
        execution = _Execution(run, started, prepared, outcome, output, failure)
        manifest = _manifest(session, plan, attempt, execution)
        if not may_publish():
            raise StageFailed(
                f"stage {job.label} took so long that another run took over its place",
                hint="run it again: what the other run publishes is a hit",
            )
        session.store.publish_run(staging, manifest)
    if failure:
        raise _failed(session.store, stage, manifest, list(tail))
    return index_record_of(manifest)


def run_id(started: datetime) -> str:
    """A new run id, `<UTC time>-<nonce>`: ids sort by time, and no two runs share one."""
    return f"{started:%Y%m%dT%H%M%S}{started.microsecond // 1000:03d}Z-{os.urandom(4).hex()}"


def _judge(stage: BoundStage, outcome: Outcome, staging: Staging) -> tuple[Artifact | None, str]:
    """The output of a stage that succeeded, or why it did not."""
    limit = stage.resources.memory
    if outcome.exit_code and outcome.out_of_memory and limit:
        return None, f"ran out of memory: limit {limit}; resources.memory in component.yaml"
    if outcome.exit_code < 0:
        return None, f"was killed by {_signal_name(-outcome.exit_code)}"
    if outcome.exit_code:
        return None, f"ended with exit code {outcome.exit_code}"
    for name in stage.spec.outputs:
        if not (staging.output / name).is_file():
            return None, f"did not write {name}, which its component.yaml promises"
    try:
        output = hash_artifact(staging.output)
    except ArtifactRejected as error:
        return None, error.message + (f" ({error.hint})" if error.hint else "")
    beside = {path.name for path in staging.output.parent.iterdir()}
    strays = sorted(beside - {staging.output.name, staging.log.name})
    if strays:
        return None, f"wrote {strays[0]!r} beside its output directory, not into it"
    return output, ""


def _signal_name(number: int) -> str:
    import signal

    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return name + (" (out of memory?)" if name == "SIGKILL" else "")


def _check_inputs(session: Session, plan: Plan, attempt: Attempt) -> None:
    """Raise unless the inputs still are what they were when the stage began."""
    label = f"stage {session.pipeline.name}:{attempt.stage.name}"
    if not attempt.stage.needs and not session.source.unchanged():
        raise SourceError(
            f"{label}: the source {plan.identity.origin} changed while it was read; nothing is recorded",
            hint="run again when whatever writes it is done",
        )
    for name, record in attempt.inputs.items():
        if record is not None:
            try:
                session.store.check(record, thorough=False)
            except ArtifactDamaged as damage:
                raise StageFailed(
                    f"{label}: its input from {name} changed while it ran ({damage.message}); nothing is recorded",
                    hint="a component must not write to its --input",
                ) from None


def _manifest(session: Session, plan: Plan, attempt: Attempt, execution: _Execution) -> RunManifest:
    stage, outcome = attempt.stage, execution.outcome
    commit, dirty = _commit(session.settings.root, plan.version_of(stage))
    return RunManifest(
        run=execution.run,
        location=_location(session.settings.prefix, stage, execution.started, execution.run),
        pipeline=plan.pipeline.name,
        stage=stage.name,
        component=stage.component,
        version=stage.version,
        version_files=dict(stage.files),
        parameters=dict(stage.parameters),
        ineffective=stage.ineffective,
        environment=stage.environment,
        runner=plan.runner,
        image=execution.prepared.digest or execution.prepared.image,
        keys=Keys(stage.recipe, attempt.content),
        inputs=tuple(
            InputRecord(name, digest, *_origins(plan, attempt, name))
            for name, digest in sorted(attempt.digests.items())
        ),
        output=execution.output,
        result="failed" if execution.failure else "succeeded",
        failure=execution.failure,
        reason=attempt.reason,
        started=_timestamp(execution.started),
        finished=_timestamp(datetime.now(UTC)),
        seconds=round(outcome.seconds, 3),
        exit_code=outcome.exit_code,
        peak_memory=outcome.peak_memory,
        user=current_user(),
        host=platform.node(),
        commit=commit,
        dirty=dirty,
        tooling=__version__,
        python=platform.python_version(),
    )


def _origins(plan: Plan, attempt: Attempt, name: str) -> tuple[str, str]:
    """Where an input was read from, and where its server redirected to."""
    record = attempt.inputs[name]
    if record is None:
        return plan.identity.origin, plan.identity.final_origin
    return record.location, ""


def _commit(root: Path, version: ComponentVersion) -> tuple[str, bool]:
    """The commit the stage ran at, and whether its component's files differ from it; asked once a run."""
    paths = [f"components/{n}" for n in (version.name, *version.libraries)]
    try:
        return head(root, paths)
    except DaintreeError:
        return "", False


def current_user() -> str:
    """Who runs this process, for records; "" where the machine does not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _location(prefix: str, stage: BoundStage, started: datetime, run: str) -> str:
    return prefix.format(
        component=stage.component,
        version=short(stage.version),
        year=f"{started:%Y}",
        month=f"{started:%m}",
        day=f"{started:%d}",
        timestamp=run,
    )


def _failed(store: Store, stage: BoundStage, manifest: RunManifest, tail: list[str]) -> StageFailed:
    said = "".join(f"\n    {line}" for line in tail)
    log = f"the whole log is {store.log_path(manifest.location)}"
    advice = failure_hint(stage.component, tail, stage.spec.env, os.environ)
    return StageFailed(
        f"stage {manifest.pipeline}:{manifest.stage} {manifest.failure}"
        + (f"; the last it said:{said}" if said else "; it said nothing"),
        hint=f"{advice}; {log}" if advice else log,
    )
