"""`doit graph`: a pipeline drawn with its plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tooling.report.graph import mermaid, text_graph
from tooling.run.planning import Request, make_plan
from tooling.tasks.command import DaintreeCommand, option
from tooling.tasks.names import COMMANDS, reserved_names
from tooling.tasks.run import RUNNER, SET, SOURCE


class Graph(DaintreeCommand):
    """Draws a pipeline as text, or as a Mermaid flowchart."""

    doc_purpose = COMMANDS["graph"]
    doc_usage = "PIPELINE [--mermaid]"
    doc_description = "What the stages read and write, and whether each is a hit, a miss or pending; runs nothing."
    cmd_options = (
        option("mermaid", "print a Mermaid flowchart, for Markdown pages", type=bool),
        SOURCE,
        SET,
        RUNNER,
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Plan and draw."""
        request = Request(
            pipeline=names[0],
            directory=Path.cwd(),
            source=options["source"],
            set=tuple(options["set"]),
            runner=options["runner"],
        )
        plan = make_plan(self.settings, request, reserved_names(self.root), fetch=False)
        print("\n".join((mermaid if options["mermaid"] else text_graph)(plan)))
