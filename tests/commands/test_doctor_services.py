"""`doit services` against a real MinIO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from daintree.commands.doctor import (
    START,
    _make_bucket,
    ask_engine,
    ask_registry,
    ask_store,
    services_table,
)
from daintree.errors import Check, DaintreeError
from daintree.settings import Settings, read_settings
from tests.services.minio import Minio, variables
from tests.web_server import web_server


@pytest.fixture
def in_bucket(minio: Minio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings of a project whose store is in a bucket that is not there yet."""
    for name, value in variables(minio.access).items():
        monkeypatch.setenv(name, value)
    store = f"s3://{minio.bucket()}-new/team"
    return read_settings(tmp_path, {"HOME": "/", "DAINTREE_STORE": store})


def error_of(ask: Callable[[], str]) -> DaintreeError:
    with pytest.raises(DaintreeError) as error:
        ask()
    return error.value


def test_a_missing_bucket_is_said_and_made(in_bucket: Settings) -> None:
    error = error_of(lambda: ask_store(in_bucket))
    assert error.message.startswith("there is no bucket")
    assert "doit services --make-bucket" in error.hint

    _make_bucket(in_bucket)
    _make_bucket(in_bucket)

    assert ask_store(in_bucket) == in_bucket.store


def test_a_server_that_is_not_there_is_said_with_how_to_start_it(
    in_bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", "127.0.0.1:9")
    error = error_of(lambda: ask_store(in_bucket))
    assert "cannot be reached" in error.message
    assert error.hint == "to start one: docker compose up -d minio"


def test_a_server_on_another_machine_is_not_to_be_started_here(
    in_bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", "http://minio.invalid:9000")
    error = error_of(lambda: ask_store(in_bucket))
    assert "there is no host minio.invalid" in error.message
    assert error.hint.startswith("check the endpoint")


def test_an_endpoint_that_is_none_is_a_row(
    in_bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", "ftp://minio")
    error = error_of(lambda: ask_store(in_bucket))
    assert error.message == "MINIO_ENDPOINT is no address of a server"


def test_an_engine_that_cannot_be_had_is_said_with_its_own_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    error = error_of(ask_engine)
    assert "is not running at unix:///nowhere/docker.sock" in error.message
    assert error.hint.startswith("start it: Docker Desktop, or")


def test_a_registry_that_is_not_there_is_to_be_started_and_one_that_refuses_wants_a_login(
    tmp_path: Path,
) -> None:
    def hint(address: str) -> str:
        environ = {"HOME": "/", "DAINTREE_REGISTRY": f"{address}/ml"}
        return error_of(lambda: ask_registry(read_settings(tmp_path, environ))).hint

    with web_server() as server:
        challenge = {"WWW-Authenticate": 'Basic realm="x"'}
        server.serve("/v2/ml/services/manifests/none", status=401, headers=challenge)
        assert hint(server.address) == f"docker login {server.address}"
    assert hint(server.address) == "to start one: docker compose up -d registry"


def test_what_is_wrong_stands_below_its_row_with_a_hint_where_there_is_one() -> None:
    gone, broken = (Check("store", "missing", "it is gone"), Check("engine", "missing", "no", "x"))
    assert services_table({"s3://b": gone, "": broken, "r": Check("registry", "ok", "r")}) == [
        "store     -   s3://b",
        "  it is gone",
        "engine    -   -",
        "  no",
        "  hint: x",
        "registry  ok  r",
    ]


def test_a_directory_needs_no_service(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"HOME": "/"})
    assert ask_store(settings) == settings.store
    assert error_of(lambda: ask_registry(settings)).hint == "DAINTREE_REGISTRY names one"


def test_the_compose_file_has_the_services_for_this_machine_alone() -> None:
    file = Path(__file__).parents[2] / "compose.yaml"
    composed = yaml.safe_load(file.read_text("utf-8"))["services"]
    for name in ("store", "registry"):
        service = composed[START[name].removeprefix("docker compose up -d ")]
        assert service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
