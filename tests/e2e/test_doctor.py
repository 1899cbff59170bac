"""`doit doctor` as a process: what is there and what is missing, for each runner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.argo.applied import SECRET_VALUE, apply
from tests.e2e.projects import Finished, Project
from tests.services.kubernetes_objects import KubernetesServer
from tests.services.minio import Minio, variables
from tests.services.registry import Registry

IMAGE = "registry.example/ml/daintree/tooling@sha256:" + "9" * 64


def states(finished: Finished) -> dict[str, str]:
    """The state of each check, from JSON."""
    return {check["name"]: check["state"] for check in json.loads(finished.stdout)["checks"]}


@pytest.fixture
def clustered(
    project: Project, registry: Registry, minio: Minio, kubernetes: KubernetesServer, tmp_path: Path
) -> Project:
    """A project whose cluster lacks nothing."""
    bucket = minio.bucket()
    apply(kubernetes, bucket=bucket)
    return project.at(
        project.root,
        DAINTREE_STORE=f"s3://{bucket}/store",
        DAINTREE_REGISTRY=f"{registry.address}/ml",
        DAINTREE_ARGO_ENDPOINT="http://minio.minio:9000",
        DAINTREE_ARGO_IMAGE=IMAGE,
        KUBECONFIG=str(kubernetes.kubeconfig(tmp_path / "kubeconfig")),
        **variables(minio.access),
    )


def test_a_fresh_clone_has_all_that_the_local_runner_needs(project: Project) -> None:
    finished = project.doit("doctor", "--runner", "local", "--json")
    assert finished.code == 0, finished.stderr
    names = ("python", "git", "uv", "environments", "store", "snapshots", "runs")
    assert states(finished) == dict.fromkeys(names, "ok")


def test_a_store_that_cannot_be_written_is_missing(project: Project) -> None:
    store = project.write("a-file/x", "").parent / "x/store"
    finished = project.doit("doctor", "--runner", "local", env={"DAINTREE_STORE": str(store)})
    assert finished.code == 1
    [line] = [line for line in finished.stdout.splitlines() if line.startswith("store")]
    assert line.split()[1] == "missing"
    assert "Traceback" not in finished.stderr


def test_damage_of_the_latest_runs_is_named_and_repaired_by_a_run(project: Project) -> None:
    output = project.outputs("words")["load"]

    def line() -> str:
        finished = project.doit("doctor", "--runner", "local")
        return next(row for row in finished.stdout.splitlines() if row.startswith("runs "))

    assert "3 stages: the latest run's output and log are whole" in line()
    file = next(path for path in output.rglob("*") if path.is_file())
    for path in (output, file):
        path.chmod(0o755)
    file.write_bytes(b"something else")
    assert f"unknown  of 3 latest runs, words:load: output file {file.name} is damaged" in line()
    project.run("words")
    assert "whole" in line()
    for log in Path(project.environ["DAINTREE_STORE"]).rglob("log.txt"):
        log.parent.chmod(0o755)
        log.chmod(0o644)
        log.write_text("other words")
    assert "its log is damaged in the store, and 2 more" in line()


def test_an_engine_that_is_not_there_is_missing(project: Project) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    finished = project.doit("doctor", "--runner", "docker", "--json", env=nowhere)
    assert finished.code == 1
    assert states(finished)["engine"] == "missing"


def test_a_cluster_that_has_everything(clustered: Project) -> None:
    finished = clustered.doit("doctor", "--runner", "argo")
    assert finished.code == 0, finished.stdout + finished.stderr
    assert "hint" not in finished.stdout
    for name in ("tooling image", "argo_endpoint", "cluster", "your rights", "daintree-store"):
        assert any(line.startswith(f"{name} ") for line in finished.stdout.splitlines())


def test_all_that_is_missing_is_said_at_once(
    clustered: Project, kubernetes: KubernetesServer, minio: Minio
) -> None:
    kubernetes.remove("Role", "daintree-record")
    kubernetes.denied.add(("get", "secrets"))
    endpoint = minio.access.endpoint
    finished = clustered.doit(
        *("doctor", "--runner", "argo", "--json"), env={"DAINTREE_ARGO_ENDPOINT": endpoint}
    )
    assert finished.code == 1
    states_by_name = states(finished)
    assert [name for name, state in states_by_name.items() if state == "missing"] == [
        "argo_endpoint",
        "daintree-record",
    ]
    assert [name for name, state in states_by_name.items() if state == "unknown"] == [
        "daintree-store"
    ]
    printed = finished.stdout + finished.stderr
    for secret in (SECRET_VALUE, minio.access.secret_key):
        assert secret not in printed


def test_a_project_of_one_machine_is_told_what_a_cluster_takes(project: Project) -> None:
    nothing = {"KUBECONFIG": "/nowhere/config"}
    finished = project.doit("doctor", "--runner", "argo", "--json", env=nothing)
    assert finished.code == 1
    missing = [name for name, state in states(finished).items() if state == "missing"]
    assert missing == ["store", "registry", "tooling image", "cluster"]


def test_a_runner_that_is_none(project: Project) -> None:
    complaint = project.doit("doctor", "--runner", "lcoal").complaint()
    assert "hint: did you mean 'local'?" in complaint
