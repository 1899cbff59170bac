"""What every service does around its own routes: arguments, model, server, errors, exit code."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from stageio import StageError
from stageio.errors import from_os_error
from stageio.object_store import SCHEME
from stageio.parameters import parse, read_description

from .server import run_server
from .service import Options, Service

Main = Callable[..., None]


def serve(main: Main, *, argv: Sequence[str] | None = None) -> None:
    """Call `main(service, **parameters)`, which loads the model and adds routes; then serve.

    The parameters are those of component.yaml beside the file `main` is defined in; those of every
    service (see this library's component.yaml) are in `service.options`. Ends the process with
    exit code 0 after TERM or INT, 1 and one message on stderr for a StageError or an OSError.
    """
    try:
        _serve(main, sys.argv[1:] if argv is None else argv)
    except StageError as error:
        _fail(error)
    except OSError as error:
        _fail(from_os_error(error))
    except KeyboardInterrupt:
        # Before the server has begun to listen to signals.
        sys.exit(130)


def _serve(main: Main, argv: Sequence[str]) -> None:
    script = Path(inspect.getfile(main)).absolute()
    own = read_description(script.with_name("component.yaml"))
    common = read_description(Path(__file__).with_name("component.yaml"))
    params = {**common["params"], **(own.get("params") or {})}
    values: dict[str, Any] = parse({**own, "params": params}, argv, program=script.name)
    options = Options(**{field.name: values.pop(field.name) for field in fields(Options)})
    _check(options)
    service = Service(str(own.get("description", script.name)), options)
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
    if not 0 <= options.drain_seconds <= 3600:
        raise StageError(
            f"--drain-seconds {options.drain_seconds}: out of range", "give 0 to 3,600"
        )


def _fail(error: StageError) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    sys.exit(1)
