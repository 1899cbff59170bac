"""Virtual environments: one per distinct set of locked requirements, made once, shared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from daintree.digest import Plain, digest_record, short
from daintree.errors import EnvironmentFailed
from daintree.runners.interpreter import environment_class, inspect_interpreter
from daintree.runners.requirements import LockedRequirements, parse_requirements

Announce = Callable[[str], None]


class Environments:
    """The virtual environments below `directory`, made by uv for the interpreter `python`.

    An environment is named after what decides its content: the requirements without comments, and
    the interpreter. It appears by a rename when it is whole, and nothing but `bytecode_directory`
    changes in it afterwards: whatever kills its maker, the next one who needs it makes it anew.
    """

    def __init__(self, directory: Path, python: str | Path = sys.executable) -> None:
        self.directory = directory
        self.python = os.fspath(python)

    def locate(self, requirements: Path | None) -> Path:
        """The Python of the environment for a requirements file, whether it is made yet or not.

        None, and a file that is missing or has no requirements, stand for the environment without
        packages. Raises EnvironmentFailed when the file cannot be read or is not complete in
        itself.
        """
        return self._locate(_read(requirements))

    def ensure(self, requirements: Path | None, announce: Announce) -> Path:
        """The Python of the environment for a requirements file, made when it does not exist.

        Made once, however many want it at the same time: the others wait, and `announce` says so.
        Before packages are installed `announce` gets one line with their number and size, and one
        afterwards. Raises EnvironmentFailed; nothing half-made stays visible.
        """
        locked = _read(requirements)
        python = self._locate(locked)
        if not python.exists():
            from daintree.runners.installation import make_environment

            source = requirements if locked.lines else None
            make_environment(environment_of(python), self.python, source, locked, announce)
        return python

    def _locate(self, locked: LockedRequirements) -> Path:
        interpreter = inspect_interpreter(self.python)
        decides: dict[str, Plain] = {
            "requirements": locked.lines,
            "version": interpreter.version,
            "platform": interpreter.platform,
            "interpreter": os.fsencode(interpreter.file).hex(),
        }
        name = f"{environment_class(self.python)}-{short(digest_record('environment', 1, decides))}"
        return self.directory / name / "bin" / "python"


def environment_of(python: Path) -> Path:
    """The environment's directory, from its Python."""
    return python.parent.parent


def site_packages(python: Path) -> Path:
    """Where the packages of an environment that exists are."""
    return next(environment_of(python).glob("lib/python*/site-packages"))


def bytecode_directory(python: Path) -> Path:
    """Where Python keeps the bytecode of what runs in the environment.

    Filled as modules are imported: compiling all of a large environment takes longer than
    installing it.
    """
    return environment_of(python) / "bytecode"


def _read(requirements: Path | None) -> LockedRequirements:
    if requirements is None:
        return LockedRequirements(())
    try:
        locked = parse_requirements(requirements.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return LockedRequirements(())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise EnvironmentFailed(f"{requirements}: {reason}") from None
    if locked.includes:
        raise EnvironmentFailed(
            f"{requirements}: brings in another file: {locked.includes[0]}",
            hint="`doit lock` writes everything into one file",
        )
    return locked
