"""A file system that is soon full."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.availability import unavailable


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        unavailable("only root can mount a small file system")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        unavailable("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a file system."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as writer:
        try:
            while True:
                writer.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            return filler
