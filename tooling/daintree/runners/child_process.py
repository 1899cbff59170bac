"""One child process and all its descendants: started together, streamed, ended together."""

from __future__ import annotations

import atexit
import codecs
import contextlib
import functools
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from daintree.runners.runner import Outcome
from daintree.runners.variables import Mask

LONGEST_LINE = 65_536
PROGRESS_SECONDS = 5.0


class Lines:
    """Cuts a stream of bytes into lines of text, without their ends.

    Bytes that are not UTF-8 become U+FFFD. Of a line that is drawn again and again with carriage
    returns (a progress bar) the last state is a line; while it is being drawn, its present state is
    one every few seconds. A line longer than LONGEST_LINE characters is cut into pieces. `secrets` are masked.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, secrets: Iterable[str] = ()
    ) -> None:
        self._mask = Mask(secrets)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._clock = clock
        self._shown = clock()
        self._pending = ""

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes."""
        return self._add(self._mask.feed(chunk))

    def _add(self, chunk: bytes) -> list[str]:
        *whole, rest = (self._pending + self._decode(chunk)).split("\n")
        lines = [piece for line in whole for piece in _pieces(_last_state(line))]
        # A bar may be drawn for hours: what is overwritten is forgotten.
        drawn, carriage_return, latest = rest.rpartition("\r")
        *cut, self._pending = _pieces(_last_state(drawn) + carriage_return + latest)
        lines += cut + self._progress()
        if lines:
            self._shown = self._clock()
        return lines

    def finish(self) -> list[str]:
        """The rest once the stream has ended: the last line, when no line end follows it."""
        lines = self._add(self._mask.finish())
        rest = self._pending + self._decode(b"", True)
        self._pending = ""
        return [*lines, *(_pieces(_last_state(rest)) if rest else [])]

    def _progress(self) -> list[str]:
        drawn, carriage_return, _ = self._pending.rpartition("\r")
        if not carriage_return or self._clock() - self._shown < PROGRESS_SECONDS:
            return []
        state = _last_state(drawn)
        return [state] if state else []


def _last_state(line: str) -> str:
    """The visible part of a line: the text after its last carriage return that has any."""
    return line.rstrip("\r").rpartition("\r")[2]


def _pieces(line: str) -> list[str]:
    starts = range(0, len(line), LONGEST_LINE) if line else (0,)
    return [line[start : start + LONGEST_LINE] for start in starts]


class ChildFailed(Exception):
    """A child that could not be started."""


class LogFailed(ChildFailed):
    """A log that could not be written."""


class Log:
    """A file that lines are added to, each at once, and then given to `on_line`; closed when the context is left. Raises LogFailed."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self._path, self._on_line = path, on_line

    def __enter__(self) -> Log:
        try:
            self._file = open(self._path, "ab", buffering=0)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def add(self, texts: Sequence[str]) -> None:
        """Add these lines. Raises LogFailed when they cannot be written, and as `on_line` does."""
        rest = memoryview("".join(f"{text}\n" for text in texts).encode("utf-8"))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._failed(error) from error
        for text in texts:
            self._on_line(text)

    def _failed(self, error: OSError) -> LogFailed:
        return LogFailed(f"cannot write the log {self._path}: {error.strerror}")


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


class Watchdog:
    """Kills the groups of processes that are added to it once its maker has ended, however that ended.

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
        self._write(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """The group has ended. Safe from any thread."""
        self._write(f"- {group}\n")

    def close(self) -> None:
        """End the watchdog, as the end of this process would."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        # Somebody may have killed the watchdog, no reason to fail a stage; or it is closed, at the exit.
        with contextlib.suppress(BrokenPipeError, ValueError):
            os.write(self._process.stdin.fileno(), line.encode())


def watchdog() -> Watchdog:
    """The watchdog of this process, made when it is first asked for. Raises OSError."""
    with _opening:
        return _watchdog_of(os.getpid())


@functools.cache
def _watchdog_of(process: int) -> Watchdog:
    # A process that was forked off has a watchdog of its own.
    made = Watchdog()
    atexit.register(made.close)
    return made


# Linux counts ru_maxrss in KiB, macOS in bytes.
_UNIT = 1 if sys.platform == "darwin" else 1024
# Linux counts pages in batches for each core: two figures of the same memory may differ by so much.
_BLUR_BYTES = 4 * 1024**2


class PeakMemory:
    """The most resident memory, in bytes, that any one process of a child's family held.

    Between fork and exec a child still has its parent's memory, and the system counts that, too: a
    figure from `wait4` is the child's own only where it is above the parent's. Below that, Linux's
    `VmHWM`, read while the child runs, takes its place (it may miss a rise in the last moment).
    """

    def __init__(self) -> None:
        self.peak = 0
        self._parent = 0

    def begin(self) -> None:
        """To be called right after the child's start, in the process that started it."""
        self._parent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT

    def sample(self, process: int) -> None:
        """Look at the child while it runs; where there is no such process, or no /proc, this does nothing."""
        try:
            with open(f"/proc/{process}/status", "rb", buffering=0) as status:
                text = status.read(4096)
        except OSError:
            return
        start = text.find(b"VmHWM:")
        if start >= 0:
            self.peak = int(text[start + 6 :].split(None, 1)[0]) * 1024

    def settle(self, usage: resource.struct_rusage) -> None:
        """Take what `wait4` says of the child that has ended."""
        most = usage.ru_maxrss * _UNIT
        if most > self._parent + _BLUR_BYTES or not self.peak:
            self.peak = most


class ContainerMemory:
    """The most resident memory, in bytes, of the process that a container's init has started.

    Stays 0 where the engine's processes are not this machine's, as where it runs in a virtual machine.
    """

    def __init__(self, container: Mapping[str, Any]) -> None:
        """`container` is what the engine says of it, right after its start."""
        self._id: str = container["Id"]
        self._init: int = container["State"]["Pid"]
        self._process = 0
        self._memory = PeakMemory()

    @property
    def peak(self) -> int:
        """In bytes; 0 while it is not known."""
        return self._memory.peak

    def sample(self) -> None:
        """Look at the process while it runs."""
        self._process = self._process or self._find()
        if self._process:
            self._memory.sample(self._process)

    def _find(self) -> int:
        try:
            with open(f"/proc/{self._init}/cgroup", encoding="utf-8") as groups:
                if self._id not in groups.read():
                    return 0
            with open(
                f"/proc/{self._init}/task/{self._init}/children", encoding="ascii"
            ) as started:
                return int((started.read().split() or ["0"])[0])
        except OSError:
            return 0


GRACE_SECONDS = 3.0
_FIRST_LOOK_SECONDS = 0.01
_LOOK_SECONDS = 0.1
_CHUNK = 65_536
# What a full pipe can hold at most: all that is still to be read once the process has ended.
_PIPE_CAPACITY = 1_048_576


def ready(
    selector: selectors.BaseSelector, cancelled: Callable[[], bool], look: Callable[[], None]
) -> Iterator[set[int]]:
    """The descriptors that have something to read, time after time; calls `look` soon, then several times a second.

    Raises KeyboardInterrupt once `cancelled` is true.
    """
    pause = _FIRST_LOOK_SECONDS
    due = time.monotonic() + pause
    while True:
        yield {key.fd for key, _ in selector.select(max(0.0, due - time.monotonic()))}
        if time.monotonic() >= due:
            if cancelled():
                raise KeyboardInterrupt
            look()
            pause = min(2 * pause, _LOOK_SECONDS)
            due = time.monotonic() + pause


def run_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    on_line: Callable[[str], None],
    secrets: Iterable[str] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run `command` to its end; each line of its output, without `secrets`, is added to `log` and given to `on_line`.

    The child leads a session and a process group of its own. When it has ended, what is left of the
    group is killed. When this call is left by an exception (`on_line`'s, an interrupt), the group
    gets SIGTERM and, after GRACE_SECONDS, SIGKILL before the exception goes on. When this whole
    process is killed, so is the group. A descendant that moved to a session of its own escapes all
    this, but holds up nothing.

    May be called from any thread; installs no signal handler. Raises ChildFailed when the command
    cannot be started, LogFailed, which is one, when the log cannot be written, KeyboardInterrupt once `cancelled`
    is true.
    """
    started = time.monotonic()
    lines = Lines(secrets=secrets)
    with Log(log, on_line) as log_file, _Child(command, env, cwd) as child:
        for chunk in child.output(cancelled):
            log_file.add(lines.feed(chunk))
        log_file.add(lines.finish())
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
        """The output of the child and its descendants, until the child has ended.

        Raises KeyboardInterrupt once `cancelled` is true.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        pipe, process = self._process.stdout.fileno(), self._process.pid
        os.set_blocking(pipe, False)
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(self._done, selectors.EVENT_READ)
            for descriptors in ready(selector, cancelled, lambda: self.memory.sample(process)):
                if self._done in descriptors:
                    break
                if pipe in descriptors:
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
        self._watchdog = watchdog()
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
        self._watchdog.add(self._process.pid)
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
        self._watchdog.remove(group)

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
