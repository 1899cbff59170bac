"""The peak memory of a child process, told apart from its parent's."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any

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
