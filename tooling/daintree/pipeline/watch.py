"""A pipeline watched: run when its source has changed, once a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daintree.errors import DaintreeError, SourceError, StoreUnavailable
from daintree.pipeline.decisions import Hit, Miss, inputs_of
from daintree.pipeline.plan import Plan, Planned
from daintree.store.records import RunManifest

# What may come back by itself: whoever waits for it has nothing to put right.
AWAY = (SourceError, StoreUnavailable)


class Watcher(Protocol):
    """Is told what a watch finds; the report layer turns it into lines."""

    def unchanged(self, plan: Plan) -> None:
        """At the first look, all of the plan is in the store: nothing is run."""
        ...

    def failed_before(self, plan: Plan, run: RunManifest) -> None:
        """At the first look, what is missing has failed on these inputs already: nothing is run."""
        ...

    def starting(self, plan: Plan) -> None:
        """The plan is about to be run."""
        ...

    def failed(self, error: DaintreeError) -> None:
        """The run failed, and is not tried again until the source changes."""
        ...

    def away(self, error: DaintreeError) -> None:
        """It cannot be told or computed now; the watch goes on. Told once until `back`."""
        ...

    def back(self) -> None:
        """Report that a source or server that was away is there again."""
        ...


class Watch:
    """Looks at a pipeline's source, and runs the pipeline when it is another than that of the last run.

    `identify` says which source it is now, without planning; `plan` plans the pipeline on what it is then;
    `execute` runs a plan. Each raises DaintreeError. When to look is the caller's.
    """

    def __init__(
        self,
        identify: Callable[[], str],
        plan: Callable[[], Planned],
        execute: Callable[[Planned], None],
        watcher: Watcher,
    ) -> None:
        self._identify, self._plan, self._execute = identify, plan, execute
        self._watcher = watcher
        self._seen = ""
        self._planned = False
        self._trouble: type[DaintreeError] | None = None

    def once(self) -> bool:
        """Look, and run what has changed; False where it has failed before on the same source.

        Raises DaintreeError, whatever it is.
        """
        planned = self._plan()
        plan, failure = planned.plan, failed_before(planned)
        if failure:
            self._watcher.failed_before(plan, failure)
        elif _all_there(plan):
            self._watcher.unchanged(plan)
        else:
            self._watcher.starting(plan)
            self._execute(planned)
        return failure is None

    def look(self) -> None:
        """Look, and run what has changed since the last look; at the first one, what is missing.

        What goes wrong is told, and the next look is due. Until a look has succeeded, an error that does not
        go away by itself is raised instead: it is the command's, or the project's.
        """
        try:
            planned = self._wanted()
        except DaintreeError as error:
            if not self._planned and not isinstance(error, AWAY):
                raise
            self._away(error)
            return
        self._back()
        if planned is None:
            return
        self._watcher.starting(planned.plan)
        try:
            self._execute(planned)
        except AWAY as error:
            # It has not failed on this source: once all is back, it is to be run.
            self._seen = ""
            self._away(error)
        except DaintreeError as error:
            self._watcher.failed(error)

    def _wanted(self) -> Planned | None:
        """The plan to be run, None when there is nothing to run."""
        now = self._identify()
        if now == self._seen:
            return None
        planned = self._plan()
        first, self._planned = not self._planned, True
        # Not the plan's, which knows what a download said: some servers tell other validators without one. Should
        # the source have changed in between, the next look plans again, and finds that all of it is there.
        self._seen = now
        if not first:
            return planned
        plan, failure = planned.plan, failed_before(planned)
        if failure:
            self._watcher.failed_before(plan, failure)
        elif _all_there(plan):
            self._watcher.unchanged(plan)
        else:
            return planned
        return None

    def _away(self, error: DaintreeError) -> None:
        # By its kind: words such as "broke off after 812 bytes" differ from look to look.
        if self._trouble is not type(error):
            self._watcher.away(error)
        self._trouble = type(error)

    def _back(self) -> None:
        if self._trouble:
            self._watcher.back()
        self._trouble = None


def _all_there(plan: Plan) -> bool:
    return all(isinstance(decision, Hit) for decision in plan.decisions.values())


def failed_before(planned: Planned) -> RunManifest | None:
    """The latest run of a stage to be computed, if it failed on the very same inputs, version and parameters."""
    session, plan = planned
    for stage in plan.stages:
        inputs = inputs_of(stage, plan.decisions, plan.identities)
        if inputs is None or not isinstance(plan.decisions[stage.name], Miss):
            continue
        last = next(iter(session.store.history(plan.pipeline.name, stage.name)), None)
        if last and last.result == "failed" and last.keys.content == stage.content(inputs):
            return session.store.read_run(last.location)
    return None
