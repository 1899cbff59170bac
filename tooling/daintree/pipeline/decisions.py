"""The plan: for each stage a hit, a miss with its reason, or pending on the stages it waits for.

Everything here is pure: what the store and the source say comes in as values and functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from daintree.errors import ArtifactDamaged
from daintree.pipeline.keys import content_key, recipe_key
from daintree.spec.component import ComponentSpec, Resources, Scalar, as_argument
from daintree.spec.pipeline import plain_stage
from daintree.store.records import IndexRecord

FORCED = "forced"


class SourceIdentity(msgspec.Struct, frozen=True):
    """Identity of a source, its artifact digest (None until it is fetched), and where it is.

    `final_origin` is the URL that a server redirected to, without its query, or the location of the run that a name led to; "" where there is none.
    """

    identity: str
    digest: str | None
    origin: str
    final_origin: str = ""


def words_of(origins: Mapping[str, str]) -> str:
    """Sources by name for people: the one, or each with its name; "none" where there is none."""
    named = (f"{name}={origin}" if name else origin for name, origin in origins.items())
    return ", ".join(named) or "none"


class BoundStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage with its component's version and its parameters' values: all that its keys are made of.

    `parameters` are all of them; `ineffective` names those that stay out of the keys. `files` are the
    version's files (path → mode and blob id), kept in run records to say later what changed. `sources` are the names of those it
    reads; `refresh` is the token of the time for which its output is good ("" for one that stays so). `empty_needs` are the needs whose
    components have no output (`outputs: []`), as the component sees their names: their directories are empty.
    """

    name: str
    component: str
    version: str
    files: Mapping[str, str]
    spec: ComponentSpec
    parameters: Mapping[str, Scalar]
    needs: tuple[str, ...]
    empty_needs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    refresh: str = ""
    resources: Resources
    environment: str
    recipe: str

    @property
    def plain_name(self) -> str:
        """The stage's name in the pipeline, without the combination of a sweep."""
        return plain_stage(self.name)

    @property
    def input_names(self) -> dict[str, str]:
        """The names of the inputs, as the component sees them, by need."""
        return {need: plain_stage(need) for need in self.needs}

    @property
    def ineffective(self) -> tuple[str, ...]:
        """The parameters that change only how fast, sorted."""
        return tuple(sorted(n for n, p in self.spec.params.items() if not p.affects_output))

    @property
    def effective_parameters(self) -> dict[str, Scalar]:
        """The parameters that are part of the keys."""
        parameters, declared = self.parameters, self.spec.params
        return {name: v for name, v in parameters.items() if declared[name].affects_output}

    @property
    def arguments(self) -> tuple[str, ...]:
        """The parameters as the component's command line takes them, sorted by name.

        A value that begins with a dash is joined to its flag, so that no parser takes it for a flag of its own.
        """
        arguments: list[str] = []
        for name, value in sorted(self.parameters.items()):
            flag, text = "--" + name.replace("_", "-"), as_argument(value)
            arguments += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
        return tuple(arguments)

    def content(self, inputs: Mapping[str, str]) -> str:
        """The content key of this stage on these input digests, by need and source."""
        return content_key(
            version=self.version,
            parameters=self.effective_parameters,
            environment=self.environment,
            inputs=inputs,
            refresh=self.refresh,
        )


def with_recipe(
    stage: BoundStage, needs: Mapping[str, str], identities: Mapping[str, SourceIdentity]
) -> BoundStage:
    """The stage with its recipe key, made of all else that it holds and of the recipe keys of its `needs`."""
    recipe = recipe_key(
        version=stage.version,
        parameters=stage.effective_parameters,
        environment=stage.environment,
        needs=needs,
        sources={name: identities[name].identity for name in stage.sources},
        refresh=stage.refresh,
    )
    return msgspec.structs.replace(stage, recipe=recipe)


class Hit(msgspec.Struct, frozen=True):
    """The stage's output is in the store; `adopt` says that it was found by content, not yet by recipe."""

    record: IndexRecord
    adopt: bool = False
    status: Literal["hit"] = "hit"


class Miss(msgspec.Struct, frozen=True):
    """The stage must be computed. `damaged` is the record whose output turned out not to be whole.

    `reason` is empty when it takes the stage's history to tell.
    """

    reason: str = ""
    damaged: IndexRecord | None = None
    status: Literal["miss"] = "miss"


class Pending(msgspec.Struct, frozen=True):
    """Not known before these needs have run; it may turn out a hit."""

    on: tuple[str, ...]
    status: Literal["pending"] = "pending"

    @property
    def reason(self) -> str:
        """In words."""
        return "waits for " + ", ".join(self.on)


class Result(msgspec.Struct, frozen=True):
    """Output of a stage in this run: a hit, or computed."""

    status: Literal["hit", "run"]
    record: IndexRecord


Decision: TypeAlias = Hit | Miss | Pending

Lookup: TypeAlias = Callable[[str], IndexRecord | None]
Check: TypeAlias = Callable[[IndexRecord], None]


def inputs_of(
    stage: BoundStage, decisions: Mapping[str, Decision], identities: Mapping[str, SourceIdentity]
) -> dict[str, str] | None:
    """The digests of the stage's inputs by need and source, as the component sees their names; None while one is not known."""
    digests: dict[str, str] = {}
    for name in stage.sources:
        digest = identities[name].digest
        if digest is None:
            return None
        digests[name] = digest
    for need in stage.needs:
        decision = decisions[need]
        if not isinstance(decision, Hit):
            return None
        digests[stage.input_names[need]] = decision.record.digest
    return digests


def decide(
    stage: BoundStage,
    inputs: Mapping[str, str] | None,
    waits_for: tuple[str, ...],
    recipe_record: IndexRecord | None,
    lookup: Lookup,
    check: Check,
) -> Decision:
    """Decision for one stage: what the store has for it.

    `inputs` are the digests of its inputs, or None while `waits_for` have not run; `lookup` reads a stage
    key's record; `check` raises ArtifactDamaged for a record whose output is not whole. A recipe record
    counts only if its run read exactly these inputs; else the content key is looked up.
    """
    if inputs is None:
        return Pending(waits_for) if waits_for else Miss("the source is not fetched yet")
    damage: Miss | None = None
    content = stage.content(inputs)
    if (
        recipe_record is not None
        and recipe_record.inputs == inputs
        and recipe_record.content == content
    ):
        damage = _damage(recipe_record, check)
        if damage is None:
            return Hit(recipe_record)
    record = lookup(content)
    # A record of another content key was put there by nobody who computed this.
    if record is None or record.content != content:
        return damage or Miss()
    if damage and recipe_record and record.run == recipe_record.run:
        return damage
    return _damage(record, check) or Hit(record, adopt=True)


def _damage(record: IndexRecord, check: Check) -> Miss | None:
    try:
        check(record)
    except ArtifactDamaged as damage:
        return Miss(damage.message, damaged=record)
    return None


def decide_all(
    stages: Iterable[BoundStage],
    identities: Mapping[str, SourceIdentity],
    recipe_records: Mapping[str, IndexRecord | None],
    forced: frozenset[str],
    lookup: Lookup,
    check: Check,
) -> dict[str, Decision]:
    """A decision for each stage, by name, in order; a stage after a miss is pending, a forced one always a miss."""
    decisions: dict[str, Decision] = {}
    for stage in stages:
        inputs = inputs_of(stage, decisions, identities)
        waits_for = tuple(n for n in stage.needs if not isinstance(decisions[n], Hit))
        if stage.name in forced:
            decisions[stage.name] = Miss(FORCED)
            continue
        decisions[stage.name] = decide(
            stage, inputs, waits_for, recipe_records.get(stage.recipe), lookup, check
        )
    return decisions
