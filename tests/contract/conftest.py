"""The stores under test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.stores import STORES, Place
from tooling.store.protocol import Store


@pytest.fixture(params=sorted(STORES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a new store is."""
    return STORES[request.param].make(tmp_path)


@pytest.fixture
def store(place: Place) -> Store:
    """The store."""
    return place.open()


@pytest.fixture
def other(place: Place) -> Store:
    """The same store, as it is seen from another machine."""
    return place.elsewhere().open()
