"""`doit submit`, `doit logs` and `doit cancel` as processes, against a server that speaks the cluster's API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from daintree.images.registry import VERSION_LABEL, version_tag
from daintree.store.bucket import Bucket
from tests.argo.in_cluster import moved, pod_of
from tests.argo.workflows import Node, at, exit_handler, pod, retried
from tests.e2e.projects import Project
from tests.services.argo_check import faults
from tests.services.bare_image import push
from tests.services.kubernetes_objects import NAMESPACE, KubernetesServer
from tests.services.minio import Minio, variables
from tests.services.registry import Registry, free_port

IMAGE = "registry.example/ml/daintree/tooling@sha256:" + "9" * 64


@pytest.fixture
def clustered(
    project: Project,
    registry: Registry,
    minio: Minio,
    kubernetes: KubernetesServer,
    tmp_path: Path,
) -> Project:
    """The project with a store in a bucket, a cluster, and its images in a registry: no more of them than is asked for."""
    bucket = Bucket(f"s3://{minio.bucket()}/store", minio.access)
    project = project.at(
        project.root,
        DAINTREE_STORE=bucket.url,
        DAINTREE_REGISTRY=f"{registry.address}/{bucket.name}",
        DAINTREE_ARGO_ENDPOINT="http://minio.minio:9000",
        DAINTREE_ARGO_IMAGE=IMAGE,
        KUBECONFIG=str(kubernetes.kubeconfig(tmp_path / "kubeconfig")),
        **variables(bucket.access),
    )
    for stage in project.doit("plan", "words", "--runner", "argo", "--json").json()["stages"]:
        config = {
            "Labels": {VERSION_LABEL: stage["version"]},
            "Entrypoint": ["python", "/application/main.py"],
        }
        name = f"{bucket.name}/{stage['component']}"
        push(registry, name, version_tag(stage["version"]), json.dumps({"config": config}).encode())
    return project


def workflows_in(kubernetes: KubernetesServer) -> list[dict[str, Any]]:
    """The Workflows that are in the cluster, oldest first."""
    return [item for (kind, _, _), item in kubernetes.objects.items() if kind == "Workflow"]


def move(kubernetes: KubernetesServer, *nodes: Node, **more: Any) -> None:
    """Give the newest Workflow the status that these nodes make."""
    kubernetes.put("Workflow", moved(workflows_in(kubernetes)[-1], *nodes, **more))


def stage(name: str, phase: str, started: int, **more: Any) -> list[Node]:
    """A stage with one attempt."""
    attempt = pod(f"{name}(0)", f"text-{name}", phase, **more)
    return retried(name, phase, [attempt], startedAt=at(started))


def watch(project: Project, kubernetes: KubernetesServer) -> subprocess.Popen[str]:
    """`doit submit words --watch`, which watches when this returns."""
    process = project.start("submit", "words", "--watch")
    kubernetes.wait_for_request("watch=true")
    return process


def test_the_same_plan_is_one_workflow_and_the_next_attempt_follows_one_that_was_stopped(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    made = clustered.doit("submit", "words", "--json").json()
    [workflow] = workflows_in(kubernetes)
    assert made["workflow"] == workflow["metadata"]["name"]
    assert (made["attached"], made["attempt"]) == (False, 1)
    assert [stage["name"] for stage in made["stages"]] == ["load", "clean", "count"]
    assert faults(workflow) == []

    again = clustered.doit("submit", "words")
    assert "computes this plan already: attached to it" in again.stderr
    assert len(workflows_in(kubernetes)) == 1

    stopped = clustered.doit("cancel", "words")
    assert (
        stopped.stderr
        == f"stopping the Workflow {made['workflow']}: what has succeeded is recorded\n"
    )
    assert workflows_in(kubernetes)[0]["spec"]["shutdown"] == "Stop"

    further = clustered.doit("submit", "words", "--json").json()
    assert (further["workflow"], further["attempt"]) == (f"{made['workflow']}-2", 2)


def test_what_is_refreshed_always_is_one_workflow_for_all_attempts_of_one_schedule(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    stage = {"component": "text/load", "needs": [], "refresh": "always"}
    clustered.write("pipelines/fresh.json", json.dumps({"stages": [stage]}))
    moment = ("--as-of", "1772359200/0f6a2c1e-6d0b")
    first = clustered.doit("submit", "fresh", *moment, "--json").json()
    assert clustered.doit("submit", "fresh", *moment, "--json").json()["attached"]
    [workflow] = workflows_in(kubernetes)
    assert faults(workflow) == []
    now = clustered.doit("submit", "fresh", "--json").json()
    assert now["workflow"] != first["workflow"]
    complaint = clustered.doit("submit", "fresh", "--as-of", "today").complaint()
    assert "error: --as-of 'today' cannot be read" in complaint
    assert "hint: write --as-of SECONDS/ID" in complaint


def test_a_run_with_a_name_is_a_source_of_pods(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    clustered.pipeline("after", "text/clean", source="words:load@production")
    clustered.commit()
    clustered.run("words:load")
    clustered.doit("name", "words:load", "production")
    digest = clustered.doit("show", "words:load@production", "--json").json()["output"]["digest"]

    submitted = clustered.doit("submit", "after", "--json").json()
    assert [stage["name"] for stage in submitted["stages"]] == ["clean"]
    [workflow] = workflows_in(kubernetes)
    assert faults(workflow) == []
    assert f"_sources/{digest.removeprefix('sha256:')}/output" in json.dumps(workflow)


def test_watching_shows_each_stage_and_ends_with_the_workflow(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    process = watch(clustered, kubernetes)
    move(kubernetes, *stage("load", "Running", 9), dag="Running")
    done = [
        node
        for n, name in enumerate(("load", "clean", "count"))
        for node in stage(name, "Succeeded", n)
    ]
    move(kubernetes, *done, *exit_handler("Running"))
    move(kubernetes, *done, *exit_handler("Succeeded"), phase="Succeeded")
    finished = clustered.finish(process)
    assert finished.code == 0, finished.stderr
    lines = finished.stderr.splitlines()
    assert lines[lines.index("load   run     on node-7") :] == [
        "load   run     on node-7",
        "load   done    18.0 s",
        "clean  done    17.0 s",
        "count  done    16.0 s",
        f"the Workflow {workflows_in(kubernetes)[0]['metadata']['name']} has succeeded: 3 stages",
    ]


def test_a_stage_that_fails_is_named_and_its_log_is_there(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    process = watch(clustered, kubernetes)
    failed = stage("load", "Failed", 9, message="Error (exit code 1)")
    move(kubernetes, *failed, dag="Failed", phase="Failed")
    finished = clustered.finish(process)
    name = workflows_in(kubernetes)[0]["metadata"]["name"]
    assert finished.code == 1
    assert finished.stderr.splitlines()[-2:] == [
        f"error: load failed in the Workflow {name}: Error (exit code 1)",
        f"hint: doit logs {name}:load",
    ]

    kubernetes.say(
        pod_of(workflows_in(kubernetes)[0], "load(0)", "text-load"), "reading", "no such file"
    )
    for target in (f"{name}:load", "words:load"):
        assert clustered.doit("logs", target).stdout == "reading\nno such file\n"
    followed = clustered.doit("logs", "words", "--follow")
    assert (followed.code, followed.stdout) == (0, "load    | reading\nload    | no such file\n")
    assert "'load'" in clustered.doit("logs", "words:laod").complaint()
    assert "has ended already: Failed" in clustered.doit("cancel", "words").complaint()


def test_ctrl_c_leaves_it_running_and_says_how_to_come_back(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    process = watch(clustered, kubernetes)
    os.killpg(process.pid, signal.SIGINT)
    finished = clustered.finish(process)
    [workflow] = workflows_in(kubernetes)
    name = workflow["metadata"]["name"]
    assert finished.code == 130
    assert finished.stderr.splitlines()[-3:] == [
        f"the Workflow {name} goes on without being watched",
        "to come back: doit submit words --watch",
        f"to stop it: doit cancel {name}",
    ]
    assert "shutdown" not in workflow["spec"]

    kubernetes.requests.clear()
    process = watch(clustered, kubernetes)
    move(kubernetes, *stage("load", "Succeeded", 9), phase="Succeeded")
    assert clustered.finish(process).code == 0
    assert len(workflows_in(kubernetes)) == 1


def test_a_watch_that_breaks_is_taken_up_again(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    kubernetes.fail("GET", "watch=true", after=1)
    process = watch(clustered, kubernetes)
    move(kubernetes, *stage("load", "Running", 9), dag="Running")
    move(kubernetes, *stage("load", "Succeeded", 9), phase="Succeeded")
    finished = clustered.finish(process)
    assert finished.code == 0
    assert "load   done    9.00 s" in finished.stderr


def test_a_login_that_runs_out_ends_the_watching_alone(
    clustered: Project, kubernetes: KubernetesServer
) -> None:
    kubernetes.fail("GET", "watch=true", 401, "Unauthorized", after=1)
    process = watch(clustered, kubernetes)
    move(kubernetes, *stage("load", "Running", 9), dag="Running")
    finished = clustered.finish(process)
    name = workflows_in(kubernetes)[0]["metadata"]["name"]
    assert finished.code == 1
    assert f"the Workflow {name} goes on without being watched" in finished.stderr
    assert "does not take this login (401)" in finished.stderr


def test_each_thing_that_a_cluster_lacks_is_one_clear_message(
    clustered: Project, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    def complaint(*arguments: str, **variables: str) -> str:
        return clustered.doit("submit", "words", *arguments, env=variables).complaint()

    assert "no namespace elsewhere" in complaint("--namespace", "elsewhere")

    kubernetes.denied.add(("create", "workflows"))
    assert "does not let this account create the Workflow" in complaint()
    kubernetes.denied.clear()

    kubernetes.installed.discard("Workflow")
    assert "Argo Workflows is not installed in the cluster at" in complaint()

    login = kubernetes.kubeconfig(tmp_path / "login", token="old")
    assert "does not take this login (401)" in complaint(KUBECONFIG=str(login))

    nobody = f"http://127.0.0.1:{free_port()}"
    file = kubernetes.kubeconfig(tmp_path / "nobody", server=nobody)
    assert f"the cluster at {nobody} cannot be reached" in complaint(KUBECONFIG=str(file))
    assert workflows_in(kubernetes) == []


@pytest.mark.parametrize("command", ["submit", "logs", "cancel"])
def test_no_cluster_is_said_before_anything_is_planned(project: Project, command: str) -> None:
    complaint = project.doit(command, "words", env={"KUBECONFIG": "/nowhere/config"}).complaint()
    assert "no Kubernetes cluster is configured: there is no /nowhere/config" in complaint
    assert "hint: get a kubeconfig" in complaint


def test_there_is_no_workflow_of_the_pipeline(
    project: Project, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    file = str(kubernetes.kubeconfig(tmp_path / "kubeconfig"))
    for command in ("logs", "cancel"):
        complaint = project.doit(command, "words", env={"KUBECONFIG": file}).complaint()
        assert f"there is no Workflow of words in the namespace {NAMESPACE}" in complaint
        complaint = project.doit(command, "words-1", env={"KUBECONFIG": file}).complaint()
        assert f"there is no Workflow words-1 in the namespace {NAMESPACE}" in complaint
