"""A pipeline being run: which stages are there, which are computed, and what happens to each in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from daintree.concurrency import Cancellation
from daintree.errors import ArtifactDamaged, UsageError
from daintree.pipeline.compute import Listener
from daintree.pipeline.decisions import FORCED, BoundStage, Decision, Hit, Miss, Pending, decide
from daintree.pipeline.plan import Plan, reason
from daintree.pipeline.session import Session
from daintree.store.records import IndexRecord

# Inputs that are found damaged are computed anew; one that keeps changing meanwhile is given up.
MOST_REPAIRS = 5
# A stage that is to stop is given three seconds by its runner; what a server or a transfer still holds then is left behind.
STOP_SECONDS = 10.0


class Result(msgspec.Struct, frozen=True):
    """How a stage got its output in this run."""

    status: Literal["hit", "run"]
    record: IndexRecord


class PipelineRun:
    """Runs the stages of one plan; doit decides when, this class decides what.

    `current` never waits and may be asked from doit's main thread; `execute` does all that takes time. Stages
    that do not depend on each other may be executed from several threads.
    """

    def __init__(self, session: Session, plan: Plan, listener: Listener) -> None:
        self.session = session
        self.plan = plan
        self.results: dict[str, Result] = {}
        self._listener = listener
        self._stages = {stage.name: stage for stage in plan.stages}
        self._decisions: dict[str, Decision] = dict(plan.decisions)
        self._cancellation = Cancellation()

    def cancel(self) -> None:
        """Make every stage that is being computed, or waits, stop, and wait until they have, STOP_SECONDS at most."""
        self._cancellation.cancel(STOP_SECONDS)

    def current(self, name: str) -> bool:
        """Whether the stage's output is in the store; for a pending stage decided now that its needs have run.

        A hit that is still to be published for others is `execute`'s: that takes time.
        """
        stage = self._stages[name]
        decision = self._decisions[name]
        if isinstance(decision, Pending):
            decision = self._decide(stage)
        self._decisions[name] = decision
        if not isinstance(decision, Hit) or not self.session.store.holds(decision.record):
            return False
        self._settle(stage, decision, self._digests(stage))
        return True

    def is_hit(self, name: str) -> bool:
        """Whether the stage, whose needs are settled, would be executed only to publish what this machine has."""
        return isinstance(self._decisions[name], Hit)

    def execute(self, name: str) -> None:
        """Compute the stage, or take what another run has computed meanwhile.

        Its inputs are verified byte by byte first; one that is not whole is computed again. Raises KeyboardInterrupt once
        the run is cancelled.
        """
        stage = self._stages[name]
        with self._cancellation.under_way():
            for _ in range(MOST_REPAIRS):
                if self._try(stage):
                    return
        raise UsageError(
            f"stage {name!r}: its inputs keep changing under it",
            hint="is another program writing to the store?",
        )

    def make_whole(self, names: Iterable[str]) -> None:
        """Verify the outputs of settled stages byte by byte, and compute those again that are not whole."""
        for name in names:
            self._whole(name)

    def _try(self, stage: BoundStage) -> bool:
        """True when the stage has its output; False when an input had to be repaired and came out different."""
        digests = self._digests(stage)
        content = stage.content(digests)
        with self.session.store.lease(content, waiting=self._waiting(stage)) as lease:
            fresh = self._decide_again(stage)
            if isinstance(fresh, Hit):
                self._settle(stage, fresh, digests)
                return True
            if isinstance(fresh, Miss) and fresh.damaged:
                self._listener.warning(
                    stage.name, f"stage {stage.name}: {fresh.reason}; computing it again"
                )
            if not self._inputs_whole(stage) and self._digests(stage) != digests:
                return False
            self._compute(stage, content, digests, fresh, lease.still_ours)
        return True

    def _compute(
        self,
        stage: BoundStage,
        content: str,
        digests: dict[str, str],
        decision: Decision,
        may_publish: Callable[[], bool],
    ) -> None:
        from daintree.pipeline.compute import Attempt, compute

        standing = self.session.store.lookup([content])[0]
        why = reason(self.session, self.plan, stage, decision, digests)
        self._listener.starting(stage.name, why)
        inputs = self._input_records(stage)
        attempt = Attempt(stage, inputs, digests, content, why)
        record = compute(
            self.session,
            self.plan,
            attempt,
            self._listener,
            may_publish,
            self._cancellation.is_asked,
        )
        winner = self.session.store.publish_index(content, record, replacing=standing)
        self._publish_recipe(stage, winner, digests)
        self.results[stage.name] = Result("run", winner)
        self._listener.computed(stage.name, winner)

    def _settle(self, stage: BoundStage, hit: Hit, digests: dict[str, str]) -> None:
        record = hit.record
        if not self.session.store.holds(record):
            record = self.session.store.share(stage.content(digests), stage.recipe, record)
        elif hit.adopt:
            self._publish_recipe(stage, record, digests)
        self.results[stage.name] = Result("hit", record)
        self._decisions[stage.name] = Hit(record)
        if record.digest != hit.record.digest:
            self._reconsider_after(stage)
        self._listener.hit(stage.name, record)

    def _reconsider_after(self, stage: BoundStage) -> None:
        """Another's output took the place of the one that the plan counted on: what needs it is decided anew."""
        changed = {stage.name}
        for later in self.plan.stages:
            waits_for = tuple(need for need in later.needs if need in changed)
            forced = self._decisions[later.name] == Miss(FORCED)
            if waits_for:
                changed.add(later.name)
                if not forced:
                    self._decisions[later.name] = Pending(waits_for)

    def _publish_recipe(
        self, stage: BoundStage, record: IndexRecord, digests: dict[str, str]
    ) -> None:
        """The recipe record names the content key's winner, with this stage's own names for the inputs."""
        wanted = msgspec.structs.replace(record, inputs=dict(digests))
        standing = self.session.store.lookup([stage.recipe])[0]
        if standing != wanted:
            self.session.store.publish_index(stage.recipe, wanted, replacing=standing)

    def _decide(self, stage: BoundStage) -> Decision:
        """The stage's decision now that its needs are settled; looked up afresh."""
        store = self.session.store
        return decide(
            stage,
            self._digests(stage),
            (),
            store.lookup([stage.recipe])[0],
            lambda key: store.lookup([key])[0],
            lambda record: store.check(record, thorough=False),
        )

    def _decide_again(self, stage: BoundStage) -> Decision:
        """The decision once the lease is held: what another run has published meanwhile counts.

        A forced stage stays a miss, and so does one whose bytes were found damaged while that same run
        still stands in the index.
        """
        decision = self._decisions[stage.name]
        if not isinstance(decision, Miss) or decision.reason == FORCED:
            return decision
        fresh = self._decide(stage)
        if decision.damaged and isinstance(fresh, Hit) and fresh.record.run == decision.damaged.run:
            return decision
        return fresh

    def _input_records(self, stage: BoundStage) -> dict[str, IndexRecord | None]:
        if not stage.needs:
            return {"": None}
        return {need: self.results[need].record for need in stage.needs}

    def _digests(self, stage: BoundStage) -> dict[str, str]:
        """The digests of the stage's inputs, all of which are settled."""
        if not stage.needs:
            digest = self.plan.identity.digest
            assert digest is not None
            return {"": digest}
        return {need: self.results[need].record.digest for need in stage.needs}

    def _inputs_whole(self, stage: BoundStage) -> bool:
        """Verify the inputs' bytes; compute the damaged ones again and return False when there was one."""
        whole = [self._whole(need) for need in stage.needs]
        return all(whole)

    def _whole(self, name: str) -> bool:
        """Verify a settled stage's output byte by byte; compute a damaged one again and return False."""
        record = self.results[name].record
        try:
            self.session.store.check(record, thorough=True)
        except ArtifactDamaged as damage:
            self._decisions[name] = Miss(damage.message, damaged=record)
            self.execute(name)
            return False
        return True

    def _waiting(self, stage: BoundStage) -> Callable[[], None]:
        """Called while another run computes the same: says so once, and gives up when this run is cancelled."""
        said = False

        def waiting() -> None:
            nonlocal said
            if self._cancellation.is_asked():
                raise KeyboardInterrupt
            if not said:
                said = True
                self._listener.note(
                    stage.name, "another run computes the same; waiting for its result"
                )

        return waiting
