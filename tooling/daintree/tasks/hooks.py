"""`doit hooks`: the project's git hooks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from daintree.hooks import after_commit, install, remove
from daintree.tasks.command import DaintreeCommand, option
from daintree.tasks.names import COMMANDS


class Hooks(DaintreeCommand):
    """Switches the project's git hooks on or off."""

    doc_purpose = COMMANDS["hooks"]
    doc_usage = "[--remove]"
    doc_description = (
        "After each commit the images that it changed are built in the background, and pushed where there is a registry. "
        "Hooks that were there before are called as before. DAINTREE_HOOKS=off turns them off."
    )
    cmd_options = (
        option("remove", "put git's hooks back as they were", type=bool),
        option("after_commit", "what the hook calls: build what this commit changed"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Do it and say so."""
        if options["after_commit"]:
            code, line = after_commit(self.root, options["after_commit"])
            print(f"daintree: {line}", file=sys.stderr)
            return code
        print("\n".join(remove(self.root) if options["remove"] else install(self.root)))
        return 0
