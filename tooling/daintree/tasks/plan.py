"""`doit plan`: what a run would do, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daintree.errors import UsageError
from daintree.report.plan_table import plan_as_json, plan_table
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, print_json
from daintree.tasks.names import COMMANDS
from daintree.tasks.planned import planned
from daintree.tasks.run import FORCE, RUNNER, SET, SOURCE


class Plan(DaintreeCommand):
    """Shows each stage as a hit, a miss or pending; runs and downloads nothing."""

    doc_purpose = COMMANDS["plan"]
    doc_usage = "PIPELINE [--set stage.parameter=value …] [--json]"
    doc_description = (
        "HIT: the output is in the store. MISS: the stage would run, for the reason given. PENDING: that depends on what "
        "the stages before it write. The seconds are those of the stage's last run."
    )
    cmd_options = (SOURCE, SET, FORCE, RUNNER, JSON_OPTION)
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Plan and print."""
        pipeline, *words = names
        if words and not (options["set"] or options["force"]):
            raise UsageError(
                f"doit plan: {words[0]!r} is one name too many", hint=f"doit plan {self.doc_usage}"
            )
        plan = planned(
            self.settings,
            pipeline,
            options,
            set=(word for word in words if "=" in word),
            force=(*options["force"], *(word for word in words if "=" not in word)),
        )
        if options["json"]:
            print_json(plan_as_json(plan))
        else:
            print("\n".join(plan_table(plan)))
