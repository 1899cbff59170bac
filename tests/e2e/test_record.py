"""`doit record` as a process: its lines, its exit codes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.executed import LOST, Shop
from tests.e2e.projects import Project
from tests.services.kubernetes_objects import KubernetesServer
from tests.services.minio import Minio, variables

SEQUENCE = make_submission(submitted_stage("load"), submitted_stage("clean", needs=("load",)))


@pytest.fixture
def shop(minio: Minio, tmp_path: Path) -> Shop:
    """A store and a cluster."""
    return Shop.make(minio, tmp_path / "shop")


@pytest.fixture
def machine(project: Project, shop: Shop, kubernetes: KubernetesServer, tmp_path: Path) -> Project:
    """A project that is set up for both."""
    return project.at(
        project.root,
        DAINTREE_STORE=shop.bucket.url,
        KUBECONFIG=str(kubernetes.kubeconfig(tmp_path / "config")),
        **variables(shop.bucket.access),
    )


def test_a_stage_that_failed_is_said_and_is_no_failure_of_the_record(
    machine: Project, shop: Shop, kubernetes: KubernetesServer
) -> None:
    workflow = shop.run(SEQUENCE, {"clean": [({}, LOST)] * 4})
    kubernetes.put("Workflow", workflow)
    finished = machine.doit("record", workflow["metadata"]["name"])
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "load   recorded: 1 file, 4 B",
        "clean  error: pod deleted",
    ]


def test_a_stage_that_succeeded_and_cannot_be_recorded_is_a_failure(
    machine: Project, shop: Shop, kubernetes: KubernetesServer
) -> None:
    workflow = shop.run(SEQUENCE, {"clean": [({}, 0)]})
    kubernetes.put("Workflow", workflow)
    finished = machine.doit("record", workflow["metadata"]["name"])
    assert finished.code == 1
    assert finished.stdout.splitlines()[1] == "clean  not recorded: wrote nothing"


@pytest.mark.parametrize(
    ("where", "code"), [({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 75), ({}, 1)]
)
def test_in_a_pod_a_server_that_cannot_be_reached_has_a_code_of_its_own(
    machine: Project, kubernetes: KubernetesServer, where: dict[str, str], code: int
) -> None:
    kubernetes.fail("GET", "/workflows/words-1", 503, "etcd has no leader")
    finished = machine.at(machine.root, **where).doit("record", "words-1")
    assert finished.code == code
    assert "error: " in finished.stderr


def test_another_namespace_is_asked_where_it_is_named(
    machine: Project, kubernetes: KubernetesServer
) -> None:
    complaint = machine.doit("record", "words-1", "--namespace", "team").complaint()
    assert "error: there is no Workflow words-1 in the namespace team of " in complaint
    assert "hint: " in complaint


def test_a_directory_is_no_store_that_pods_write_to(machine: Project, tmp_path: Path) -> None:
    here = machine.at(machine.root, DAINTREE_STORE=str(tmp_path / "here"))
    complaint = here.doit("record", "words-1").complaint()
    assert "is on this machine, where no pod can reach it" in complaint
    assert "hint: set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket" in complaint


def test_without_a_cluster_it_says_so(machine: Project, tmp_path: Path) -> None:
    alone = machine.at(machine.root, KUBECONFIG=str(tmp_path / "none"))
    assert "error: " in alone.doit("record", "words-1").complaint()
