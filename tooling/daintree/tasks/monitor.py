"""`doit monitor`: what a service has served, against what its model was trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daintree.errors import UsageError
from daintree.report.text import say
from daintree.run.attached import find_attached
from daintree.run.monitoring import ALERT, monitor
from daintree.run.serving import request_log
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option
from daintree.tasks.names import COMMANDS
from daintree.tasks.serve import assignments

# Parameters of every monitor, in components/lib/serving/monitor.yaml: their help and defaults are there.
LIMITS = (
    option("hours", "judge the requests of so many hours up to now (default: all in the log)"),
    option("min_requests", "judge no fewer requests than this (default: 200)"),
    option("max_unknown", "alert above this share of unknown items (default: 0.1)"),
    option("max_psi", "alert above this stability index of what was asked with (default: 0.25)"),
    option("max_psi_answered", "the same for the answers (default: not judged)"),
)


class Monitor(DaintreeCommand):
    """Runs the component that monitors a pipeline's service, and prints its report."""

    doc_purpose = COMMANDS["monitor"]
    doc_usage = "PIPELINE | COMPONENT [--log DIR | --url URL] [--max-psi N …] [--json]"
    doc_description = (
        "The component is the one whose component.yaml says `monitors: PIPELINE:STAGE`. It reads the request log, or a "
        "running service's counters, and the training data of the model that answered last. The exit code is 2 for an "
        "alert, which is no error: the report is there. It is 1 where nothing can be judged, as with too few requests."
    )
    cmd_options = (
        option("log", "where requests were logged (default: where doit serve has them)"),
        option("url", "the address of a running service, to read its counters instead"),
        option(
            "run", "judge the answers of this run's model (default: of the one that answered last)"
        ),
        *LIMITS,
        option("output", "keep report.txt and report.json in this directory"),
        option("set", "parameter=value of the component; may be repeated", type=list),
        JSON_OPTION,
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Judge and print; the exit code says whether there is an alert."""
        monitored = find_attached(self.root, "monitors", names[0])
        if options["log"] and options["url"]:
            raise UsageError("--log and --url: which of them?", hint="give one")
        log = _path(options["log"]) if options["log"] else str(request_log(self.root, monitored))
        arguments = [
            f"--served={options['url'] or log}",
            *(_flag(limit["name"], options) for limit in LIMITS if options[limit["name"]]),
            *assignments((*options["set"], *names[1:])),
        ]
        with tempfile.TemporaryDirectory(prefix="daintree-") as scratch:
            output = Path(_path(options["output"]) if options["output"] else scratch)
            report = monitor(self.settings, monitored, options["run"], output, arguments, say)
        if report is None:
            return 1
        print((report.json if options["json"] else report.text).rstrip("\n"))
        return ALERT if report.alert else 0


def _flag(name: str, options: Mapping[str, Any]) -> str:
    return f"--{name.replace('_', '-')}={options[name]}"


def _path(text: str) -> str:
    """As the component, which runs in a directory of its own, finds it."""
    return text if "://" in text else str(Path(text).expanduser().absolute())
