"""What every service does around its own routes: arguments, model, server, errors, exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields

from stageio import StageError
from stageio.object_store import SCHEME

from .arguments import parsed, reported
from .server import run_server
from .service import Options, Service

Main = Callable[..., None]


def serve(main: Main, *, argv: Sequence[str] | None = None) -> None:
    """Call `main(service, **parameters)`, which loads the model and adds routes; then serve.

    The parameters are those of component.yaml beside the file `main` is defined in; those of every
    service (see this library's component.yaml) are in `service.options`. Ends the process with
    exit code 0 after TERM or INT, 1 and one message on stderr for a StageError or an OSError.
    """
    # An interrupt is an error only before the server has begun to listen to signals.
    with reported():
        description, values = parsed(main, "component.yaml", sys.argv[1:] if argv is None else argv)
        options = Options(**{field.name: values.pop(field.name) for field in fields(Options)})
        _check(options)
        service = Service(description, options)
        main(service, **values)
        run_server(service)


def _check(options: Options) -> None:
    if options.output.startswith(SCHEME):
        raise StageError(
            f"--output {options.output}: a service writes its request log to a directory",
            "give a directory",
        )
    # The resolver takes a port that is too large modulo 65,536.
    if not 0 <= options.port <= 65_535:
        raise StageError(f"--port {options.port}: out of range", "give 0 to 65,535")
    for name, value, least, most in (
        ("drain-seconds", options.drain_seconds, 0, 3600),
        ("idle-seconds", options.idle_seconds, 1, 86_400),
        ("request-seconds", options.request_seconds, 1, 3600),
        ("connections", options.connections, 1, 100_000),
    ):
        if not least <= value <= most:
            raise StageError(f"--{name} {value}: out of range", f"give {least:,} to {most:,}")
