"""An order: a plan made ready for a cluster, with all that its manifest will say and nothing left to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from daintree import __version__
from daintree.argo.arguments import flag
from daintree.argo.component_images import ComponentImage, component_images
from daintree.argo.names import distinct_names
from daintree.argo.submission import (
    Submission,
    SubmittedHit,
    SubmittedSource,
    SubmittedStage,
)
from daintree.argo.template_groups import template_names
from daintree.build.reasons import dirty
from daintree.errors import ImageError, UsageError
from daintree.plan import BoundStage, Hit, Miss
from daintree.run.compute import current_user
from daintree.run.planning import Plan
from daintree.runners.container import INPUT, OUTPUT
from daintree.source.bucket import BucketSource
from daintree.spec.values import as_argument
from daintree.store.bucket import SCHEME

_LONGEST_TASK = 63


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster is asked for. Where `submission` has no stages there is nothing to do.

    `hits` are the stages that do not run, whether one that runs reads them or not; `saved` the seconds that computing them took.
    """

    plan: Plan
    submission: Submission
    hits: tuple[str, ...]
    saved: float


def order_of(plan: Plan) -> Order:
    """The order for what a plan misses. Nothing is written, and no cluster is asked.

    Raises UsageError for a store that a cluster cannot reach, ImageError for a component that is not committed or whose image
    is not in the registry, SourceError for a source that is both an object and a prefix.
    """
    check_reach(plan)
    stages = [s for s in plan.stages if not isinstance(plan.decisions[s.name], Hit)]
    plan.read_last_runs()
    commit = commit_of(plan, stages)
    images = _images(plan, stages)
    return Order(
        plan=plan,
        submission=Submission(
            pipeline=plan.pipeline.name,
            source=_source(plan),
            prefix=plan.settings.prefix,
            stages=_submitted(plan, stages, images),
            hits=_hits(plan, stages),
            commit=commit,
            user=current_user(),
            tooling=__version__,
        ),
        hits=tuple(s.name for s in plan.stages if s not in stages),
        saved=sum(d.record.seconds for d in plan.decisions.values() if isinstance(d, Hit)),
    )


def check_reach(plan: Plan) -> None:
    """Raise UsageError for a store that pods cannot reach."""
    if not plan.store.url.startswith(SCHEME):
        raise UsageError(
            f"the artifact store {plan.store.url} is on this machine, where no pod can reach it",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket",
        )


def commit_of(plan: Plan, stages: Sequence[BoundStage]) -> str:
    """HEAD, where the stages' components are in the project, "" else. Raises ImageError for one that is not as HEAD has it."""
    here = sorted({s.component for s in stages if not plan.version_of(s).image})
    if not here:
        return ""
    commit, unclean = dirty(plan.settings.root, plan.settings, here)
    for name in here:
        if name in unclean:
            raise ImageError(
                f"{name} is not committed: {'; '.join(unclean[name])}: a cluster runs what others can see",
                hint="commit it, then doit build --push; or try it here: --runner docker",
            )
    return commit


def _images(plan: Plan, stages: Sequence[BoundStage]) -> dict[str, ComponentImage]:
    versions = {stage.name: plan.version_of(stage) for stage in stages}
    distinct = list({version.digest: version for version in versions.values()}.values())
    images = component_images(distinct, plan.settings) if distinct else []
    found = {version.digest: image for version, image in zip(distinct, images, strict=True)}
    return {name: found[version.digest] for name, version in versions.items()}


def _submitted(
    plan: Plan, stages: Sequence[BoundStage], images: Mapping[str, ComponentImage]
) -> tuple[SubmittedStage, ...]:
    tasks = distinct_names([stage.name for stage in stages], _LONGEST_TASK)
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
            outputs=stage.spec.outputs,
            needs=stage.needs,
            resources=stage.resources,
            recipe=stage.recipe,
            reason=plan.reason(stage, plan.decisions[stage.name]),
            replaces=_replaces(plan, stage),
        )
        for stage in stages
    )


def container_arguments(stage: BoundStage) -> tuple[str, ...]:
    """What a stage's container gets behind its entrypoint."""
    given = (flag(name, as_argument(value)) for name, value in sorted(stage.parameters.items()))
    return ("--input", INPUT, "--output", OUTPUT, *given)


def _replaces(plan: Plan, stage: BoundStage) -> str:
    """The run that is to make way: a damaged one, or the one that a forced stage would have hit."""
    decision = plan.decisions[stage.name]
    if not isinstance(decision, Miss):
        return ""
    if decision.damaged:
        return decision.damaged.run
    standing = plan.recipe_records.get(stage.recipe)
    return standing.run if standing and stage.name in plan.request.force else ""


def _hits(plan: Plan, stages: Sequence[BoundStage]) -> tuple[SubmittedHit, ...]:
    """The hits that stages which run read."""
    read = {need for stage in stages for need in stage.needs}
    return tuple(
        SubmittedHit(name=s.name, location=d.record.location, digest=d.record.digest)
        for s in plan.stages
        if s.name in read and isinstance(d := plan.decisions[s.name], Hit)
    )


def _source(plan: Plan) -> SubmittedSource:
    identity = plan.identity
    assert identity.digest is not None
    url = plan.source.url
    alone = isinstance(plan.source, BucketSource) and plan.source.is_object
    return SubmittedSource(
        identity=identity.identity,
        digest=identity.digest,
        origin=identity.origin,
        url=url,
        file=url.rpartition("/")[2] if alone else "",
    )
