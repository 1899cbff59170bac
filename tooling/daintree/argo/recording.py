"""Recording the stages of one Workflow: for each, what it ran, on what, and what it put out, as a run that its keys lead to.

Objects below a key prove nothing: what counts is the attempt of which the Workflow's status says that it succeeded, its own place,
and that it ran as it was submitted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import msgspec

from daintree.argo import names, workflow_status
from daintree.argo.cluster import Cluster, Object
from daintree.argo.drift import Drift
from daintree.argo.submission import (
    TIME,
    Submission,
    SubmittedSource,
    SubmittedStage,
    location,
    run_id,
)
from daintree.argo.workflows import Times, container_times, find_workflow, secret_values, stage_log
from daintree.errors import (
    ArtifactRejected,
    ClusterError,
    DaintreeError,
    SourceError,
    StoreError,
    StoreForbidden,
    StoreUnavailable,
    UsageError,
)
from daintree.pipeline.keys import RECEIPT, content_key, receipt
from daintree.pipeline.sources.bucket import BucketSource
from daintree.store.index import publish_result
from daintree.store.layout import OUTPUT, is_digest, source_location, timestamp
from daintree.store.records import Artifact, InputRecord, Keys, RunManifest, index_record_of
from daintree.store.remote import RemoteRuns
from daintree.store.s3 import object_address

if TYPE_CHECKING:
    from obstore import ObjectMeta

# S3 refuses requests by a clock that differs by more.
_CLOCKS = timedelta(minutes=15)


class StageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of recording a stage: `recorded` now, `known` before, `refused` although it succeeded, or `absent`, since it did not.

    `state` is its task's; `why` says why there is no record, and what else is worth knowing. `files` and `bytes` are of its output.
    """

    stage: str
    status: Literal["recorded", "known", "refused", "absent"]
    state: workflow_status.State
    why: str = ""
    run: str = ""
    files: int = 0
    bytes: int = 0


class _Input(msgspec.Struct, frozen=True):
    """An input: its digest, where it was read from, for people, and where pods find it; `final_origin` is a source's."""

    digest: str
    origin: str
    key: workflow_status.ObjectKey
    final_origin: str = ""


class _Refused(DaintreeError):
    """A stage that succeeded cannot be recorded; the message says why."""


class Recording:
    """Records the stages of one Workflow, in their order: what a stage reads is recorded before it.

    `log` gives the log of a pod, `times` when its container began and ended; None where that cannot be had.
    """

    def __init__(
        self,
        workflow: Object,
        status: workflow_status.WorkflowStatus,
        submission: Submission,
        remote: RemoteRuns,
        log: Callable[[str], bytes | None],
        times: Callable[[str], Times | None],
    ) -> None:
        self._status, self._submission = status, submission
        self._drift = Drift(workflow, submission, remote.address)
        self._remote, self._log, self._times = remote, log, times
        self._inputs = {
            hit.name: _Input(hit.digest, hit.location, self._key(f"{hit.location}/{OUTPUT}"))
            for hit in submission.hits
        }
        self._inputs |= {source.name: self._source(source) for source in submission.sources}

    @property
    def stages(self) -> tuple[SubmittedStage, ...]:
        """The stages that were submitted, in their order."""
        return self._submission.stages

    def record(self, stage: SubmittedStage) -> StageReport:
        """Record the stage if it has succeeded; what was begun is completed, what is recorded is left alone.

        Raises StoreUnavailable and StoreForbidden: then no other stage can be recorded either.
        """
        task = self._status.tasks.get(stage.task)
        if task is None or task.state != "succeeded":
            state, why = (
                (task.state, _message(task)) if task else ("pending", "it was never started")
            )
            return StageReport(stage=stage.name, status="absent", state=state, why=why)
        try:
            return self._record(stage, task)
        except (StoreUnavailable, StoreForbidden):
            raise
        except DaintreeError as error:
            return StageReport(
                stage=stage.name, status="refused", state=task.state, why=error.message
            )

    def _record(self, stage: SubmittedStage, task: workflow_status.Task) -> StageReport:
        attempt = task.successful
        if attempt is None:
            raise _Refused("it is not what was submitted: no pod of its own ran")
        inputs = self._inputs_of(stage)
        times = self._times(attempt.pod)
        manifest = self._manifest(stage, attempt, inputs, times)
        key = self._key(f"{manifest.location}/{OUTPUT}")
        keys = {need: one.key for need, one in inputs.items()}
        difference = self._drift.of_stage(stage, attempt, keys, key)
        if difference:
            raise _Refused(f"it is not what was submitted: {difference}")
        earlier = self._remote.records.read_run(manifest.location)
        if earlier is not None and self._remote.is_collected(manifest.location):
            raise _Refused("its output was collected")
        whole = manifest if earlier is None else _as_measured(manifest, earlier)
        if whole != earlier or whole.output is None:
            entries = self._remote.bucket.entries(f"{manifest.location}/{OUTPUT}")
            _refuse_orphans(times[0] if times else attempt.started, entries)
            whole = msgspec.structs.replace(manifest, output=self._output(stage, manifest, entries))
        whole = self._remote.adopt(whole, lambda: self._log(attempt.pod))
        winner, indexed = self._index(stage, whole)
        assert whole.output is not None
        self._inputs[stage.name] = _Input(whole.output.digest, whole.location, key)
        return StageReport(
            stage=stage.name,
            status="recorded" if earlier is None or indexed else "known",
            state="succeeded",
            why="" if winner == whole.run else f"run {winner} stands under its key, and stays",
            run=whole.run,
            files=len(whole.output.files),
            bytes=whole.output.bytes,
        )

    def _inputs_of(self, stage: SubmittedStage) -> dict[str, _Input]:
        for need in stage.inputs:
            if need not in self._inputs:
                raise _Refused(f"its input {need} was not recorded")
        return {need: self._inputs[need] for need in stage.inputs}

    def _output(
        self, stage: SubmittedStage, manifest: RunManifest, entries: Sequence[ObjectMeta]
    ) -> Artifact:
        """Output of the stage. Raises ArtifactRejected where that is nothing, or lacks what was promised."""
        for name in stage.sources:
            if name in self._source_faults:
                raise _Refused(self._source_faults[name])
        place = f"{manifest.location}/{OUTPUT}"
        if stage.receipt and not entries:
            text = receipt(stage.component, manifest.keys.content)
            self._remote.bucket.create(f"{place}/{RECEIPT}", text)
            entries = self._remote.bucket.entries(place)
        title = f"{stage.name}: hashing"
        output = self._remote.read_output(manifest.location, entries, title)
        written = {entry.path for entry in output.files}
        for name in stage.outputs:
            if name not in written:
                raise ArtifactRejected(f"did not write {name}, which its component.yaml promises")
        return output

    def _manifest(
        self,
        stage: SubmittedStage,
        attempt: workflow_status.Attempt,
        inputs: Mapping[str, _Input],
        times: Times | None,
    ) -> RunManifest:
        """Its run, but for the output; the same whenever and wherever it is made."""
        created, uid = self._status.created, self._status.uid
        began, ended = attempt.started or created, attempt.finished or created
        started, finished = times or (began, ended)
        return RunManifest(
            run=run_id(self._submission.planned, uid, attempt.pod),
            location=location(self._submission, stage, uid, attempt.pod),
            pipeline=self._submission.pipeline,
            stage=stage.name,
            component=stage.component,
            version=stage.version,
            version_files=stage.version_files,
            parameters=stage.parameters,
            ineffective=stage.ineffective,
            env=stage.env,
            environment=stage.environment,
            runner="argo",
            image=stage.image.rpartition("@")[2],
            refresh=stage.refresh,
            keys=Keys(stage.recipe, _content(stage, inputs)),
            inputs=tuple(
                InputRecord(
                    *(name, one.digest, one.origin, one.final_origin),
                    source=bool(name) and name in stage.sources,
                )
                for name, one in sorted(inputs.items())
            ),
            result="succeeded",
            reason=stage.reason,
            started=timestamp(started),
            finished=timestamp(finished),
            seconds=round((finished - started).total_seconds(), 3),
            pod_seconds=round((ended - began).total_seconds(), 3),
            exit_code=attempt.exit_code or 0,
            user=self._submission.user,
            host=attempt.host,
            workflow=self._status.name,
            pod=attempt.pod,
            project=self._submission.project,
            commit=self._submission.commit,
            tooling=self._submission.tooling,
        )

    def _index(self, stage: SubmittedStage, manifest: RunManifest) -> tuple[str, bool]:
        """Let the keys lead to the run, or to another that was first: (the run that stands, whether anything was written)."""
        records, record = self._remote.records, index_record_of(manifest)
        earlier, recipe = records.lookup([manifest.keys.content, stage.recipe])
        makes_way = earlier is not None and (
            earlier.run == stage.replaces or self._remote.check_all([earlier])[0] is not None
        )
        replacing = earlier if makes_way else None
        winner = publish_result(records, manifest.keys, record, replacing=replacing)
        changed = recipe != msgspec.structs.replace(winner, inputs=record.inputs)
        return winner.run, earlier != winner or changed

    @cached_property
    def _source_faults(self) -> dict[str, str]:
        """Reason that no stage that reads a source can be recorded, by source: one that is read in place may have changed meanwhile."""
        read = {name for stage in self.stages for name in stage.sources}
        faults = {
            source.name: self._source_fault(source)
            for source in self._submission.sources
            if source.url and source.name in read
        }
        return {name: fault for name, fault in faults.items() if fault}

    def _source_fault(self, source: SubmittedSource) -> str:
        try:
            same = BucketSource(source.url, "", self._remote.bucket.access).identify()
        except SourceError as error:
            return error.message
        if same.digest == source.digest:
            return ""
        return f"the source {source.origin} has changed since it was planned"

    def _source(self, source: SubmittedSource) -> _Input:
        key = self._key(f"{source_location(source.digest)}/{OUTPUT}")
        if source.url:
            address = object_address(source.url, "", "")
            own = address.bucket == self._remote.address.bucket
            key = workflow_status.ObjectKey(address.key, "" if own else address.bucket)
        return _Input(source.digest, source.origin, key, source.final_origin)

    def _key(self, path: str) -> workflow_status.ObjectKey:
        return workflow_status.ObjectKey(self._remote.address.below(path).key)


def _refuse_orphans(began: datetime | None, entries: Sequence[ObjectMeta]) -> None:
    """Refuse an output in which older files lie than its pod: one of the same name, and so the same location, has left them.

    `argo retry` starts a failed pod anew under its name, and Argo itself one that was deleted before it was seen to run. Where all files are older, the clocks of the server and the cluster differ, unless it is by more than S3 allows.
    """
    if began is None or not entries:
        return
    ages = [began - entry["last_modified"] for entry in entries]
    older = sum(age > timedelta() for age in ages)
    if 0 < older < len(ages) or max(ages) > _CLOCKS:
        raise _Refused(
            f"{older} of the {len(ages)} files of its output were there before its pod began: "
            "a pod of the same name has left them, as one that was deleted at its start or failed before `argo retry`"
        )


def _content(stage: SubmittedStage, inputs: Mapping[str, _Input]) -> str:
    return content_key(
        version=stage.version,
        parameters={n: v for n, v in stage.parameters.items() if n not in stage.ineffective},
        environment=stage.environment,
        inputs={need: one.digest for need, one in inputs.items()},
        refresh=stage.refresh,
    )


def _message(task: workflow_status.Task) -> str:
    """Reason that a task has not succeeded: what Argo says of its last attempt, else of itself."""
    return next((one.message for one in reversed(task.attempts) if one.message), task.message)


def _as_measured(manifest: RunManifest, earlier: RunManifest) -> RunManifest:
    """The run with the output, the log and the times that were recorded when its pod was there."""
    return msgspec.structs.replace(
        manifest,
        output=earlier.output,
        log=earlier.log,
        started=earlier.started,
        finished=earlier.finished,
        seconds=earlier.seconds,
    )


# Of what a stage has said, the last so many bytes are kept.
MOST_LOG_BYTES = 16 << 20


def recording_of(cluster: Cluster, remote: RemoteRuns, name: str) -> Recording:
    """Recorder of the stages of the Workflow of this name; done twice, it does nothing twice.

    Raises UsageError while the Workflow's stages run, and for one that was not submitted from here; ClusterError and StoreError as
    asking for it and for its submission do.
    """
    workflow = find_workflow(cluster, name, pipeline=False)
    status = workflow_status.read_status(workflow)
    if not status.settled:
        raise UsageError(
            f"the Workflow {name} still runs: what its stages put out is recorded when it ends",
            hint=f"doit cancel {name} stops it",
        )
    submission = submission_of(workflow, remote)
    remote.bucket.prove()
    secrets = secret_values(cluster, workflow)
    return Recording(
        *(workflow, status, submission, remote),
        log=lambda pod: None if secrets is None else _log(cluster, pod, secrets),
        times=lambda pod: container_times(cluster, pod),
    )


def submission_of(workflow: Object, runs: RemoteRuns) -> Submission:
    """The submission of a Workflow, whole, with the Workflow's own time of planning.

    Raises UsageError for a Workflow that has none, StoreError where the store does not have it, or not as it was submitted.
    """
    name = workflow["metadata"]["name"]
    digest, planned = (
        workflow_status.annotation(workflow, key) for key in (names.SUBMISSION, names.PLANNED)
    )
    if not is_digest(digest):
        raise UsageError(
            f"the Workflow {name} was not written by `doit argo`: it has no annotation {names.SUBMISSION}",
            hint="only what was planned and submitted can be recorded under its keys",
        )
    submission = runs.read_submission(digest, Submission)
    if submission.digest != digest:
        raise StoreError(
            f"the submission {digest} in {runs.url} cannot be used: it is not what its digest says",
            hint="submit the pipeline again: what is missing is computed anew",
        )
    if not _is_time(planned):
        raise UsageError(
            f"the Workflow {name} has no time in its annotation {names.PLANNED}: {planned!r}",
            hint="it was edited, or made by an older version: submit the pipeline again",
        )
    # Whoever submitted the same plan first has put it there, with another time.
    return msgspec.structs.replace(submission, planned=planned)


def _is_time(text: str) -> bool:
    try:
        return f"{datetime.strptime(text, TIME):{TIME}}" == text
    except ValueError:
        return False


def _log(cluster: Cluster, pod: str, secrets: Iterable[str]) -> bytes | None:
    """Log of a pod, without `secrets`; None where it is gone or this account may not read it."""
    lines: deque[bytes] = deque()
    size = 0
    try:
        for line in stage_log(cluster, pod, follow=False, secrets=secrets):
            lines.append(f"{line}\n".encode("utf-8", "replace"))
            size += len(lines[-1])
            while size > MOST_LOG_BYTES and len(lines) > 1:
                size -= len(lines.popleft())
    except ClusterError:
        return None
    return b"".join(lines)
