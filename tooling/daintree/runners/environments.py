"""Virtual environments: one per distinct set of locked requirements, made once, shared."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daintree.digest import Plain, digest_record, short
from daintree.errors import EnvironmentFailed
from daintree.process import Finished
from daintree.runners.interpreter import (
    environment_class,
    environment_of,
    inspect_interpreter,
)
from daintree.runners.uv import complaint, install_hint, run_uv

SIZE_NOTE = "# installed size: "
MADE_BY_NOTE = "# made by: doit lock "

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# pip's rule: a comment starts at the line's beginning or after a blank.
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class LockedRequirements:
    """The content of a requirements file that decides what gets installed, and what is known of it.

    `lines` are its logical lines without comments: files that differ in comments alone have equal
    lines. `owner` is the component it was locked for, `size` what it takes once installed, e.g. "26
    MB"; both are "" where the file does not say.
    """

    lines: tuple[str, ...]
    owner: str = ""
    size: str = ""

    @property
    def packages(self) -> frozenset[str]:
        """The names of the packages it pins, normalised; some may be for other platforms."""
        found = (_NAME.match(line) for line in self.lines)
        return frozenset(re.sub(r"[-_.]+", "-", name[0]).lower() for name in found if name)

    @property
    def includes(self) -> tuple[str, ...]:
        """The lines that bring in other files (`-r`, `-c`, `-e`); a complete lock has none."""
        flags = ("-r", "-c", "-e", "--requirement", "--constraint", "--editable")
        return tuple(line for line in self.lines if line.startswith(flags))


def parse_requirements(text: str) -> LockedRequirements:
    """Read a requirements file's text; any text is accepted, uv judges its requirements."""
    lines: list[str] = []
    joined = ""
    for physical in text.splitlines():
        line = _COMMENT.sub("", physical).strip()
        joined += line.removesuffix("\\").strip() + " "
        if not line.endswith("\\"):
            lines.append(joined.strip())
            joined = ""
    lines.append(joined.strip())
    return LockedRequirements(
        lines=tuple(line for line in lines if line),
        owner=_note(text, MADE_BY_NOTE),
        size=_note(text, SIZE_NOTE),
    )


def _note(text: str, start: str) -> str:
    found = (line for line in text.splitlines() if line.startswith(start))
    return next(found, "").removeprefix(start).strip()


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


def make_environment(
    environment: Path,
    python: str,
    requirements: Path | None,
    locked: LockedRequirements,
    announce: Callable[[str], None],
) -> None:
    """Make `environment` for the interpreter `python`, unless another process makes it meanwhile.

    `locked` is what `requirements` says; None makes an environment without packages.
    Raises EnvironmentFailed; the environment then does not exist.
    """
    owner = locked.owner or str(requirements or "")
    try:
        environment.parent.mkdir(parents=True, exist_ok=True)
        with _held(_beside(environment, ".lock"), owner, announce) as lock:
            if not (environment / "bin" / "python").exists():
                _replace(environment, python, requirements, locked, owner, lock, announce)
    except OSError as error:
        raise EnvironmentFailed(
            f"cannot write to {error.filename or environment}: {error.strerror}",
            hint="`doit config` shows where environments are kept, and how to choose another place",
        ) from None


def installed_size(environment: Path) -> str:
    """How much disk the packages of an environment take, e.g. "26 MB" (powers of 1000)."""
    amount: float = sum(
        os.lstat(os.path.join(directory, name)).st_size
        for directory, _, names in os.walk(environment / "lib")
        for name in names
    )
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _replace(
    environment: Path,
    python: str,
    requirements: Path | None,
    locked: LockedRequirements,
    owner: str,
    lock: int,
    announce: Callable[[str], None],
) -> None:
    partial = _beside(environment, ".partial")
    _remove(partial)
    # What is there cannot be used: its link to an interpreter leads nowhere.
    _remove(environment)
    try:
        _uv(["venv", "--relocatable", "--no-project", "--python", python, partial], owner, lock)
        if requirements is not None:
            announce(_announcement(locked, owner))
            started = time.monotonic()
            install = ["pip", "install", "--require-hashes", "--python", f"{partial}/bin/python"]
            _uv([*install, "-r", requirements], owner, lock)
            announce(f"installed {installed_size(partial)} in {time.monotonic() - started:.1f} s")
        os.rename(partial, environment)
    except BaseException:
        _remove(partial)
        raise


def _uv(arguments: list[str | Path], owner: str, lock: int) -> None:
    # uv keeps the lock open: should this process be killed, the next one waits until its uv has
    # ended, too.
    done = run_uv(arguments, pass_fds=[lock])
    if done.code:
        raise _failed(done, owner)


def _failed(done: Finished, owner: str) -> EnvironmentFailed:
    said = complaint(done)
    whose = f" for {owner}" if owner else ""
    indented = said.replace("\n", "\n    ")
    return EnvironmentFailed(
        f"the environment{whose} could not be made; uv says:\n    {indented}",
        hint=install_hint(said),
    )


def _announcement(locked: LockedRequirements, owner: str) -> str:
    count = len(locked.packages)
    packages = "1 package" if count == 1 else f"{count} packages"
    size = locked.size or "size not recorded"
    return f"installing {packages} ({size}) for {owner}, the first time only"


@contextlib.contextmanager
def _held(path: Path, owner: str, announce: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock file; yields its descriptor. Its holder's death frees it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce(f"the environment for {owner or 'no packages'} is being made already; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove(directory: Path) -> None:
    if os.path.lexists(directory):
        shutil.rmtree(directory)
