"""`doit affected`: the components whose version differs from a commit, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from daintree.commands import main
from daintree.commands.command import DaintreeCommand, option, print_json, shared
from daintree.components import WorkingTree
from daintree.components.affected import affected
from daintree.digest import short
from daintree.spec.document import cache_documents
from daintree.terminal import columns


class Affected(DaintreeCommand):
    """Names each affected component with its reasons."""

    doc_usage = "[--base REF] [--json]"
    doc_description = "A component is affected when its version differs: its own files, a library's, or how its image is made."
    cmd_options = (
        option(
            "base",
            "compare with this commit (default: the one CI names, the merge base with the upstream branch, HEAD or its parent)",
        ),
        *shared("json"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        settings = self.settings
        cache_documents(settings.documents)
        result = affected(
            main.started_tree or WorkingTree(self.root),
            options["base"] or None,
            platform=settings.platform,
            bases=settings.bases,
        )
        chosen = (
            f"compared with {result.base[:12]}: {result.chosen}" if result.base else result.chosen
        )
        components = [
            {"name": item.name, "version": item.version, "reasons": list(item.reasons)}
            for item in result.components
        ]
        if options["json"]:
            print_json({"base": result.base, "chosen": result.chosen, "components": components})
            return
        print(chosen, file=sys.stderr)
        if not components:
            print(f"no component differs from {result.base or 'the empty repository'}")
        else:
            rows = [
                [item.name, short(item.version, 12) or "-", "; ".join(item.reasons)]
                for item in result.components
            ]
            print("\n".join(columns(rows, indent="")))
