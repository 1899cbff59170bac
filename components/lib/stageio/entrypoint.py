"""What every stage does around its own work: arguments, input, output, errors, exit code."""

from __future__ import annotations

import inspect
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import object_store, parameters
from .errors import StageError, from_os_error
from .object_store import Location
from .url import fetch

Main = Callable[..., object]

_URL_SCHEMES = ("http://", "https://")


def run(main: Main, *, accepts_url: bool = False, argv: Sequence[str] | None = None) -> None:
    """Call `main(input=…, output=…, **parameters)` as the command line says.

    The parameters are those that component.yaml, beside the file `main` is defined in, declares.
    `input` is the path of a directory, `output` that of an empty directory, which is made when it
    is missing. An `s3://` input is downloaded before, an `s3://` output is uploaded after `main`
    has returned. With `accepts_url` the input may also be the path of a file, or an http(s) URL,
    of which `main` is given the file. Where `main` fails, the output is left empty.

    Ends the process with exit code 1 and one message on stderr for a StageError, an OSError such
    as a full disk, and a lack of memory; with 130 and 143 for the signals INT and TERM.
    """
    try:
        with _ended_by_term():
            _run(main, accepts_url, sys.argv[1:] if argv is None else argv)
    except StageError as error:
        _fail(error)
    except OSError as error:
        _fail(from_os_error(error))
    except MemoryError:
        _fail(StageError("out of memory", "raise resources.memory of the stage"))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _run(main: Main, accepts_url: bool, argv: Sequence[str]) -> None:
    script = Path(inspect.getfile(main)).absolute()
    description = parameters.read_description(script.with_name("component.yaml"))
    values = parameters.parse(description, argv, program=script.name)
    source, target = str(values.pop("input")), str(values.pop("output"))
    _check_signature(main, list(values))
    # The output is looked at first: a download may take long.
    with _output(target) as output, _input(source, accepts_url) as given:
        main(input=given, output=output, **values)


@contextmanager
def _input(source: str, accepts_url: bool) -> Iterator[Path]:
    if source.startswith(object_store.SCHEME):
        with tempfile.TemporaryDirectory(prefix="stage-input-") as directory:
            object_store.download(Location.parse(source), Path(directory))
            yield Path(directory)
    elif source.lower().startswith(_URL_SCHEMES):
        if not accepts_url:
            raise StageError(
                "--input: this component does not read a URL", "load it by a connector first"
            )
        with tempfile.TemporaryDirectory(prefix="stage-input-") as directory:
            yield fetch(source, Path(directory))
    else:
        yield _local_input(Path(source), accepts_url)


def _local_input(path: Path, accepts_file: bool) -> Path:
    if path.is_dir() or (accepts_file and path.is_file()):
        return path
    kind = "a file or a directory" if accepts_file else "a directory"
    problem = "not " + kind if path.exists() else "no such file or directory"
    raise StageError(f"--input {path}: {problem}", f"--input is {kind} that exists")


@contextmanager
def _output(target: str) -> Iterator[Path]:
    if target.startswith(object_store.SCHEME):
        location = Location.parse(target)
        object_store.check_empty(location)
        with tempfile.TemporaryDirectory(prefix="stage-output-") as directory:
            yield Path(directory)
            object_store.upload(Path(directory), location)
    else:
        with _emptied_on_failure(Path(target)) as output:
            yield output


@contextmanager
def _emptied_on_failure(output: Path) -> Iterator[Path]:
    if output.exists() and not output.is_dir():
        raise StageError(f"--output {output}: not a directory", "--output is an empty directory")
    output.mkdir(parents=True, exist_ok=True)
    first = min((entry.name for entry in output.iterdir()), default=None)
    if first is not None:
        raise StageError(
            f"--output {output}: not empty, it holds {first}", "choose an empty or a new directory"
        )
    try:
        yield output
    except BaseException:
        _empty(output)
        raise


def _empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _empty(entry)
            entry.rmdir()
        else:
            entry.unlink()


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """Let TERM end the process in order: by default, process 1 of a container ignores it."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _check_signature(main: Main, names: Sequence[str]) -> None:
    try:
        inspect.signature(main).bind(input=None, output=None, **dict.fromkeys(names))
    except TypeError as error:
        raise StageError(
            f"component.yaml and main() differ: {error}",
            "main takes input, output and each declared parameter by its name",
        ) from None


def _fail(error: StageError) -> NoReturn:
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    sys.exit(1)
