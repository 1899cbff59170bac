"""Execution of one stage: lease, look again, verify inputs, snapshot, runner, judge the output, publish."""

from __future__ import annotations

import os
import platform
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from daintree import __version__
from daintree.components import ComponentVersion
from daintree.components.git import head
from daintree.concurrency import Cancellation
from daintree.errors import ArtifactDamaged, ArtifactRejected, GitError, SourceError, StageFailed
from daintree.pipeline.decisions import FORCED, BoundStage, Decision, Hit, Miss, Pending, Result
from daintree.pipeline.keys import RECEIPT, receipt
from daintree.pipeline.plan import Planned, decide_stage
from daintree.pipeline.session import Session
from daintree.runners.runner import Job, Outcome, Prepared
from daintree.runners.variables import environment_for, failure_hint, masked, secrets_of
from daintree.store import records
from daintree.store.directory import Staging
from daintree.store.index import publish_recipe, publish_result
from daintree.store.integrity import hash_artifact
from daintree.store.layout import run_id, run_location, timestamp
from daintree.store.leases import Lease

LAST_LINES = 12


class Events(Protocol):
    """Receiver of the events of a run; called from the threads that the stages run in."""

    def hit(self, stage: str, record: records.IndexRecord) -> None:
        """A stage's output is in the store."""
        ...

    def starting(self, stage: str, reason: str, expected: float | None) -> None:
        """A stage is about to be computed; its last run took `expected` seconds, None where there is none."""
        ...

    def line(self, stage: str, text: str) -> None:
        """A line of the stage's own output."""
        ...

    def computed(self, stage: str, record: records.IndexRecord) -> None:
        """A stage was computed and published."""
        ...

    def note(self, stage: str, text: str) -> None:
        """Something worth knowing that is no problem: an installation, a wait."""
        ...

    def warning(self, stage: str, text: str) -> None:
        """Something went wrong and is being put right."""
        ...

    def end(self) -> None:
        """No further event comes."""
        ...


class InputDamaged(Exception):
    """The output of `need`, which a stage was about to read, is not whole."""

    def __init__(self, need: str, record: records.IndexRecord, damage: ArtifactDamaged) -> None:
        super().__init__(damage.message)
        self.need = need
        self.decision = Miss(damage.message, damaged=record)


class _Execution(msgspec.Struct, frozen=True):
    """One call of the runner: the run's id and beginning, its environment, its outcome, and its output or failure."""

    run: str
    started: datetime
    prepared: Prepared
    outcome: Outcome
    output: records.Artifact | None
    failure: str


class StageExecution:
    """Execution of one stage whose needs have their outputs; owns the conversation with store, runner and screen.

    `inputs` are the records of the runs that it reads, by need; sources are the plan's. In a sweep the component, the keys and the
    record have each need by its plain name: what another combination, or no sweep, would give is the same run.
    """

    def __init__(
        self,
        planned: Planned,
        stage: BoundStage,
        inputs: Mapping[str, records.IndexRecord],
        events: Events,
        cancellation: Cancellation,
    ) -> None:
        self._session, self._plan = planned
        self._store = self._session.store
        self._stage = stage
        self._inputs = inputs
        self._named = {stage.input_names[need]: record for need, record in inputs.items()}
        self._digests = {name: record.digest for name, record in self._named.items()}
        for name in stage.sources:
            digest = self._plan.identities[name].digest
            assert digest is not None
            self._digests[name] = digest
        self._keys = records.Keys(stage.recipe, stage.content(self._digests))
        self._events = events
        self._cancellation = cancellation
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._wait_announced = False

    def execute(self, decision: Decision) -> Result:
        """Take the output that the store has by now, else compute it. `decision` is the plan's.

        Raises InputDamaged before anything is computed, StageFailed when the stage does not succeed (its run is kept,
        with its log), SourceError when the source changed meanwhile (nothing is kept), StoreError, EnvironmentFailed,
        and KeyboardInterrupt once the run is cancelled.
        """
        if isinstance(decision, Pending):
            decision = self._decide()
        if isinstance(decision, Hit) and self._store.holds(decision.record):
            return self._take(decision)
        with self._store.lease(
            self._keys.content,
            waiting=self._wait,
            holder=records.Holder(
                pipeline=self._plan.pipeline.name,
                stage=self._stage.name,
                key=self._keys.content,
                user=records.current_user(),
                host=platform.node(),
                since=timestamp(),
            ),
        ) as lease:
            decision = self._look_again(decision)
            if isinstance(decision, Hit):
                return self._take(decision)
            if isinstance(decision, Miss) and decision.damaged:
                text = f"stage {self._stage.name}: {decision.reason}; computing it again"
                self._events.warning(self._stage.name, text)
            self._verify_inputs()
            return Result("run", self._compute(decision, lease))

    def _decide(self) -> Decision:
        return decide_stage(self._store, self._stage, self._digests)

    def _look_again(self, decision: Decision) -> Decision:
        """The decision under the lease: what another run has published meanwhile counts.

        A forced stage stays a miss, and so does one whose bytes were found damaged while that same run is still
        in the index.
        """
        if isinstance(decision, Hit) or (isinstance(decision, Miss) and decision.reason == FORCED):
            return decision
        fresh = self._decide()
        damaged = decision.damaged if isinstance(decision, Miss) else None
        if damaged and isinstance(fresh, Hit) and fresh.record.run == damaged.run:
            return decision
        return fresh

    def _take(self, hit: Hit) -> Result:
        record = hit.record
        if not self._store.holds(record):
            record = self._store.share(self._keys, record)
        elif hit.adopt:
            own = msgspec.structs.replace(record, inputs=self._digests)
            publish_recipe(self._store, self._keys.recipe, own)
        self._events.hit(self._stage.name, record)
        return Result("hit", record)

    def _verify_inputs(self) -> None:
        """Read every byte of the inputs. Raises InputDamaged."""
        for need, record in self._inputs.items():
            try:
                self._store.check(record, thorough=True)
            except ArtifactDamaged as damage:
                raise InputDamaged(need, record, damage) from None

    def _compute(self, decision: Decision, lease: Lease) -> records.IndexRecord:
        stage, events = self._stage, self._events
        replaced = self._store.lookup([self._keys.content])[0]
        why = self._reason(decision)
        last = self._session.last_run(stage.name)
        events.starting(stage.name, why, last.seconds if last else None)
        version = self._plan.version_of(stage)
        caution = self._session.runner.caution(stage.resources)
        if caution:
            events.note(stage.name, caution)
        prepared = self._session.prepare(version, lambda text: events.note(stage.name, text))
        started = datetime.now(UTC)
        run = run_id(started)
        with self._store.stage(run, self._keys.content) as staging:
            execution = self._execute(run, started, prepared, staging)
            manifest = self._manifest(execution, why)
            if not lease.still_ours():
                raise StageFailed(
                    f"stage {self._label} took so long that another run took over its place",
                    hint="run it again: what the other run publishes is a hit",
                )
            if execution.failure:
                self._store.publish_run(staging, manifest)
                raise self._failed(manifest)
            record = records.index_record_of(self._store.publish_run(staging, manifest))
            winner = publish_result(self._store, self._keys, record, replacing=replaced)
        events.computed(stage.name, winner)
        return winner

    def _reason(self, decision: Decision) -> str:
        if isinstance(decision, Miss) and decision.reason:
            return decision.reason
        # Imported here: it takes the stage's history to tell.
        from daintree.pipeline.reasons import reason

        return reason(self._session, self._plan, self._stage, decision, self._digests)

    def _execute(
        self, run: str, started: datetime, prepared: Prepared, staging: Staging
    ) -> _Execution:
        job = job_of(
            self._session,
            self._stage,
            run,
            prepared,
            self._named,
            staging,
            self._cancellation.is_requested,
        )
        outcome = self._session.runner.execute(job, self._line)
        if not outcome.exit_code:
            write_receipt(self._stage, self._keys.content, staging.output)
        output, failure = judge_output(self._stage, outcome, staging)
        names = self._stage.spec.env
        if names and failure:
            outside = environment_for(self._session.settings.root, names)
            failure = masked(failure, secrets_of(outside, names))
        self._check_inputs()
        return _Execution(run, started, prepared, outcome, output, failure)

    def _line(self, text: str) -> None:
        self._last_lines.append(text)
        self._events.line(self._stage.name, text)

    def _check_inputs(self) -> None:
        """Raise unless the inputs still are what they were when the stage began."""
        for name in self._stage.sources:
            if not self._session.sources[name].unchanged():
                origin = self._plan.identities[name].origin
                raise SourceError(
                    f"stage {self._label}: the source {origin} changed while it was read; nothing is recorded",
                    hint="run again when whatever writes it is done",
                )
        for need, record in self._inputs.items():
            try:
                self._store.check(record, thorough=False)
            except ArtifactDamaged as damage:
                raise StageFailed(
                    f"stage {self._label}: its input from {need} changed while it ran ({damage.message}); nothing is recorded",
                    hint="a component must not write to its --input",
                ) from None

    @property
    def _label(self) -> str:
        return f"{self._plan.pipeline.name}:{self._stage.name}"

    def _manifest(self, execution: _Execution, why: str) -> records.RunManifest:
        stage, outcome, settings = self._stage, execution.outcome, self._session.settings
        commit, dirty = _commit(settings.root, self._plan.version_of(stage))
        return records.RunManifest(
            run=execution.run,
            location=run_location(
                settings.prefix, stage.component, stage.version, execution.started, execution.run
            ),
            pipeline=self._plan.pipeline.name,
            stage=stage.plain_name,
            component=stage.component,
            version=stage.version,
            version_files=dict(stage.files),
            parameters=dict(stage.parameters),
            ineffective=stage.ineffective,
            env=stage.spec.env,
            environment=stage.environment,
            runner=self._plan.runner,
            image=execution.prepared.digest or execution.prepared.image,
            keys=self._keys,
            inputs=tuple(self._input_record(name) for name in sorted(self._digests)),
            refresh=stage.refresh,
            output=execution.output,
            result="failed" if execution.failure else "succeeded",
            failure=execution.failure,
            reason=why,
            started=timestamp(execution.started),
            finished=timestamp(),
            seconds=round(outcome.seconds, 3),
            exit_code=outcome.exit_code,
            peak_memory=outcome.peak_memory,
            user=records.current_user(),
            host=platform.node(),
            project=settings.project,
            commit=commit,
            dirty=dirty,
            tooling=__version__,
            python=platform.python_version(),
        )

    def _input_record(self, name: str) -> records.InputRecord:
        if name in self._named:
            return records.InputRecord(name, self._digests[name], self._named[name].location)
        source = self._plan.identities[name]
        return records.InputRecord(
            name, self._digests[name], source.origin, source.final_origin, source=bool(name)
        )

    def _failed(self, manifest: records.RunManifest) -> StageFailed:
        """The error of a run that failed; its last lines have been shown already, and are in the log."""
        spec, lines = self._stage.spec, list(self._last_lines)
        advice = failure_hint(self._stage.component, lines, spec.env, os.environ)
        log = f"the whole log is {self._store.log_path(manifest.location)}"
        if not lines:
            log = f"it has printed nothing; `doit shell {records.short_run(manifest.run)}` runs it by hand"
        return StageFailed(
            f"stage {self._label} {manifest.failure}", hint=f"{advice}; {log}" if advice else log
        )

    def _wait(self) -> None:
        """Called while another run computes the same: says so once. Raises KeyboardInterrupt once the run is cancelled."""
        if self._cancellation.is_requested():
            raise KeyboardInterrupt
        if not self._wait_announced:
            self._wait_announced = True
            text = "another run computes the same; waiting for its result"
            self._events.note(self._stage.name, text)


def write_receipt(stage: BoundStage, key: str, output: Path) -> None:
    """Write the receipt of a stage without output (`outputs: []`) that has written nothing."""
    if stage.spec.outputs == () and not any(output.iterdir()):
        (output / RECEIPT).write_bytes(receipt(stage.component, key))


def judge_output(
    stage: BoundStage, outcome: Outcome, staging: Staging
) -> tuple[records.Artifact | None, str]:
    """The output of a stage that succeeded and "", or None and why it failed."""
    limit = stage.resources.memory
    if outcome.exit_code and outcome.out_of_memory and limit:
        return None, f"ran out of memory: limit {limit}; resources.memory in component.yaml"
    if outcome.exit_code < 0:
        return None, f"was killed by {_signal_name(-outcome.exit_code)}"
    if outcome.exit_code:
        return None, f"ended with exit code {outcome.exit_code}"
    for name in stage.spec.outputs or ():
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


def _commit(root: Path, version: ComponentVersion) -> tuple[str, bool]:
    """The commit that a stage runs at, and True where its component's files differ from it."""
    paths = [f"components/{n}" for n in (version.name, *version.libraries)]
    try:
        return head(root, paths)
    except GitError:
        return "", False


def job_of(
    session: Session,
    stage: BoundStage,
    run: str,
    prepared: Prepared,
    needs: Mapping[str, records.IndexRecord],
    place: Staging,
    cancelled: Callable[[], bool] = lambda: False,
) -> Job:
    """The stage as a job that reads the outputs of these runs and the sources that it names.

    `place` has the directories for its output, its temporary files and its log; the input is laid out beside
    its `scratch`.
    """
    url = _url_of(session, stage)
    directory, places = (
        (url, {}) if url else _lay_out(session, stage, needs, place.scratch.with_name("input"))
    )
    return Job(
        label=f"{session.pipeline.name}:{stage.name}",
        component=stage.component,
        version=stage.version,
        run=run,
        prepared=prepared,
        arguments=stage.arguments,
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


def _url_of(session: Session, stage: BoundStage) -> str:
    """URL that the stage reads by itself: that of its one input, where that is a source in a bucket; else ""."""
    alone = len(stage.sources) == 1 and not stage.needs
    return session.sources[stage.sources[0]].url if alone else ""


def _lay_out(
    session: Session, stage: BoundStage, needs: Mapping[str, records.IndexRecord], directory: Path
) -> tuple[Path, Mapping[str, Path]]:
    """The directory the stage reads, and where its parts really are.

    A single need's output is read in place; else `directory` is made, with one subdirectory for each of several inputs, where
    each file is a link. It is empty for a stage that reads nothing, and for a need without output: a receipt counts in the keys
    alone.
    """
    empty = directory.with_name("empty")
    if stage.empty_needs:
        empty.mkdir()
    outputs = {
        name: empty if name in stage.empty_needs else session.store.output_path(record)
        for name, record in needs.items()
    }
    if len(outputs) == 1 and not stage.sources:
        [output] = outputs.values()
        return output, {"": output}
    directory.mkdir()
    places = dict(outputs)
    for name, output in outputs.items():
        _link_files(output, directory / name)
    alone = len(stage.sources) == 1 and not needs
    for name in stage.sources:
        target = directory if alone else directory / name
        target.mkdir(exist_ok=True)
        below = "" if alone else f"{name}/"
        for part, place in session.sources[name].files(target).items():
            places[f"{below}{part}".rstrip("/")] = place
    return directory, places or {"": directory}


def _link_files(output: Path, directory: Path) -> None:
    """Make `directory` as `output` is, with a link for each file.

    A program that walks its input passes over links to directories, and has to find the same as in a container.
    """
    for path, _, files in os.walk(output):
        below = directory / os.path.relpath(path, output)
        below.mkdir()
        for name in files:
            (below / name).symlink_to(os.path.join(path, name))
