"""The stores and the runners under test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daintree.runners import RUNNERS, open_runner
from daintree.runners.runner import Runner
from daintree.settings import read_settings
from daintree.store.store import Store
from tests.contract.stages import LABEL, StageMaker
from tests.contract.stores import STORES, Place
from tests.contract.workers import StartWorker, Worker
from tests.services.engine import remove_images

ROOT = Path(__file__).parents[2]


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
    return place.other_machine().open()


@pytest.fixture
def start(request: pytest.FixtureRequest, place: Place) -> Iterator[StartWorker]:
    """Starts processes that work with the store: an action of `store_worker` and its arguments."""
    name = request.node.callspec.params["place"]
    workers: list[Worker] = []

    def start_worker(action: str, *arguments: str, on: Place = place) -> Worker:
        command = [sys.executable, "-m", "tests.contract.store_worker", name]
        worker = subprocess.Popen(
            [*command, msgspec.json.encode(on).decode(), action, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        return worker

    yield start_worker
    for worker in workers:
        worker.kill()
        worker.communicate()


@pytest.fixture(scope="session", params=RUNNERS)
def runner(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """Each runner of RUNNERS, where a new one joins; of the docker runner's images none is left in the end."""
    directory = tmp_path_factory.mktemp("runner")
    environ = {"HOME": str(directory)}
    if request.param != "docker":
        yield open_runner(request.param, read_settings(directory, environ))
        return
    client = request.getfixturevalue("engine")
    yield open_runner(request.param, read_settings(directory, environ))
    remove_images(client, label=LABEL)


@pytest.fixture
def stages(runner: Runner, tmp_path: Path) -> StageMaker:
    """Makes stages for the runner, in a directory of the test's own."""
    return StageMaker(runner, tmp_path)
