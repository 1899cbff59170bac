"""Past run as a job: the version, the parameters and the inputs that it had, to be opened again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daintree.components import (
    DOCKERFILE,
    SPEC,
    ComponentVersion,
    VersionedFile,
    WorkingTree,
    directory_of,
)
from daintree.components.snapshot import make_snapshot
from daintree.components.source import specification
from daintree.errors import ArtifactDamaged, EnvironmentFailed, SourceError, StoreError, UsageError
from daintree.pipeline.addresses import is_named
from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.execute import job_of
from daintree.pipeline.keys import RECEIPT, receipt
from daintree.pipeline.session import Request, Session
from daintree.runners.runner import Job, Prepared
from daintree.settings import Settings
from daintree.spec.pipeline import Pipeline, SourceSpec, Stage
from daintree.store.directory import Staging
from daintree.store.records import IndexRecord, RunManifest, index_record_of
from daintree.store.store import Store
from daintree.terminal import say


def check_needs(session: Session, needs: Mapping[str, IndexRecord]) -> None:
    """Read every byte of the outputs. Raises StoreError where one is not whole."""
    for need, record in needs.items():
        try:
            session.store.check(record, thorough=True)
        except ArtifactDamaged as damage:
            raise StoreError(
                f"the output of {need}: {damage.message}",
                hint=f"doit run {session.pipeline.name}:{need}",
            ) from None


def new_job(
    session: Session,
    stage: BoundStage,
    prepared: Prepared,
    needs: Mapping[str, IndexRecord],
    directory: Path,
) -> Job:
    """The stage as a job in a directory, with an id of no run."""
    place = Staging(directory)
    place.output.mkdir(parents=True)
    place.scratch.mkdir()
    return job_of(session, stage, f"shell-{os.urandom(4).hex()}", prepared, needs, place)


def session_of_run(settings: Settings, store: Store, run: RunManifest) -> Session:
    """A session in which a run's stage is the pipeline; its sources are what the run read, as far as the store has that.

    Raises SourceError for a source that is no longer what the run read.
    """
    read = {record.name: record for record in run.inputs if record.is_source}
    places = {name: store.source_path(record.digest) for name, record in read.items()}
    for name, record in read.items():
        # A name may have moved: the run that it led to is the one that counts.
        led_to = store.read_run(record.final_origin) if is_named(record.origin) else None
        if led_to and led_to.output:
            places[name] = store.output_path(index_record_of(led_to))
    sources = {
        name: SourceSpec(location=str(places[name] or record.origin), follow_links=True)
        for name, record in read.items()
    }
    stage = Stage(name=run.stage, component=run.component, sources=tuple(sources))
    pipeline = Pipeline(name=run.pipeline, file=run.pipeline, sources=sources, stages=(stage,))
    runner = "docker" if run.environment == "image" else "local"
    request = Request(pipeline=run.pipeline, directory=settings.root, runner=runner)
    session = Session(settings, request, (), pipeline)
    for name, identity in session.identify_sources(fetch=True).items():
        if identity.digest != read[name].digest:
            raise SourceError(
                f"the source {read[name].origin} is no longer what run {run.run} read",
                hint=f"doit shell {run.pipeline}:{run.stage} opens the stage on what is there now",
            )
    return session


@contextmanager
def job_of_run(session: Session, run: RunManifest) -> Iterator[Job]:
    """A run as a job: on its own version, parameters and inputs, whose bytes are verified; its output is removed in the end.

    Raises UsageError where the run's files are not in this clone, EnvironmentFailed where its image is nowhere, StoreError when an input
    is not whole.
    """
    needs = inputs_of_run(session, run)
    check_needs(session, needs)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        version, missing = _recorded_version(
            WorkingTree(session.settings.root), run.component, run.version, run.version_files
        )

        def snapshot() -> Path:
            if session.runner.name == "docker":
                raise EnvironmentFailed(
                    f"the image of run {run.run} is neither in the Docker engine nor in the registry",
                    hint=f"doit shell {run.pipeline}:{run.stage} opens the stage as it is now",
                )
            # Below the shell's own directory: the record says less of the files than their version does.
            return make_snapshot(version, Path(name, "snapshots"))

        if missing and session.runner.name == "local":
            raise UsageError(
                f"run {run.run} ran files that this clone does not have: {', '.join(missing[:4])}",
                hint="they were never committed"
                if run.dirty
                else f"git fetch; it ran commit {run.commit}",
            )
        environment = session.runner.environment_class(version.spec)
        if environment != run.environment:
            say(f"note: it ran in {run.environment}, this is {environment}")
        prepared = session.runner.prepare(version, snapshot, say)
        stage = BoundStage(
            name=run.stage,
            component=run.component,
            version=run.version,
            files=run.version_files,
            spec=version.spec,
            parameters=run.parameters,
            needs=tuple(needs),
            sources=tuple(session.sources),
            resources=version.spec.resources,
            environment=run.environment,
            recipe=run.keys.recipe,
            empty_needs=tuple(need for need in needs if is_receipt(session.store, needs[need])),
        )
        yield new_job(session, stage, prepared, needs, Path(name))


def is_receipt(store: Store, record: IndexRecord) -> bool:
    """True for what stands for the output of a stage without one: its readers find an empty directory."""
    run = store.read_run(record.location)
    if run is None or run.output is None:
        return False
    written = hashlib.sha256(receipt(run.component, run.keys.content)).hexdigest()
    return [(file.path, file.sha256) for file in run.output.files] == [(RECEIPT, written)]


def inputs_of_run(session: Session, run: RunManifest) -> dict[str, IndexRecord]:
    """The outputs that a run read, by need. Raises StoreError where one is gone, or another lies in its place."""
    records = {}
    for record in run.inputs:
        if record.is_source:
            continue
        origin = session.store.read_run(record.origin)
        if origin is None or origin.output is None or origin.output.digest != record.digest:
            raise StoreError(
                f"the input {record.name} of run {run.run} is gone from the store",
                hint=f"doit run {session.pipeline.name}:{record.name}",
            )
        records[record.name] = index_record_of(origin)
    return records


def _recorded_version(
    tree: WorkingTree, name: str, digest: str, files: Mapping[str, str]
) -> tuple[ComponentVersion, list[str]]:
    """Return the version of a component as a run has recorded it, by path mode and blob, and the paths whose blobs this clone lacks.

    The Dockerfile is left out where it is lacking: that of a component without one lies nowhere. Raises SpecError, GitError.
    """
    tree.files(directory_of(name))
    present: list[VersionedFile] = []
    missing: list[str] = []
    for path, words in sorted(files.items()):
        mode, blob = words.split()
        try:
            tree.blobs.read(blob)
            present.append(VersionedFile(path, mode, blob, path))
        except KeyError:
            missing += [path] if path != DOCKERFILE else []
    described = [tree.blobs.read(file.blob) for file in present if file.path == SPEC]
    version = ComponentVersion(
        name=name,
        digest=digest,
        files=tuple(present),
        spec=specification(described[0] if described else b"", SPEC),
        libraries=(),
        bases=(),
        platform="",
        warnings=(),
        objects=os.fspath(tree.objects),
    )
    return version, missing
