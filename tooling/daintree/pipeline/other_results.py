"""Results that another runner has: from another kind of environment, so no hits, but worth knowing of."""

from __future__ import annotations

import msgspec

from daintree.errors import EnvironmentFailed
from daintree.pipeline.decisions import BoundStage, Hit, Miss, recipe_of
from daintree.pipeline.plan import Plan, decided
from daintree.pipeline.session import Session
from daintree.runners import open_runner

# By runner: the runner whose results are of the other kind, and what they are called.
OTHERS = {
    "local": ("docker", "an image result"),
    "docker": ("local", "a result without an image"),
    "argo": ("local", "a result without an image"),
}


def elsewhere(session: Session, plan: Plan) -> dict[str, str]:
    """For each stage that misses, but whose output another runner has: a sentence that says so.

    The store is asked only where there is a miss. The results are never taken: a bare environment's must not
    pass for a container's. Raises StoreError.
    """
    missed = [name for name, decision in plan.decisions.items() if isinstance(decision, Miss)]
    if not missed or plan.runner not in OTHERS:
        return {}
    runner, what = OTHERS[plan.runner]
    try:
        stages = _bound_to(plan, open_runner(runner, session.settings).environment_class)
    except EnvironmentFailed:
        return {}
    decisions = decided(session.store, stages, plan.identity)[1]
    return {
        name: f"{what} exists: --runner {runner}"
        for name in missed
        if isinstance(decisions[name], Hit)
    }


def _bound_to(plan: Plan, environment: str) -> list[BoundStage]:
    """The plan's stages as they would be in another environment."""
    bound: dict[str, BoundStage] = {}
    for stage in plan.stages:
        recipe = recipe_of(
            version=stage.version,
            spec=stage.spec,
            parameters=stage.parameters,
            environment=environment,
            needs={need: bound[need].recipe for need in stage.needs},
            source=plan.identity,
        )
        bound[stage.name] = msgspec.structs.replace(stage, environment=environment, recipe=recipe)
    return list(bound.values())
