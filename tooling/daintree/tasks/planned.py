"""The plan that a command shows or works on, as its options ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daintree.run.planning import Plan, Request, make_plan
from daintree.settings import Settings
from daintree.tasks.names import reserved_names


def planned(
    settings: Settings,
    pipeline: str,
    options: Mapping[str, Any],
    *,
    set: Iterable[str] = (),
    force: Iterable[str] = (),
    fetch: bool = False,
) -> Plan:
    """The pipeline's plan with the options `source`, `set` and `runner`; `set` and `force` are what was typed beside them.

    `fetch` allows a remote source to be downloaded. Raises as `make_plan` does.
    """
    request = Request(
        pipeline=pipeline,
        directory=Path.cwd(),
        source=options["source"],
        set=(*options["set"], *set),
        force=tuple(force),
        runner=options["runner"],
    )
    return make_plan(settings, request, reserved_names(settings.root), fetch=fetch)
