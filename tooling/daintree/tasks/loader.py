"""doit's loader of dodo.py, which is the first code of ours that doit calls: before it reads the command line.

`[tool.doit]` names it; below the project's root, where doit does not read that, doit's own loader stands in.
"""

from __future__ import annotations

import atexit
import gc
import sys

from doit.cmd_base import DodoTaskLoader


class ProjectLoader(DodoTaskLoader):  # type: ignore[misc]
    """doit's own loader, which refuses an empty word: doit itself ends in a traceback over it."""

    def __init__(self) -> None:
        """Raises SystemExit for a command line with an empty word in it."""
        super().__init__()
        if "" in sys.argv[1:]:
            from daintree.errors import UsageError
            from daintree.tasks.command import complain

            complain(
                UsageError(
                    "there is an empty word on the command line",
                    hint="is a variable in it not set?",
                )
            )
            raise SystemExit(UsageError.exit_code)
        _spare_the_collector()


def _spare_the_collector() -> None:
    """Keep what is imported by now, and at the exit all there is, out of the garbage collector's sight.

    Modules are no garbage while the process lives, and at its end the system takes everything back at once. Looking through them
    on the way, and twice more at the exit, is a tenth of the time of a command that has nothing to do (benchmarks/build.py).
    """
    gc.freeze()
    atexit.register(gc.freeze)
