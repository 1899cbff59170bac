"""`doit serve`: the last model of a pipeline behind HTTP, on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daintree.errors import UsageError
from daintree.report.text import say
from daintree.run.attached import find_attached
from daintree.run.serving import request_log, serve
from daintree.tasks.command import DaintreeCommand, option
from daintree.tasks.names import COMMANDS


class Serve(DaintreeCommand):
    """Serves the output of a pipeline's stage in the environment of the component that serves it."""

    doc_purpose = COMMANDS["serve"]
    doc_usage = "PIPELINE | COMPONENT [--run RUN] [--port N] [--set parameter=value …]"
    doc_description = (
        "The component is the one whose component.yaml says `serves: PIPELINE:STAGE`. It serves that stage's latest run, "
        "and a reload looks for a newer one; with --run it serves that run alone. It ends with Ctrl-C or SIGTERM, once "
        "what has been asked is answered."
    )
    cmd_options = (
        option("run", "the run to serve, by its id or its beginning (default: the latest)"),
        option("host", "the address to listen on (default: 127.0.0.1)"),
        option("port", "the port to listen on (default: 8000; 0: a free one)"),
        option("output", "where requests are logged (default: output/serve/PIPELINE)"),
        option("set", "parameter=value of the component; may be repeated", type=list),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Serve until it is stopped; the exit code is the service's."""
        arguments = [f"--{name}={options[name]}" for name in ("host", "port") if options[name]]
        arguments += assignments((*options["set"], *names[1:]))
        service = find_attached(self.root, "serves", names[0])
        default = request_log(self.root, service)
        output = Path(options["output"]).expanduser().absolute() if options["output"] else default
        try:
            outcome = serve(self.settings, service, options["run"], output, arguments, say)
        except KeyboardInterrupt as stopped:
            say("stopped")
            return 128 + getattr(stopped, "number", signal.SIGINT)
        return outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code


def assignments(texts: Iterable[str]) -> list[str]:
    """`parameter=value` texts as the component's command line takes them. Raises UsageError."""
    arguments = []
    for text in texts:
        parameter, equals, value = text.partition("=")
        if not (parameter and equals):
            raise UsageError(
                f"--set {text!r} cannot be read",
                hint="write --set parameter=value, e.g. --set decay=0.5",
            )
        arguments.append(f"--{parameter}={value}")
    return arguments
