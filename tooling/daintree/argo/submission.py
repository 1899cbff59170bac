"""Submission to a cluster: the part of a plan that has to run, with all that recording it takes.

It is kept in the store at `_submissions/<64 hex digits of its digest>` before a Workflow can run; the Workflow
carries the digest. So the manifest stays readable, and whoever records needs the Workflow's status and the store alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial

import msgspec

from daintree import __version__
from daintree.argo import names
from daintree.digest import Plain, digest_record, short
from daintree.errors import ImageError, SettingsError, SourceError
from daintree.images.build import uncommitted
from daintree.images.image_versions import ComponentImage, component_images
from daintree.pipeline.decisions import BoundStage, Hit, Miss, SourceIdentity, inputs_of
from daintree.pipeline.plan import Plan, read_last_runs
from daintree.pipeline.reasons import reason
from daintree.pipeline.session import Session
from daintree.pipeline.sources.bucket import BucketSource
from daintree.runners.container import INPUT, OUTPUT
from daintree.settings import Settings
from daintree.spec.component import Resources, Scalar
from daintree.store.integrity import hash_artifact
from daintree.store.layout import run_location
from daintree.store.records import SCHEMA, Keys, current_user
from daintree.store.s3 import (
    DEFAULT_REGION,
    ObjectAddress,
    S3Access,
    object_address,
    read_s3_access,
)
from daintree.terminal import say

_DIGITS = 10
# Room for the number of an attempt.
_LONGEST_STEM = names.LONGEST_WORKFLOW - _DIGITS - 5


class SubmittedStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that runs in the cluster: a task of the Workflow, whose `template` is named too.

    `image` is its component's, `repository@sha256:…`; `command` is the image's own entrypoint and `arguments` what follows it,
    as the container must get them, and `env` the variables that it gets from a Secret. `sources` are the names of those it reads, and `refresh` the token of
    the plan; of `empty_needs` it gets empty directories. `outputs` are the files it must write; a `receipt` stands for its output where it has none. `replaces` is the run that stands under its key and
    is to make way, a damaged one's or a forced stage's ("" for none). The rest is as in run.json.
    """

    name: str
    task: str
    template: str
    component: str
    version: str
    version_files: dict[str, str]
    parameters: dict[str, Scalar]
    ineffective: tuple[str, ...]
    environment: str
    image: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    receipt: bool = False
    needs: tuple[str, ...]
    empty_needs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    refresh: str = ""
    resources: Resources
    recipe: str
    reason: str
    replaces: str = ""
    env: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs: sources, then needs."""
        return (*self.sources, *self.needs)


class SubmittedHit(msgspec.Struct, frozen=True, kw_only=True):
    """A stage whose output is in the store: where its run is, and the digest of its output."""

    name: str
    location: str
    digest: str


class SubmittedSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source by name ("" for the pipeline's one `source`): its identity, its digest, where it is for people, and where pods find it.

    `url` is s3://… where it is read in place, else "" and the source is in the store at `_sources/<digest>/output`;
    `file` is the name of the file where that is one object and no prefix. `endpoint` and `region` are those of the server as pods
    reach it, for a `url` in another bucket than the store's ("" for AWS's own). `final_origin` is as in `SourceIdentity`.
    """

    name: str = ""
    identity: str
    digest: str
    origin: str
    final_origin: str = ""
    url: str = ""
    file: str = ""
    endpoint: str = ""
    region: str = ""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """Work of a Workflow. `stages` run, in the pipeline's order; `hits` are those that they read.

    `secret` is the Secret of the cluster that holds the stages' variables ("" where they have none). `prefix` and `project` are the settings; `commit` that of the files, "" for none; `user` asked for it, with this `tooling`, and at the time
    `planned` (UTC), which a run's location is made of: a cluster's own times are in the zone of its controller.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    pipeline: str
    sources: tuple[SubmittedSource, ...] = ()
    prefix: str
    stages: tuple[SubmittedStage, ...]
    hits: tuple[SubmittedHit, ...]
    commit: str
    user: str
    tooling: str
    project: str = ""
    planned: str = ""
    secret: str = ""

    @property
    def digest(self) -> str:
        """The digest of what is computed from what: who asks, when, with what reasons, and at which commit count for nothing."""
        computed: Plain = [
            [
                *(stage.name, stage.recipe, stage.image, stage.replaces),
                *(float(stage.resources.cpu), stage.resources.memory, stage.resources.gpu),
                list(stage.env),
                [[name, stage.parameters[name]] for name in stage.ineffective],
            ]
            for stage in self.stages
        ]
        read: Plain = [[hit.name, hit.location, hit.digest] for hit in self.hits]
        sources: Plain = [
            [one.name, one.identity, one.digest, one.url, one.endpoint, one.region]
            for one in self.sources
        ]
        content: Plain = [self.pipeline, sources, self.prefix, self.secret, computed, read]
        return digest_record("submission", 4, content)

    def workflow(self, attempt: int = 1) -> str:
        """The name of the Workflow that computes it: the same for the same plan; a further attempt has its number behind it."""
        name = (
            f"{names.kubernetes_name(self.pipeline, _LONGEST_STEM)}-{short(self.digest, _DIGITS)}"
        )
        return name if attempt == 1 else f"{name}-{attempt}"


# The templates of every Workflow that are no component's.
PIPELINE_TEMPLATE, RECORD_TEMPLATE = "pipeline", "record"
_LONGEST = 63


def template_names(stages: Iterable[BoundStage]) -> dict[str, str]:
    """The name of each stage's template: its component's, with the stage's behind it where that one is taken.

    A template of its own gets a stage with other values that Argo's substitution could touch, one that reads anything but
    one output (names of several inputs are directories, a source may be a file), and one with resources of its own.
    """
    texts: dict[str, str] = {}
    by_shape: dict[object, str] = {}
    for stage in stages:
        taken = stage.component in by_shape.values()
        text = f"{stage.component}/{stage.name}" if taken else stage.component
        texts[stage.name] = by_shape.setdefault(_shape(stage), text)
    own_names = names.distinct_names(
        dict.fromkeys(texts.values()), _LONGEST, (PIPELINE_TEMPLATE, RECORD_TEMPLATE)
    )
    return {stage: own_names[text] for stage, text in texts.items()}


def _shape(stage: BoundStage) -> object:
    one_output = len(stage.needs) == 1 and not (stage.sources or stage.empty_needs)
    inputs = () if one_output else (stage.sources, stage.needs, stage.empty_needs)
    literal = tuple((n, type(v), v) for n, v in stage.parameters.items() if not names.is_plain(v))
    return (stage.component, stage.version, stage.resources, inputs, literal)


_LONGEST_TASK = 63


class PlannedSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """The submission of what a plan misses. Where it has no stages there is nothing to do."""

    session: Session
    plan: Plan
    submission: Submission

    @property
    def hits(self) -> tuple[str, ...]:
        """The stages that do not run, whether one that runs reads them or not."""
        return tuple(n for n, d in self.plan.decisions.items() if isinstance(d, Hit))

    @property
    def saved(self) -> float:
        """The seconds that computing the hits took."""
        return sum(d.record.seconds for d in self.plan.decisions.values() if isinstance(d, Hit))


def plan_submission(session: Session, plan: Plan) -> PlannedSubmission:
    """The submission of what a plan misses. Nothing is written, and no cluster is asked.

    Raises SourceError for a source that is both an object and a prefix, and as `runnable` and `container_arguments` do.
    """
    stages = plan.to_run
    commit, images, secret = runnable(session, plan, stages)
    read_last_runs(session, plan)
    submission = Submission(
        pipeline=plan.pipeline.name,
        sources=tuple(_source(session, n, i) for n, i in plan.identities.items()),
        prefix=session.settings.prefix,
        stages=_submitted(session, plan, stages, images),
        hits=_hits(plan, stages),
        commit=commit,
        user=current_user(),
        tooling=__version__,
        project=session.settings.project,
        planned=f"{datetime.now(UTC):{TIME}}",
        secret=secret,
    )
    return PlannedSubmission(session=session, plan=plan, submission=submission)


def runnable(
    session: Session, plan: Plan, stages: Sequence[BoundStage]
) -> tuple[str, dict[str, ComponentImage], str]:
    """Check that pods can run stages: the commit of their components, each stage's image, and the secret of their variables.

    Raises UsageError for a store that a cluster cannot reach, ImageError for a component that is not committed or whose image
    is not in the registry, SettingsError for variables that come from no secret.
    """
    _ = session.store.published
    secret = variables_secret(session.settings, stages)
    commit = _commit(session, plan, stages)
    return commit, _images(session, plan, stages), secret


def variables_secret(settings: Settings, stages: Sequence[BoundStage]) -> str:
    """The Secret that stages' variables come from; "" where no component names any. Raises SettingsError where none can be used."""
    named = [stage for stage in stages if stage.spec.env]
    if not named:
        return ""
    if settings.argo_env_secret in ("", names.STORE_SECRET):
        stage = named[0]
        variables = ", ".join(stage.spec.env)
        missing = "none is set" if not settings.argo_env_secret else "that one is the store's own"
        raise SettingsError(
            f"stage {stage.name!r}: component {stage.component} gets {variables} from a Secret of the cluster, and {missing}",
            hint="argo_env_secret in [tool.daintree], or DAINTREE_ARGO_ENV_SECRET, names a Secret with these keys",
        )
    return settings.argo_env_secret


def _commit(session: Session, plan: Plan, stages: Sequence[BoundStage]) -> str:
    """HEAD, where the stages' components are in the project, "" else. Raises ImageError for one that is not as HEAD has it."""
    here = sorted({s.component for s in stages if not plan.version_of(s).image})
    commit, unclean = uncommitted(session.settings, here) if here else ("", {})
    for name in sorted(unclean.keys() & set(here)):
        raise ImageError(
            f"{name} is not committed: {'; '.join(unclean[name])}: a cluster runs what others can see",
            hint="commit it, then doit build --push; or try it here: --runner docker",
        )
    return commit


def _images(
    session: Session, plan: Plan, stages: Sequence[BoundStage]
) -> dict[str, ComponentImage]:
    versions = {stage.name: plan.version_of(stage) for stage in stages}
    distinct = {version.digest: version for version in versions.values()}
    images = component_images([*distinct.values()], session.settings) if distinct else []
    by_version = dict(zip(distinct, images, strict=True))
    return {name: by_version[version.digest] for name, version in versions.items()}


def _submitted(
    session: Session, plan: Plan, stages: Sequence[BoundStage], images: Mapping[str, ComponentImage]
) -> tuple[SubmittedStage, ...]:
    tasks = names.distinct_names([stage.name for stage in stages], _LONGEST_TASK)
    templates = template_names(stages)
    return tuple(
        SubmittedStage(
            name=stage.name,
            task=tasks[stage.name],
            template=templates[stage.name],
            component=stage.component,
            version=stage.version,
            version_files=dict(stage.files),
            parameters=dict(stage.parameters),
            ineffective=stage.ineffective,
            environment=stage.environment,
            image=images[stage.name].reference,
            command=images[stage.name].command,
            arguments=container_arguments(stage),
            outputs=stage.spec.outputs or (),
            receipt=stage.spec.outputs == (),
            needs=stage.needs,
            empty_needs=stage.empty_needs,
            sources=stage.sources,
            refresh=stage.refresh,
            resources=stage.resources,
            recipe=stage.recipe,
            reason=reason(session, plan, stage, plan.decisions[stage.name]),
            replaces=_replaces(plan, stage),
            env=stage.spec.env,
        )
        for stage in stages
    )


def container_arguments(stage: BoundStage) -> tuple[str, ...]:
    given = (names.flag(name, value) for name, value in sorted(stage.parameters.items()))
    return names.passed_arguments(stage.name, ("--input", INPUT, "--output", OUTPUT, *given))


def _replaces(plan: Plan, stage: BoundStage) -> str:
    """The run that is to make way: a damaged one, or the one that a forced stage would have hit."""
    decision = plan.decisions[stage.name]
    if not isinstance(decision, Miss):
        return ""
    if decision.damaged:
        return decision.damaged.run
    record = plan.recipe_records.get(stage.recipe)
    return record.run if record and stage.name in plan.request.force else ""


def _hits(plan: Plan, stages: Sequence[BoundStage]) -> tuple[SubmittedHit, ...]:
    read = {need for stage in stages for need in stage.needs}
    return tuple(
        SubmittedHit(name=s.name, location=d.record.location, digest=d.record.digest)
        for s in plan.stages
        if s.name in read and isinstance(d := plan.decisions[s.name], Hit)
    )


def _source(session: Session, name: str, identity: SourceIdentity) -> SubmittedSource:
    assert identity.digest is not None
    source = session.sources[name]
    url = source.url
    alone = isinstance(source, BucketSource) and source.is_object
    address = pod_address(url, session.settings, read_s3_access()) if url else None
    return SubmittedSource(
        name=name,
        identity=identity.identity,
        digest=identity.digest,
        origin=identity.origin,
        final_origin=identity.final_origin,
        url=url,
        file=url.rpartition("/")[2] if alone else "",
        endpoint=address.endpoint if address else "",
        region=address.region if address else "",
    )


def pod_address(url: str, settings: Settings, access: S3Access) -> ObjectAddress:
    """The address of the store or a source as pods reach it; the region is "" where it is the default."""
    region = "" if access.region == DEFAULT_REGION else access.region
    return object_address(url, settings.argo_endpoint or access.endpoint, region)


# The form of the time of planning.
TIME = "%Y-%m-%dT%H:%M:%SZ"
# The `uid` and the `pod` of a location in Argo's words.
WORKFLOW_UID, POD_NAME = "{{workflow.uid}}", "{{pod.name}}"


def run_id(planned: str, uid: str, pod: str) -> str:
    """The run of a pod: `<UTC time of planning>-<uid of the Workflow>-<pod>`; ids sort by time as every runner's do.

    No two pods have the same: a Workflow of the same name has another uid, and each attempt of each node another pod.
    """
    return f"{datetime.strptime(planned, TIME):%Y%m%dT%H%M%S}000Z-{uid}-{pod}"


def location(submission: Submission, stage: SubmittedStage, uid: str, pod: str) -> str:
    """The run's directory in the store, by the setting `prefix`."""
    planned = datetime.strptime(submission.planned, TIME)
    run = run_id(submission.planned, uid, pod)
    return run_location(submission.prefix, stage.component, stage.version, planned, run)


def share_hits(session: Session, plan: Plan) -> bool:
    """Publish the hits that only this machine knows, inputs first; True where there was one, and the plan has to be made anew.

    Raises StoreError as publishing does.
    """
    shared = False
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        if isinstance(decision, Hit) and not session.store.holds(decision.record):
            inputs = inputs_of(stage, plan.decisions, plan.identities)
            assert inputs is not None
            keys = Keys(stage.recipe, stage.content(inputs))
            text = f"{stage.name}: waiting for whoever computes, publishes or collects the same"
            # Under the lease no collection removes what is published here. Waiting is said once, however often it is called.
            with session.store.lease(keys.content, waiting=cache(partial(say, text))):
                session.store.share(keys, decision.record)
            shared = True
    return shared


def upload(planned: PlannedSubmission) -> None:
    """Put the sources and the submission into the store, each unless it is there.

    Raises StoreError as publishing does, SourceError for a source that has changed since the plan.
    """
    upload_sources(planned)
    submission = planned.submission
    planned.session.store.published.add_submission(submission.digest, submission)


def upload_sources(planned: PlannedSubmission) -> None:
    """Put the sources that stages read into the store, each unless it is there. Raises as `upload` does."""
    session, submission = planned.session, planned.submission
    for source in submission.sources:
        read = any(source.name in stage.sources for stage in submission.stages)
        if read and not source.url and not session.store.published.has_source(source.digest):
            _upload_source(session, source)


def _upload_source(session: Session, source: SubmittedSource) -> None:
    say(f"putting the source {source.origin} into {session.store.url}")
    with session.store.stage(f"source-{os.urandom(8).hex()}") as staging:
        session.sources[source.name].files(staging.scratch)
        shutil.copytree(staging.scratch, staging.output, dirs_exist_ok=True)
        artifact = hash_artifact(staging.output)
        if artifact.digest != source.digest:
            raise SourceError(
                f"the source {source.origin} changed while it was read",
                hint="run it again when whatever writes it is done",
            )
        session.store.add_source(staging, artifact)
