"""A store of its own for each test, and a web server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daintree.store.store import Store, directory_store
from tests.web_server import Server, web_server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return directory_store(tmp_path / "store")


@pytest.fixture
def server() -> Iterator[Server]:
    with web_server() as running:
        yield running
