"""Root without the right to read and write what file modes deny, for tests of files that may not be read."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# From linux/capability.h: version 3 of the header, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_VERSION = 0x20080522
_DENIED = 1 << 1 | 1 << 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def file_modes_hold() -> Iterator[None]:
    """This thread may read and write only what file modes allow, whoever it runs as."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root reads every file here")
    libc = ctypes.CDLL(None, use_errno=True)
    header, both = _Header(_VERSION, 0), (_Capabilities * 2)()
    assert libc.capget(ctypes.byref(header), both) == 0, os.strerror(ctypes.get_errno())
    had = both[0].effective
    both[0].effective = had & ~_DENIED
    assert libc.capset(ctypes.byref(header), both) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        both[0].effective = had
        assert libc.capset(ctypes.byref(header), both) == 0, os.strerror(ctypes.get_errno())
