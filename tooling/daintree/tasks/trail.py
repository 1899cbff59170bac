"""The trail: `doit history`, `doit show`, and `doit path`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daintree.errors import UsageError
from daintree.manifest import RunManifest
from daintree.plan import Hit
from daintree.report.trail import history_table, run_as_json, run_page
from daintree.run.planning import latest_run
from daintree.store import open_store
from daintree.store.protocol import Store
from daintree.suggest import nearest
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS
from daintree.tasks.planned import planned
from daintree.tasks.run import RUNNER, SET, SOURCE

LIMIT = 20


class History(DaintreeCommand):
    """Lists runs, newest first."""

    doc_purpose = COMMANDS["history"]
    doc_usage = "[PIPELINE[:STAGE]] [--limit N] [--json]"
    doc_description = "Newest first. A stage that was a hit has not run, so it is not listed again."
    cmd_options = (
        option("limit", f"how many runs at most (default {LIMIT}, 0: all)", type=int, short="l"),
        JSON_OPTION,
    )
    names = (0, 1)

    def get_options(self) -> list[Any]:
        """With the limit's default."""
        options = super().get_options()
        options[0].set_default(LIMIT)
        return options

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Collect and print."""
        limit = options["limit"]
        if limit < 0:
            raise UsageError(f"--limit {limit}: expected 0 or more", hint="0 lists all runs")
        store = open_store(self.settings)
        pipeline, _, stage = (names[0] if names else "").partition(":")
        runs = runs_of(store, pipeline, stage)[: limit or None]
        if options["json"]:
            print_json({"runs": [run_as_json(run, store, brief=True) for run in runs]})
        elif runs:
            print("\n".join(history_table(runs)))
        else:
            print("no run recorded")


def runs_of(store: Store, pipeline: str, stage: str) -> list[RunManifest]:
    """The runs of a pipeline ("" for all) or of one of its stages, newest first."""
    pairs = store.stages_with_history(pipeline or None)
    if pipeline and not pairs:
        known = sorted({name for name, _ in store.stages_with_history()})
        raise UsageError(
            f"no run of a pipeline {pipeline!r} is recorded", hint=nearest(pipeline, known)
        )
    if stage and (pipeline, stage) not in pairs:
        raise UsageError(
            f"no run of a stage {stage!r} of {pipeline} is recorded",
            hint=nearest(stage, [name for _, name in pairs]),
        )
    runs = [run for pair in pairs if not stage or pair[1] == stage for run in store.history(*pair)]
    return sorted(runs, key=lambda run: run.run, reverse=True)


class Show(DaintreeCommand):
    """Shows one run whole."""

    doc_purpose = COMMANDS["show"]
    doc_usage = "RUN | PIPELINE:STAGE [--json]"
    doc_description = "RUN is a run id, as `doit history` lists them, or its beginning; PIPELINE:STAGE is its latest run."
    cmd_options = (JSON_OPTION,)
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Find and print."""
        store = open_store(self.settings)
        pipeline, colon, stage = names[0].partition(":")
        run = latest_run(store, pipeline, stage) if colon else store.find_run(names[0])
        if run is None:
            raise UsageError(f"there is no run {names[0]!r}", hint="`doit history` lists the runs")
        if options["json"]:
            print_json(run_as_json(run, store, brief=False))
        else:
            print("\n".join(run_page(run, store)))


class OutputPath(DaintreeCommand):
    """Prints the path of a stage's output."""

    name = "path"
    doc_purpose = COMMANDS["path"]
    doc_usage = "PIPELINE[:STAGE] [--set stage.parameter=value …]"
    doc_description = "Prints one path alone: where the output lies that the plan finds for the stage (default: the last one)."
    cmd_options = (SOURCE, SET, RUNNER)
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Plan and print the path; an error when the stage has no output now."""
        pipeline, _, stage = names[0].partition(":")
        plan = planned(self.settings, pipeline, options, set=names[1:])
        bound = plan.stage(stage) if stage else plan.stages[-1]
        decision = plan.decisions[bound.name]
        if not isinstance(decision, Hit):
            raise UsageError(
                f"{pipeline}:{bound.name} has no output in the store now: {plan.reason(bound, decision)}",
                hint=f"doit run {pipeline}:{bound.name}",
            )
        print(plan.store.output_path(decision.record.location))
