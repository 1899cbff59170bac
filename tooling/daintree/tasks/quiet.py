"""doit's reporter for pipelines: silent, because the run's own listener says more."""

from __future__ import annotations

from typing import Any


class QuietReporter:
    """Implements doit's reporter protocol and prints nothing but errors of doit itself."""

    desc = "nothing"

    def __init__(self, outstream: Any = None, options: Any = None) -> None:
        self.errors: list[str] = []

    def runtime_error(self, msg: str) -> None:
        """An error of doit itself."""
        self.errors.append(msg)

    def _ignore(self, *arguments: Any) -> None:
        return

    initialize = get_status = execute_task = add_failure = add_success = _ignore
    skip_uptodate = skip_ignore = cleanup_error = teardown_task = complete_run = _ignore
