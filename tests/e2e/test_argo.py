"""`doit argo`: real images in a real registry, a real bucket, and pods as containers of this machine's engine."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from daintree.argo.workflow_status import read_status
from daintree.store.bucket import Bucket
from daintree.store.layout import lease_path
from daintree.store.leases import try_lock
from tests.e2e.projects import BUILD_SECONDS, Project
from tests.services.argo_check import faults, read_documents
from tests.services.kubernetes_objects import KubernetesServer
from tests.services.one_machine_argo import OneMachineArgo

STRANGE = '{{workflow.name}} $(HOME) $$ \'; touch /tmp/x; # "größe"\n\u200b\x07'


def manifest_of(project: Project, *arguments: str) -> dict[str, Any]:
    """The Workflow that `doit argo` prints, which must be sound."""
    finished = project.doit("argo", *arguments)
    assert finished.code == 0, finished.stderr
    [document] = read_documents(finished.stdout)
    assert faults(document) == []
    return document


def outputs(bucket: Bucket, workflow: dict[str, Any]) -> dict[str, dict[str, bytes]]:
    """What each task that succeeded has put into the bucket: its files, by path."""
    whole = Bucket(f"s3://{bucket.name}", bucket.access)
    runs = {}
    for node in workflow["status"]["nodes"].values():
        if node["type"] == "Retry" and node["phase"] == "Succeeded":
            key = node["outputs"]["artifacts"][0]["s3"]["key"]
            paths = list(whole.sizes(key))
            contents = whole.get_many(paths)
            runs[node["displayName"]] = {
                path.removeprefix(f"{key}/"): content if isinstance(content, bytes) else b""
                for path, content in zip(paths, contents, strict=True)
            }
    return runs


def stage_keys(workflow: dict[str, Any]) -> dict[str, str]:
    """The stage key that each task carries."""
    tasks = workflow["spec"]["templates"][0]["dag"]["tasks"]
    return {
        task["name"]: parameter["value"]
        for task in tasks
        for parameter in task["arguments"]["parameters"]
        if parameter["name"] == "stage-key"
    }


@pytest.mark.parametrize("pipeline", ["words", "diamond"])
def test_pods_compute_what_the_docker_runner_computes_under_the_same_keys(
    pushed: Project, bucket: Bucket, tmp_path: Path, pipeline: str
) -> None:
    manifest = manifest_of(pushed, pipeline)
    argo = OneMachineArgo(bucket.access, bucket.name, tmp_path / "pods")
    workflow = argo.run(manifest)
    assert {node["phase"] for node in workflow["status"]["nodes"].values()} == {"Succeeded"}

    here = pushed.at(pushed.root, DAINTREE_STORE=str(tmp_path / "alone"))
    plan = here.doit("plan", pipeline, "--runner", "docker", "--json").json()
    assert stage_keys(manifest) == {stage["name"]: stage["key"] for stage in plan["stages"]}
    computed = here.outputs(pipeline, "--runner", "docker")
    assert outputs(bucket, workflow) == {
        name: here.contents(path) for name, path in computed.items()
    }


def test_what_pods_have_computed_is_recorded_and_a_hit_for_every_machine(
    pushed: Project, bucket: Bucket, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    argo = OneMachineArgo(bucket.access, bucket.name, tmp_path / "pods")
    workflow = argo.run(manifest_of(pushed, "words"))
    kubernetes.put("Workflow", workflow)
    name = workflow["metadata"]["name"]
    configured = {"KUBECONFIG": str(kubernetes.kubeconfig(tmp_path / "config"))}

    first = pushed.doit("record", name, env=configured)
    assert first.code == 0, first.stderr
    assert [line.split(":")[0].split() for line in first.stdout.splitlines()] == [
        [stage, "recorded"] for stage in ("load", "clean", "count")
    ]
    described = pushed.doit("record", name, "--json", env=configured).json()
    assert [stage["status"] for stage in described["stages"]] == ["known"] * 3

    laptop = pushed.at(pushed.root, DAINTREE_CACHE=str(tmp_path / "cache"))
    for runner in ("argo", "docker"):
        plan = laptop.doit("plan", "words", "--runner", runner, "--json").json()
        assert [stage["status"] for stage in plan["stages"]] == ["hit"] * 3
    pulled = laptop.doit("pull", "words:count", "--runner", "argo", "--to", tmp_path / "pulled")
    assert pulled.code == 0, pulled.stderr
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "pulled/output").iterdir()
    } == outputs(bucket, workflow)["count"]
    shown = laptop.doit("show", "words:count").stdout
    assert "runner argo" in shown


LIST = """
paths = sorted(path for path in input.rglob("*"))
texts = [path.read_text() if path.is_file() else "directory" for path in paths]
names = [path.relative_to(input).as_posix() for path in paths]
(output / "listing.txt").write_text(repr([*zip(names, texts)]))
"""


def recorded(project: Project, runner: str) -> dict[str, Any]:
    """The last run of each stage of `mixed`: its keys, its inputs, its output."""
    shown = {
        stage["name"]: project.doit("show", f"mixed:{stage['name']}", "--json").json()
        for stage in project.doit("plan", "mixed", "--runner", runner, "--json").json()["stages"]
    }
    return {
        name: (
            run["keys"],
            run.get("refresh"),
            [(one["name"], one["digest"], one.get("source")) for one in run["inputs"]],
            run["output"],
        )
        for name, run in shown.items()
    }


def test_sources_by_name_refresh_and_stages_without_output_are_the_docker_runner_s(
    clustered: Project, bucket: Bucket, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    for path in ("raw/a.txt", "raw/deep/b.txt", "single.txt"):
        Bucket(f"s3://{bucket.name}", bucket.access).put(path, path.encode())
    clustered.component("odd/list", LIST)
    clustered.component("odd/tell", "print('told')")
    clustered.write("components/odd/tell/component.yaml", "outputs: []\n")
    place = f"s3://{bucket.name}"
    sources = {"corpus": "corpus.txt", "raw": f"{place}/raw", "single": f"{place}/single.txt"}
    listed = [
        {"name": "join", "needs": ["source.corpus", "source.raw", "source.single"]},
        {"name": "query", "needs": [], "refresh": "7d"},
        {"name": "both", "needs": ["source.corpus"], "refresh": "7d"},
        {"name": "after", "needs": ["tell", "query"]},
        {"name": "last", "needs": ["tell"]},
    ]
    stages: list[dict[str, Any]] = [{"component": "odd/list", **one} for one in listed]
    stages.insert(1, {"component": "odd/tell", "needs": ["join"]})
    clustered.write("pipelines/mixed.json", json.dumps({"sources": sources, "stages": stages}))
    clustered.commit()
    built = clustered.doit("build", "--push", "odd/list", "odd/tell", seconds=BUILD_SECONDS)
    assert built.code == 0, built.stderr

    manifest = manifest_of(clustered, "mixed")
    argo = OneMachineArgo(bucket.access, bucket.name, tmp_path / "pods")
    workflow = argo.run(manifest)
    nodes = workflow["status"]["nodes"].values()
    assert {node["phase"] for node in nodes} == {"Succeeded"}, [
        *((node["displayName"], node["phase"], node.get("message")) for node in nodes),
        argo.logs,
    ]
    kubernetes.put("Workflow", workflow)
    configured = {"KUBECONFIG": str(kubernetes.kubeconfig(tmp_path / "config"))}
    record = clustered.doit("record", workflow["metadata"]["name"], env=configured)
    assert record.code == 0, record.stdout + record.stderr

    laptop = clustered.at(clustered.root, DAINTREE_CACHE=str(tmp_path / "cache"))
    for runner in ("argo", "docker"):
        assert set(laptop.plan("mixed", "--runner", runner).values()) == {"hit"}
    here = clustered.at(clustered.root, DAINTREE_STORE=str(tmp_path / "alone"))
    here.run("mixed", "--runner", "docker")
    assert recorded(laptop, "argo") == recorded(here, "docker")


def test_a_secret_of_the_cluster_reaches_the_stage_that_names_it_and_nothing_that_is_kept(
    clustered: Project, bucket: Bucket, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    secret = "correct horse battery"
    body = """
import hashlib, os
print("connecting with", os.environ["DB_PASSWORD"])
(output / "digest").write_text(hashlib.sha256(os.environ["DB_PASSWORD"].encode()).hexdigest())
"""
    clustered.component("shop/orders", body)
    clustered.write("components/shop/orders/component.yaml", "env: [DB_PASSWORD]\n")
    clustered.pipeline("orders", {"component": "shop/orders", "name": "orders"})
    clustered.commit()
    built = clustered.doit("build", "--push", "shop/orders", seconds=BUILD_SECONDS)
    assert built.code == 0, built.stderr
    submitter = clustered.at(clustered.root, DAINTREE_ARGO_ENV_SECRET="shop-variables")
    manifest = manifest_of(submitter, "orders")

    secrets = {"shop-variables": {"DB_PASSWORD": secret}}
    argo = OneMachineArgo(bucket.access, bucket.name, tmp_path / "pods", secrets=secrets)
    workflow = argo.run(manifest)
    [log] = argo.logs.values()
    assert secret in log
    digest = hashlib.sha256(secret.encode()).hexdigest().encode()
    assert outputs(bucket, workflow) == {"orders": {"digest": digest}}

    kubernetes.put("Workflow", workflow)
    [attempt] = read_status(workflow).tasks["orders"].attempts
    kubernetes.say(attempt.pod, *log.splitlines())
    configured = {
        "KUBECONFIG": str(kubernetes.kubeconfig(tmp_path / "config")),
        "MASKED_DB_PASSWORD": secret,
    }
    record = submitter.doit("record", workflow["metadata"]["name"], env=configured)
    assert record.code == 0, record.stderr
    assert "connecting with ***" in submitter.doit("show", "orders:orders").stdout
    stored = Bucket(f"s3://{bucket.name}", bucket.access)
    contents = [*stored.get_many(list(stored.sizes())), json.dumps(manifest).encode()]
    assert not [c for c in contents if isinstance(c, bytes) and secret.encode() in c]


def test_the_same_plan_is_the_same_bytes_but_for_its_time_and_is_uploaded_once(
    pushed: Project, bucket: Bucket
) -> None:
    first, second = (pushed.doit("argo", "words") for _ in range(2))
    # All but the time of planning, of which a run's location is made.
    times = r"\d{4}-\d\d-\d\dT[0-9:]{8}Z|\d{4}/\d\d/\d\d/\d{8}T\d{9}Z"
    assert re.sub(times, "TIME", first.stdout) == re.sub(times, "TIME", second.stdout)
    assert "putting the source corpus.txt into" in first.stderr
    assert "putting" not in second.stderr
    [submission] = list(bucket.sizes("_submissions"))
    content = bucket.get_many([submission])[0]
    assert isinstance(content, bytes)
    described = json.loads(content)
    assert [stage["name"] for stage in described["stages"]] == ["load", "clean", "count"]
    assert bucket.access.secret_key not in json.dumps(described) + first.stdout
    assert len(list(bucket.sizes("_sources"))) == 2


def test_hits_are_read_from_where_they_lie_and_what_is_saved_is_said(pushed: Project) -> None:
    pushed.run("words:clean", "--runner", "docker")
    finished = pushed.doit("argo", "words", "--out", "words.yaml", "--json")
    described = finished.json()
    assert [stage["name"] for stage in described["stages"]] == ["count"]
    assert described["hits"] == ["load", "clean"]
    [document] = read_documents((pushed.root / "words.yaml").read_text(encoding="utf-8"))
    [artifact] = document["spec"]["templates"][0]["dag"]["tasks"][0]["arguments"]["artifacts"]
    place = pushed.output("words:clean", "--runner", "docker")
    assert artifact["s3"]["key"].startswith("store/text/clean/")
    assert str(place).endswith(artifact["s3"]["key"].removeprefix("store"))
    summary = pushed.doit("argo", "words", "--out", "words.yaml").stderr
    assert summary.startswith("words: 1 pod to run; 2 pods and ")


def test_a_hit_that_only_this_machine_has_is_published_first(
    pushed: Project, bucket: Bucket
) -> None:
    pushed.run("words:load", "--runner", "docker")
    bucket.delete(list(bucket.sizes()))
    described = pushed.doit("argo", "words", "--out", "words.yaml", "--json").json()
    assert described["hits"] == ["load"]
    assert any("/output/lines.txt" in path for path in bucket.sizes())


def test_a_hit_is_published_under_the_lease_that_a_collection_takes(
    pushed: Project, bucket: Bucket
) -> None:
    pushed.run("words:load", "--runner", "docker")
    bucket.delete(list(bucket.sizes()))
    place = pushed.output("words:load", "--runner", "docker")
    manifest = json.loads((place.parent / "run.json").read_bytes())
    bucket.delete(list(bucket.sizes()))
    cache = next(parent for parent in place.parents if (parent / "_leases").is_dir())
    held = try_lock(str(cache / lease_path(manifest["keys"]["content"])))
    assert held is not None
    process = pushed.start("argo", "words", "--out", "words.yaml", "--json")
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("load: waiting for whoever ") for line in lines)
    assert not any("/output/" in path for path in bucket.sizes())
    held.release()
    printed, _ = process.communicate()
    assert json.loads(printed)["hits"] == ["load"]
    assert any("/output/lines.txt" in path for path in bucket.sizes())


def test_where_all_is_there_no_workflow_is_written(pushed: Project) -> None:
    pushed.run("words", "--runner", "docker")
    finished = pushed.doit("argo", "words", "--out", "words.yaml")
    assert finished.code == 0
    assert finished.stderr.startswith("words: nothing to run: 3 hits, 3 pods and ")
    assert not (pushed.root / "words.yaml").exists()


def test_a_strange_parameter_reaches_the_pod_as_it_is(
    clustered: Project, bucket: Bucket, tmp_path: Path
) -> None:
    clustered.component(
        "text/say",
        "(output / 'said.txt').write_text(arguments.text)",
        text={"type": "str"},
    )
    clustered.pipeline("say", {"component": "text/say", "params": {"text": STRANGE}})
    clustered.commit()
    assert clustered.doit("build", "--push", "text/say", seconds=BUILD_SECONDS).code == 0
    argo = OneMachineArgo(bucket.access, bucket.name, tmp_path / "pods")
    workflow = argo.run(manifest_of(clustered, "say"))
    assert outputs(bucket, workflow) == {"say": {"said.txt": STRANGE.encode()}}, argo.logs


def test_the_plan_says_what_becomes_a_pod(pushed: Project) -> None:
    finished = pushed.doit("plan", "words", "--runner", "argo")
    lines = [line.split() for line in finished.stdout.splitlines()]
    assert lines[2][:2] == ["load", "MISS"]
    assert lines[3] == ["clean", "PENDING", "-", "runs", "after", "load"]


def refused(project: Project, *arguments: str, **more: Any) -> str:
    """What `doit argo` says that must fail."""
    return project.doit("argo", *arguments, **more).complaint()


def test_what_is_not_committed_is_refused(pushed: Project) -> None:
    pushed.replace("components/text/count/main.py", '"""', '"""Another. ')
    message = refused(pushed, "words")
    assert "error: text/count is not committed: main.py changed" in message
    assert "hint: commit it, then doit build --push" in message


def test_an_image_that_is_not_pushed_is_named_with_the_command_that_pushes_it(
    clustered: Project,
) -> None:
    message = refused(clustered, "words")
    assert "error: the registry has no image " in message
    assert "/text/load:" in message
    assert " and 2 more: pods run what is pushed" in message
    assert "hint: doit build --push text/load text/clean text/count" in message


def test_a_directory_is_no_store_for_a_cluster(clustered: Project, tmp_path: Path) -> None:
    message = refused(clustered, "words", env={"DAINTREE_STORE": str(tmp_path / "here")})
    assert "is on this machine, where no pod can reach it" in message
    assert "s3://bucket" in message


def test_a_server_on_this_machine_is_none_for_pods(pushed: Project) -> None:
    message = refused(pushed, "words", env={"DAINTREE_ARGO_ENDPOINT": ""})
    assert "error: pods cannot reach the store's server at http://127.0.0.1:" in message
    assert "DAINTREE_ARGO_ENDPOINT" in message


def test_without_a_registry_there_is_nothing_for_pods_to_pull(clustered: Project) -> None:
    message = refused(clustered, "words", env={"DAINTREE_REGISTRY": ""})
    assert "error: pods pull their images from a registry, and none is set" in message


def test_the_runner_takes_pipelines_and_no_stages(project: Project) -> None:
    message = project.doit("run", "words", "--runner", "argo").complaint()
    assert "hint: doit submit PIPELINE" in message


def test_pipelines_in_another_repository_are_the_same_submission(
    pushed: Project, tmp_path: Path
) -> None:
    stages = pushed.doit("plan", "words", "--json").json()["stages"]
    root = tmp_path / "other"
    root.mkdir()
    other = pushed.at(root)
    other.write("dodo.py", "from daintree.commands.project_tasks import task_pipelines\n")
    other.write("corpus.txt", (pushed.root / "corpus.txt").read_text(encoding="utf-8"))
    other.pipeline(
        "words",
        *({"component": stage["component"], "version": stage["version"]} for stage in stages),
    )
    here, there = (manifest_of(project, "words") for project in (pushed, other))
    assert stage_keys(there) == stage_keys(here)
    assert there["metadata"]["name"] == here["metadata"]["name"]
    assert there["spec"]["arguments"] == here["spec"]["arguments"]
