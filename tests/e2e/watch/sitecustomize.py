"""Watches the process that it is loaded into: which programs it starts, and what it writes.

Put on PYTHONPATH of `doit`. The variables are taken out of the environment, so that children go unwatched.

WATCH_PROGRAMS=FILE   append to FILE the name of each program that is started
WATCH_KILL_AT=N       kill this process, as `kill -9` does, right before its Nth write
WATCH_WRITES=FILE     append to FILE a line for each write
WATCH_BELOW=PATH      what is written elsewhere does not count
"""

from __future__ import annotations

import os
import signal
import sys

WRITES = frozenset(
    {
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "os.utime",
    }
)
_programs = os.environ.pop("WATCH_PROGRAMS", "")
_kill_at = int(os.environ.pop("WATCH_KILL_AT", "0"))
_log = os.environ.pop("WATCH_WRITES", "")
_below = os.environ.pop("WATCH_BELOW", "")
_seen = 0


def _is_write(event: str, arguments: tuple[object, ...]) -> bool:
    if event != "open" and event not in WRITES:
        return False
    path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
    if not path.startswith(_below) or "__pycache__" in path:
        return False
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return True


def _append(file: str, line: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    global _seen
    if _programs and event == "subprocess.Popen":
        program: str = os.fsdecode(arguments[0])  # type: ignore[arg-type]
        _append(_programs, os.path.basename(program))
    if (_kill_at or _log) and _is_write(event, arguments) and arguments[0] != _log:
        _seen += 1
        if _log:
            _append(_log, f"{event} {arguments[0]}")
        if _seen == _kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


if _programs or _kill_at or _log:
    sys.addaudithook(_watch)
