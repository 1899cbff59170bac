"""Data of one stage in the store: its last inputs, and the output that came of them; or for all, their outputs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from daintree.components import ComponentVersion, directory_of
from daintree.concurrency import side_by_side
from daintree.errors import ArtifactDamaged, SourceError, StoreError, UsageError
from daintree.pipeline.decisions import BoundStage, Hit, inputs_of
from daintree.pipeline.job import job_of, prepare
from daintree.pipeline.output_directory import Copied, copy_of, publish_copy
from daintree.pipeline.plan import Plan
from daintree.pipeline.session import Session
from daintree.runners.runner import Job
from daintree.store.directory import Staging
from daintree.store.integrity import hash_artifact
from daintree.store.records import IndexRecord, RunManifest, index_record_of
from daintree.store.store import Store

FETCHED_TOGETHER = 4


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
        return StageData(stage, _inputs_of_run(session, last), index_record_of(last))
    needs = {n: d.record for n in stage.needs if isinstance(d := plan.decisions[n], Hit)}
    if isinstance(decision, Hit):
        return StageData(stage, needs, decision.record)
    same = last is not None and {record.name: record.digest for record in last.inputs} == digests
    return StageData(stage, needs, index_record_of(last) if last and same else None)


def copy_data(session: Session, plan: Plan, data: StageData, directory: Path) -> bool:
    """Make `directory/input` and `directory/output` verified copies, both at once; True if anything was copied.

    The input is laid out as the stage reads it. Raises as `publish_copy` does, SourceError for a source that
    has changed.
    """
    contents = {need: copy_of(record, session.store) for need, record in data.needs.items()}
    contents |= {name: _source(session, plan, name) for name in data.stage.sources}
    several = len(contents) > 1
    contents = {
        f"input/{name}" if several else "input": content for name, content in contents.items()
    }
    if data.output:
        contents["output"] = copy_of(data.output, session.store)
    return publish_copy(directory, contents, session.store, session.settings.root, option="--to")


def outputs_in_store(plan: Plan) -> dict[str, IndexRecord]:
    """The output of each stage that a run would not compute, by stage. Raises UsageError where there is none at all."""
    found = {name: d.record for name, d in plan.decisions.items() if isinstance(d, Hit)}
    if not found:
        raise UsageError(
            f"the store has no output of {plan.pipeline.name} as it is now",
            hint=f"doit run {plan.pipeline.name}",
        )
    return found


def copy_outputs(session: Session, outputs: Mapping[str, IndexRecord], directory: Path) -> None:
    """Make `directory/<stage>/output` a verified copy of each output; those the cache lacks are fetched together.

    Raises ArtifactDamaged where one is not whole in the store, and as `publish_copy` does.
    """
    records = {record.location: record for record in outputs.values()}
    side_by_side(session.store.output_path, records.values(), FETCHED_TOGETHER)
    for name, record in outputs.items():
        content = {"output": copy_of(record, session.store)}
        publish_copy(directory / name, content, session.store, session.settings.root, option="--to")


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
            contents[place] = copy_of(index_record_of(origin), store)
    publish_copy(directory, contents, store, root, option="--to")
    return [directory / name for name in ("input", "output") if (directory / name).is_dir()]


def _inputs_of_run(session: Session, run: RunManifest) -> dict[str, IndexRecord]:
    found = {}
    for record in run.inputs:
        if record.is_source:
            continue
        origin = session.store.read_run(record.origin)
        if origin is None or origin.output is None or origin.output.digest != record.digest:
            raise StoreError(
                f"the input {record.name} of run {run.run} is gone from the store",
                hint=f"doit run {session.pipeline.name}:{record.name}",
            )
        found[record.name] = index_record_of(origin)
    return found


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
    session: Session,
    plan: Plan,
    data: StageData,
    announce: Callable[[str], None],
    *,
    frozen: bool = False,
) -> Iterator[Job]:
    """The stage as a job on its cached inputs, whose bytes are verified; its output is removed in the end.

    Its program is the working tree's, laid out as in the image, so that an edit counts at once; `frozen`: the version's snapshot.

    Raises StoreError when an input is not whole, and as preparing the environment does.
    """
    for need, record in data.needs.items():
        try:
            session.store.check(record, thorough=True)
        except ArtifactDamaged as damage:
            raise StoreError(
                f"the output of {need}: {damage.message}",
                hint=f"doit run {plan.pipeline.name}:{need}",
            ) from None
    version = plan.version_of(data.stage)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        working_tree: tuple[Path, ...] = ()
        if frozen or version.image:
            prepared = prepare(session.runner, version, session.settings, announce)
        else:
            links = Path(name, "application")
            working_tree = (links, *_link_working_tree(version, session.settings.root, links))
            prepared = session.runner.prepare(version, lambda: links, announce)
        place = Staging(Path(name))
        place.output.mkdir(parents=True)
        place.scratch.mkdir()
        run = f"shell-{os.urandom(4).hex()}"
        job = job_of(session, data.stage, run, prepared, data.needs, place)
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
    if "data" not in entries:
        (links / "data").mkdir(parents=True)
    for name, origin in entries.items():
        if (root / origin).exists():
            (links / name).symlink_to(root.resolve() / origin)
    # Whoever edits in place does so in the working tree, and replaces no link.
    links.chmod(0o555)
    users = (version.name, *version.libraries)
    return [root.resolve() / directory_of(user) for user in users]
