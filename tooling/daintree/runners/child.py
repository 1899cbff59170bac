"""One child process and all its descendants: started together, streamed, ended together."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from daintree.runners.lines import Lines
from daintree.runners.log import Log
from daintree.runners.memory import PeakMemory
from daintree.runners.protocol import Outcome
from daintree.runners.watch import watch

GRACE_SECONDS = 3.0
_FIRST_LOOK_SECONDS = 0.01
_LOOK_SECONDS = 0.1
_CHUNK = 65_536
# What a full pipe can hold at most: all that is still to be read once the process has ended.
_PIPE_CAPACITY = 1_048_576


class ChildFailed(Exception):
    """A child could not be started."""


def run_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    on_line: Callable[[str], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run `command` to its end; each line of its output is added to `log` and given to `on_line`.

    The child leads a session and a process group of its own. When it has ended, what is left of the
    group is killed. When this call is left by an exception (`on_line`'s, an interrupt), the group
    gets SIGTERM and, after GRACE_SECONDS, SIGKILL before the exception goes on. When this whole
    process is killed, so is the group. A descendant that moved to a session of its own escapes all
    this, but holds up nothing.

    May be called from any thread; installs no signal handler. Raises ChildFailed when the command
    cannot be started, LogFailed when the log cannot be written, KeyboardInterrupt once `cancelled`
    is true.
    """
    started = time.monotonic()
    lines = Lines()
    with Log(log) as kept, _Child(command, env, cwd) as child:

        def say(texts: Sequence[str]) -> None:
            kept.add(texts)
            for text in texts:
                on_line(text)

        for chunk in child.output(cancelled):
            say(lines.feed(chunk))
        say(lines.finish())
    return Outcome(child.exit_code, child.ended - started, child.memory.peak)


class _Child:
    """A child process and its group, ended whatever happens when the context is left.

    It is started, waited for and reaped by a thread of its own: Python delivers signals to the main
    thread only, so that no interrupt can come between the fork and the moment the child's number is
    known.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        # Until it is known to have ended well, it has not.
        self.exit_code = 1
        self.ended = 0.0
        self.memory = PeakMemory()
        self._command, self._env, self._cwd = command, env, cwd
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._starting = threading.Lock()
        self._started = threading.Event()
        self._abandoned = False
        self._failure: Exception | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._done, self._done_writer = os.pipe()

    def __enter__(self) -> _Child:
        try:
            self._thread.start()
            self._started.wait()
            if self._failure is not None:
                reason = getattr(self._failure, "strerror", "") or self._failure
                raise ChildFailed(f"cannot be started: {reason}") from self._failure
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self._signal(signal.SIGTERM)
                self._thread.join(GRACE_SECONDS)
        finally:
            self._end()

    def output(self, cancelled: Callable[[], bool]) -> Iterator[bytes]:
        """What the child and its descendants write, until the child has ended.

        Raises KeyboardInterrupt once `cancelled` is true.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        os.set_blocking(pipe, False)
        pause = _FIRST_LOOK_SECONDS
        look = time.monotonic() + pause
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(self._done, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(max(0.0, look - time.monotonic()))}
                if self._done in ready:
                    break
                if time.monotonic() >= look:
                    if cancelled():
                        raise KeyboardInterrupt
                    self.memory.sample(self._process.pid)
                    pause = min(2 * pause, _LOOK_SECONDS)
                    look = time.monotonic() + pause
                if pipe in ready:
                    chunk = os.read(pipe, _CHUNK)
                    if chunk:
                        yield chunk
                    else:
                        selector.unregister(pipe)
        yield from _rest(pipe)

    def _live(self) -> None:
        """The thread: start the child, wait for its end, reap it."""
        try:
            with self._starting:
                if self._abandoned:
                    return
                self._start()
        except Exception as error:
            self._failure = error
        finally:
            self._started.set()
        if self._process is not None:
            self._reap(self._process)

    def _start(self) -> None:
        self._watch = watch()
        self._process = subprocess.Popen(
            self._command,
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self._watch.add(self._process.pid)
        self.memory.begin()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        try:
            # As long as the child is not reaped, its number cannot become a stranger's.
            unreaped = hasattr(os, "waitid")
            if unreaped:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                self._end_group(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            if not unreaped:
                self._end_group(process.pid)
            self.exit_code = process.returncode = os.waitstatus_to_exitcode(status)
            self.memory.settle(usage)
        finally:
            self.ended = time.monotonic()
            os.close(self._done_writer)

    def _end_group(self, group: int) -> None:
        self._signal(signal.SIGKILL)
        self._watch.remove(group)

    def _signal(self, number: int) -> None:
        """Signal the child's group, unless the child is reaped already."""
        if self._process is not None and self._process.returncode is None:
            # macOS refuses with EPERM where only the unreaped child is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _end(self) -> None:
        with self._starting:
            self._abandoned = True
        self._signal(signal.SIGKILL)
        if self._thread.ident is not None:
            self._thread.join()
        if self._process is None:
            os.close(self._done_writer)
        elif self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._done)


def _rest(pipe: int) -> Iterator[bytes]:
    left = _PIPE_CAPACITY
    with contextlib.suppress(BlockingIOError):
        while left > 0 and (chunk := os.read(pipe, _CHUNK)):
            left -= len(chunk)
            yield chunk
