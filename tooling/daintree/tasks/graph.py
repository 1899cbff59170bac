"""`doit graph`: a pipeline drawn with its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daintree.report.graph import mermaid, text_graph
from daintree.tasks.command import DaintreeCommand, option
from daintree.tasks.names import COMMANDS
from daintree.tasks.planned import planned
from daintree.tasks.run import RUNNER, SET, SOURCE


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
        plan = planned(self.settings, names[0], options)
        print("\n".join((mermaid if options["mermaid"] else text_graph)(plan)))
