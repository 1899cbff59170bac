"""A project with committed files, and what its working tree must say of them."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from daintree.components.entries import EXECUTABLE, REGULAR, SYMLINK, Entry
from daintree.components.tree import WorkingTree

if TYPE_CHECKING:
    from tests.conftest import Monorepo

DIRECTORY = "components/a"
FILE = f"{DIRECTORY}/f.txt"
NAMES = (FILE, f"{DIRECTORY}/link", f"{DIRECTORY}/run.sh")


def files(monorepo: Monorepo, directory: str = DIRECTORY) -> list[Entry]:
    """What the working tree says of a directory's files."""
    return WorkingTree(monorepo.root).files(directory)


def on_disk(monorepo: Monorepo, *paths: str, algorithm: str = "sha1") -> list[Entry]:
    """What the working tree must say of these files: worked out without git."""
    entries = []
    for path in paths:
        file = monorepo.root / path
        if file.is_symlink():
            entries.append(Entry(path, SYMLINK, blob_of(os.readlink(file).encode(), algorithm)))
        else:
            mode = EXECUTABLE if file.stat().st_mode & stat.S_IXUSR else REGULAR
            entries.append(Entry(path, mode, blob_of(file.read_bytes(), algorithm)))
    return entries


def blob_of(content: bytes, algorithm: str = "sha1") -> str:
    """The id that git has for these bytes."""
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def committed(monorepo: Monorepo) -> Monorepo:
    """One file, one program and one link, committed."""
    monorepo.write(FILE, "one\ntwo\n")
    monorepo.write(f"{DIRECTORY}/run.sh", "#!/bin/sh\n", mode=0o755)
    (monorepo.root / DIRECTORY / "link").symlink_to("f.txt")
    monorepo.write("elsewhere/x", "not asked for\n")
    monorepo.commit()
    return monorepo
