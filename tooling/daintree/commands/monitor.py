"""`doit monitor`: what a service has served, against what its model was trained on."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daintree.commands.command import JSON_OPTION, DaintreeCommand, option
from daintree.commands.names import COMMANDS
from daintree.errors import UsageError
from daintree.pipeline.addresses import check_name
from daintree.pipeline.services import ALERT, find_attached, monitor, request_log, serve
from daintree.settings import expand_home
from daintree.terminal import say


class Serve(DaintreeCommand):
    """Serves the output of a pipeline's stage in the environment of the component that serves it."""

    doc_purpose = COMMANDS["serve"]
    doc_usage = (
        "PIPELINE[@NAME] | COMPONENT[@NAME] [--run RUN] [--port N] [--set parameter=value …]"
    )
    doc_description = (
        "The component is the one whose component.yaml says `serves: PIPELINE:STAGE`. It serves that stage's latest run, "
        "and a reload looks for a newer one; with @NAME the run that has the name, and a reload follows the name; with --run that run alone. It ends with Ctrl-C or SIGTERM, once "
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
        target, name = _named(names[0], options)
        service = find_attached(self.root, "serves", target)
        default = request_log(self.root, service)
        output = Path(expand_home(options["output"])).absolute() if options["output"] else default
        try:
            run = options["run"]
            outcome = serve(self.settings, service, run, output, arguments, say, name=name)
        except KeyboardInterrupt as stopped:
            say("stopped")
            return 128 + getattr(stopped, "number", signal.SIGINT)
        return outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code


def _named(text: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """Target that is served or monitored, and the name of the run, "" for none. Raises UsageError where --run says another."""
    target, at, name = text.partition("@")
    if at and options["run"]:
        raise UsageError(f"{text} and --run: which of them?", hint="give one")
    if at:
        check_name(name)
    return target, name


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
    doc_usage = (
        "PIPELINE[@NAME] | COMPONENT[@NAME] [--log DIR | --url URL] [--max-psi N …] [--json]"
    )
    doc_description = (
        "The component is the one whose component.yaml says `monitors: PIPELINE:STAGE`. It reads the request log, or a "
        "running service's counters, and the training data of the model that answered last, or of the run that has the NAME. The exit code is 2 for an "
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
        """Judge and print; the exit code is 2 for an alert. Raises UsageError for options that exclude each other."""
        target, name = _named(names[0], options)
        monitored = find_attached(self.root, "monitors", target)
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
            run = options["run"]
            report = monitor(self.settings, monitored, run, output, arguments, say, name=name)
        if report is None:
            return 1
        print((report.json if options["json"] else report.text).rstrip("\n"))
        return ALERT if report.alert else 0


def _flag(name: str, options: Mapping[str, Any]) -> str:
    return f"--{name.replace('_', '-')}={options[name]}"


def _path(text: str) -> str:
    """Absolute form of a path, for the component, which runs in a directory of its own; a URL as it stands."""
    return text if "://" in text else str(Path(expand_home(text)).absolute())
