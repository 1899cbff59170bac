"""Making one virtual environment: in a private place, then visible at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from daintree.errors import EnvironmentFailed
from daintree.process import Finished
from daintree.runners.requirements import LockedRequirements
from daintree.runners.uv_command import complaint, install_hint, run_uv


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
