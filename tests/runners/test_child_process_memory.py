"""The peak memory of a stage is its own, and not that of whoever started it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from daintree.runners.child_process import PeakMemory

MEGABYTE = 1024**2
HOLD = "import sys; held = b'x' * {size}; print('here', flush=True); sys.stdin.read()"


def usage(peak: int) -> resource.struct_rusage:
    """What `wait4` says of a child that held so many bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return cast("resource.struct_rusage", SimpleNamespace(ru_maxrss=peak // unit))


def own_peak() -> int:
    """What this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def test_a_child_larger_than_its_parent_is_believed() -> None:
    memory = PeakMemory()
    memory.begin()
    most = own_peak() + 100 * MEGABYTE
    memory.settle(usage(most))
    assert memory.peak == most


def test_without_a_sample_the_systems_figure_is_better_than_none() -> None:
    memory = PeakMemory()
    memory.begin()
    memory.settle(usage(own_peak()))
    assert memory.peak > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_a_child_smaller_than_its_parent_is_sampled() -> None:
    memory = PeakMemory()
    size = 20 * MEGABYTE
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(size=size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        memory.begin()
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        memory.sample(child.pid)
    sampled = memory.peak
    assert size < sampled < size + 40 * MEGABYTE
    memory.settle(usage(own_peak()))
    assert memory.peak == sampled


def test_a_child_that_is_gone_leaves_the_last_sample() -> None:
    memory = PeakMemory()
    memory.peak = 7
    with subprocess.Popen(["true"]) as child:
        pass
    memory.sample(child.pid)
    assert memory.peak == 7
