"""A directory store that nothing has written to yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tooling.store.local import DirectoryStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of a store."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    """The store."""
    return DirectoryStore(root)
