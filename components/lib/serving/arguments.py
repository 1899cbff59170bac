"""What a service's and a monitor's command lines share: their parameters, and how an error ends them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from stageio import StageError
from stageio.errors import from_os_error
from stageio.parameters import parse, read_description


def parsed(
    main: Callable[..., object], common: str, argv: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """(what the component is, its `input`, `output` and parameters).

    The parameters are those of component.yaml beside the file `main` is defined in, and those of
    this library's file `common`. Raises StageError.
    """
    script = Path(inspect.getfile(main)).absolute()
    own = read_description(script.with_name("component.yaml"))
    shared = read_description(Path(__file__).with_name(common))
    params = {**shared["params"], **(own.get("params") or {})}
    values = parse({**own, "params": params}, argv, program=script.name)
    return str(own.get("description", script.name)), values


@contextmanager
def reported() -> Iterator[None]:
    """End the process with exit code 1 and one message on stderr for a StageError or an OSError, 130 for an interrupt."""
    try:
        yield
    except StageError as error:
        _fail(error)
    except OSError as error:
        _fail(from_os_error(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: StageError) -> NoReturn:
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    sys.exit(1)
