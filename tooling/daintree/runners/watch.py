"""A small process that ends what this one has started, should this one be killed."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import subprocess
import threading

# Reads lines: `+ N` when the group of processes N begins, `- N` when it has ended. The end of its
# input says that whoever wrote them is gone: the groups that have not ended are killed. Nothing is
# ever pasted into this program.
_PROGRAM = """
groups=
while read -r sign group; do
    left=
    for each in $groups; do
        [ "$each" = "$group" ] || left="$left $each"
    done
    [ "$sign" = - ] || left="$left $group"
    groups=$left
done
for group in $groups; do
    kill -s KILL -- "-$group"
done
"""

_opening = threading.Lock()


class Watch:
    """Kills the groups of processes it was told of once its maker has ended, however that ended.

    Linux could signal a child whose parent dies, but only the child itself, and only if our code
    ran between fork and exec, which is not safe where there are threads.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def add(self, group: int) -> None:
        """From now on `group` is killed when this process ends. Safe from any thread."""
        self._tell(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """The group has ended. Safe from any thread."""
        self._tell(f"- {group}\n")

    def close(self) -> None:
        """End the watch, as the end of this process would."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        # Somebody may have killed the watch, no reason to fail a stage; or it is closed, at the exit.
        with contextlib.suppress(BrokenPipeError, ValueError):
            os.write(self._process.stdin.fileno(), line.encode())


def watch() -> Watch:
    """The watch of this process, made when it is first asked for. Raises OSError."""
    with _opening:
        return _watch_of(os.getpid())


@functools.cache
def _watch_of(process: int) -> Watch:
    # A process that was forked off has a watch of its own.
    made = Watch()
    atexit.register(made.close)
    return made
