"""Runs in an MLflow server, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from daintree.commands.push import MlflowExporter
from daintree.errors import TrackingError
from daintree.store.store import Store, directory_store
from tests.contract.runs import publish, publish_failed
from tests.services.mlflow import mlflow_server

METRICS = b'{"test": {"hr@10": 0.25}, "loss": -1}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return directory_store(tmp_path / "store")


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> str:
    """A pipeline of the test's own: the tests share the server."""
    return str(request.node.name).replace("_", "-")


def run_id(number: int) -> str:
    return f"20260301T10150000{number}Z-0000000{number}"


def exported(server: str, pipeline: str) -> list[Any]:
    client = MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name(pipeline)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["params.epochs"]))


def export(server: str, store: Store, pipeline: str) -> int:
    return MlflowExporter(server, store).export(pipeline, list(store.history(pipeline)))


def test_a_run_arrives_with_all_that_is_known_of_it(
    server: str,
    store: Store,
    pipeline: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = publish(
        store,
        run_id(1),
        {"metrics.json": METRICS},
        pipeline=pipeline,
        commit="f" * 40,
        user="ana",
        parameters={"epochs": 5, "mode": "x", "on": True},
    )
    assert export(server, store, pipeline) == 1
    assert capsys.readouterr().out == ""
    [exported_run] = exported(server, pipeline)
    assert exported_run.data.params == {"epochs": "5", "mode": "x", "on": "true"}
    assert exported_run.data.metrics == {"test.hr_at_10": 0.25, "loss": -1.0}
    assert (exported_run.info.status, exported_run.info.run_name) == ("FINISHED", "train 00000001")
    assert (exported_run.info.start_time, exported_run.info.end_time) == (
        1772360100000,
        1772360101000,
    )
    tags = exported_run.data.tags
    assert tags["daintree.run"] == run.run
    assert tags["mlflow.source.git.commit"] == "f" * 40
    assert tags["mlflow.user"] == "ana"
    assert tags["daintree.location"] == f"{store.url}/{run.location}"
    assert run.output is not None
    assert tags["daintree.digest"] == run.output.digest
    assert (tags["daintree.version"], tags["daintree.content_key"]) == (
        run.version,
        run.keys.content,
    )
    file = MlflowClient(tracking_uri=server).download_artifacts(
        exported_run.info.run_id, "provenance.json", str(tmp_path)
    )
    assert json.loads(Path(file).read_bytes())["run"] == run.run


def test_each_is_exported_once(server: str, store: Store, pipeline: str) -> None:
    publish(store, run_id(1), pipeline=pipeline)
    publish_failed(store, run_id(2), pipeline=pipeline)
    assert export(server, store, pipeline) == 2
    assert export(server, store, pipeline) == 0
    publish(store, run_id(3), pipeline=pipeline)
    assert export(server, store, pipeline) == 1
    statuses = sorted(run.info.status for run in exported(server, pipeline))
    assert statuses == ["FAILED", "FINISHED", "FINISHED"]


def test_what_was_interrupted_is_completed_and_what_was_deleted_stays_so(
    server: str, store: Store, pipeline: str
) -> None:
    publish(store, run_id(1), {"metrics.json": METRICS}, pipeline=pipeline)
    client = MlflowClient(tracking_uri=server)
    experiment = client.create_experiment(pipeline)
    begun = client.create_run(experiment, tags={"daintree.run": run_id(1)})
    client.log_param(begun.info.run_id, "epochs", "50")
    assert export(server, store, pipeline) == 1
    [exported_run] = exported(server, pipeline)
    assert exported_run.info.run_id == begun.info.run_id
    assert (exported_run.info.status, exported_run.data.metrics["loss"]) == ("FINISHED", -1.0)
    client.delete_run(exported_run.info.run_id)
    assert export(server, store, pipeline) == 0
    assert exported(server, pipeline) == []


def test_many_parameters_and_metrics_are_sent_in_parts(
    server: str, store: Store, pipeline: str
) -> None:
    numbers = {f"m{number}": number for number in range(1200)}
    parameters = {f"p{number}": "x" * 40 for number in range(250)}
    content = json.dumps(numbers).encode()
    publish(store, run_id(1), {"metrics.json": content}, pipeline=pipeline, parameters=parameters)
    assert export(server, store, pipeline) == 1
    [exported_run] = exported(server, pipeline)
    assert len(exported_run.data.params) == 250
    assert len(exported_run.data.metrics) == 1200


def test_a_server_that_is_away_is_said_without_its_password(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    publish(store, run_id(1))
    with pytest.raises(TrackingError) as failure:
        export("http://ana:secret@127.0.0.1:9", store, "words")
    assert failure.value.message == "the MLflow server http://127.0.0.1:9 cannot be reached"
    assert failure.value.hint
