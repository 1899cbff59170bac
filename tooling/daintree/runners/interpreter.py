"""The Python that environments are made for, and the paths in an environment."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import NamedTuple

from daintree.errors import EnvironmentFailed

OLDEST_PYTHON = (3, 11)

_QUESTION = (
    "import os, sys; print(*sys.version_info[:3], sys.platform, os.uname().machine,"
    " os.path.realpath(sys.executable), sep=chr(10))"
)


class Interpreter(NamedTuple):
    """A Python: version, e.g. (3, 11, 7), platform, e.g. "linux-x86_64", file (links resolved)."""

    version: tuple[int, int, int]
    platform: str
    file: str


@functools.cache
def inspect_interpreter(python: str) -> Interpreter:
    """The Python at `python`; the running one is known without starting it.

    Raises EnvironmentFailed when there is none, or it is too old.
    """
    if python == sys.executable:
        platform = f"{sys.platform}-{os.uname().machine}"
        return Interpreter(sys.version_info[:3], platform, os.path.realpath(python))
    lines = _ask(python)
    version = (int(lines[0]), int(lines[1]), int(lines[2]))
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise EnvironmentFailed(
            f"{python}: is Python {version[0]}.{version[1]}",
            hint=f"the oldest supported is {oldest}",
        )
    return Interpreter(version, f"{lines[3]}-{lines[4]}", lines[5])


def environment_class(version: str = "", python: str | Path = sys.executable) -> str:
    """The environment class of results of a Python, e.g. "venv-3.11-linux-x86_64"; part of every stage key.

    `version` is the one that a component asks for, e.g. "3.12"; "" stands for that of `python`. Raises EnvironmentFailed
    when that does not work.
    """
    interpreter = inspect_interpreter(os.fspath(python))
    return f"venv-{version or minor_version(interpreter)}-{interpreter.platform}"


def minor_version(interpreter: Interpreter) -> str:
    """Its version as a component.yaml names it, e.g. "3.11"."""
    return f"{interpreter.version[0]}.{interpreter.version[1]}"


def environment_of(python: Path) -> Path:
    """The environment's directory, from its Python."""
    return python.parent.parent


def site_packages(python: Path) -> Path:
    """The directory of the packages of an environment that exists."""
    return next(environment_of(python).glob("lib/python*/site-packages"))


def bytecode_directory(python: Path) -> Path:
    """The directory of the bytecode of what runs in the environment.

    Filled as modules are imported: compiling all of a large environment takes longer than
    installing it.
    """
    return environment_of(python) / "bytecode"


def _ask(python: str) -> list[str]:
    from daintree.process import capture

    try:
        answer = capture([python, "-I", "-S", "-c", _QUESTION])
    except OSError as error:
        raise EnvironmentFailed(f"{python}: cannot be started: {error.strerror}") from None
    lines = answer.stdout.decode("utf-8", "surrogateescape").splitlines()
    if answer.code or len(lines) != 6:
        raise EnvironmentFailed(f"{python}: is not a Python that works: {answer.complaint()}")
    return lines
