"""Runners: what executes a stage, behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tooling.errors import UsageError
from tooling.runners.protocol import Runner
from tooling.suggest import nearest


def open_runner(name: str, environments: Path) -> Runner:
    """The runner of this name; `environments` is where the local one keeps virtual environments.

    Raises UsageError for a name that is none.
    """
    if name not in RUNNERS:
        raise UsageError(f"there is no runner {name!r}", hint=nearest(name, list(RUNNERS)))
    return RUNNERS[name](environments)


def _local(environments: Path) -> Runner:
    from tooling.runners.local import LocalRunner

    return LocalRunner(environments)


RUNNERS: dict[str, Callable[[Path], Runner]] = {"local": _local}
