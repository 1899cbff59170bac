"""`doit affected`: the components that a change affects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daintree.affected import affected
from daintree.digest import short
from daintree.report.text import columns
from daintree.spec.parsed import remember_documents
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS


class Affected(DaintreeCommand):
    """Names each affected component with its reasons."""

    doc_purpose = COMMANDS["affected"]
    doc_usage = "[--base REF] [--json]"
    doc_description = "A component is affected when its version differs: its own files, a library's, or how its image is made."
    cmd_options = (
        option(
            "base",
            "compare with this commit (default: the merge base with the upstream branch, else HEAD)",
        ),
        JSON_OPTION,
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Compare and print."""
        settings = self.settings
        remember_documents(settings.documents)
        found = affected(
            self.root, options["base"] or None, platform=settings.platform, bases=settings.bases
        )
        components = [
            {"name": item.name, "version": item.version, "reasons": list(item.reasons)}
            for item in found.components
        ]
        if options["json"]:
            print_json({"base": found.base, "components": components})
        elif not components:
            print(f"no component differs from {found.base or 'the empty repository'}")
        else:
            rows = [
                [item.name, short(item.version, 12) or "-", "; ".join(item.reasons)]
                for item in found.components
            ]
            print("\n".join(columns(rows, indent="")))
