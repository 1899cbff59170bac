"""`doit record`: what a Workflow's successful stages have put out becomes hits."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import msgspec

from daintree.argo.recording import StageReport
from daintree.commands.argo import NAMESPACE
from daintree.commands.command import JSON_OPTION, DaintreeCommand, print_json
from daintree.commands.names import COMMANDS
from daintree.errors import ClusterUnavailable, StoreUnavailable
from daintree.terminal import colour, count, size


class Record(DaintreeCommand):
    """Records a Workflow's stages; exit code 1 when one that succeeded cannot be recorded."""

    doc_purpose = COMMANDS["record"]
    doc_usage = "WORKFLOW [--namespace NAMESPACE] [--json]"
    doc_description = (
        "A Workflow's exit handler does it when its stages have ended. By hand it is for a Workflow that was terminated, or whose "
        "exit handler died: what is recorded already is left alone, what was begun is completed."
    )
    cmd_options = (NAMESPACE, JSON_OPTION)
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Record; in a pod, what may do when it is tried again ends in a code of its own, on which Argo tries again."""
        from daintree.argo.cluster import IN_CLUSTER
        from daintree.argo.manifest import TEMPORARY_FAILURE

        try:
            return self._record(options, names)
        except (StoreUnavailable, ClusterUnavailable) as error:
            if os.environ.get(IN_CLUSTER):
                error.exit_code = TEMPORARY_FAILURE
            raise

    def _record(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Record one stage after the other and say what became of each."""
        from daintree.argo.cluster import open_cluster
        from daintree.argo.recording import recording_of
        from daintree.store.store import open_store

        namespace = options["namespace"] or self.settings.argo_namespace
        runs = open_store(self.settings).published
        recording = recording_of(open_cluster(), namespace, runs, names[0])
        width = max(len(stage.name) for stage in recording.stages)
        reports = []
        for stage in recording.stages:
            reports.append(recording.record(stage))
            if not options["json"]:
                print(stage_line(reports[-1], width, sys.stdout), flush=True)
        if options["json"]:
            print_json(record_as_json(names[0], namespace, reports))
        return 1 if any(report.status == "refused" for report in reports) else 0


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
