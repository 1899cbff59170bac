"""What the record step has done, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from daintree.argo.recording import StageReport
from daintree.report.text import colour, count, size

_WORDS = {"recorded": "recorded", "known": "known already", "refused": "not recorded"}
_SHADES = {"recorded": "green", "known": "dim", "refused": "red", "absent": "yellow"}


def stage_line(report: StageReport, width: int, stream: TextIO) -> str:
    """One stage on one line; the stages' names are `width` wide."""
    word = _WORDS.get(report.status, report.state)
    output = f"{count(report.files, 'file')}, {size(report.bytes)}" if report.run else ""
    detail = "; ".join(part for part in (output, report.why) if part)
    shown = colour(word, _SHADES[report.status], stream)
    return f"{report.stage.ljust(width)}  {shown}" + (f": {detail}" if detail else "")


def record_as_json(workflow: str, namespace: str, reports: Sequence[StageReport]) -> dict[str, Any]:
    """The whole report."""
    return {"workflow": workflow, "namespace": namespace, "stages": msgspec.to_builtins(reports)}
