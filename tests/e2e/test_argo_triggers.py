"""What `doit argo` writes to stay in a cluster: a pinned pipeline plans there what it plans here."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daintree.store.bucket import Bucket
from tests.e2e.projects import REPOSITORY, Finished, Project
from tests.services.argo_check import faults, read_documents
from tests.services.argo_expansion import replace_tags, workflow_scope
from tests.services.kubernetes_objects import KubernetesServer
from tests.services.one_machine_argo import OneMachineArgo

SCHEDULE = ("--schedule", "0 3 * * *")
DODO = REPOSITORY / "deploy/tooling/project/dodo.py"


@pytest.fixture
def source(pushed: Project, bucket: Bucket) -> str:
    """The source in a bucket, where pods can look whether it has changed."""
    corpus = (pushed.root / "corpus.txt").read_bytes()
    Bucket(f"s3://{bucket.name}", bucket.access).put("raw/corpus.txt", corpus)
    return f"s3://{bucket.name}/raw"


def written(project: Project, *arguments: str) -> list[dict[str, Any]]:
    """The documents that `doit argo words …` prints, each sound as far as the checker knows its kind."""
    finished = project.doit("argo", "words", *arguments)
    assert finished.code == 0, finished.stderr
    documents = read_documents(finished.stdout)
    for document in documents:
        if document["kind"] in ("CronWorkflow", "WorkflowTemplate"):
            assert faults(document) == []
    return documents


def refused(project: Project, *arguments: str, **more: Any) -> str:
    """What `doit argo words …` says that must fail."""
    return project.doit("argo", "words", *arguments, **more).complaint()


def as_in_a_pod(project: Project, spec: dict[str, Any], root: Path) -> Project:
    """The project of the tooling's image with the pipeline that the one step gets, and that step's settings.

    Its store and keys are this machine's.
    """
    [template] = spec["templates"]
    [artifact] = template["inputs"]["artifacts"]
    (root / "pipelines").mkdir(parents=True)
    (root / "dodo.py").write_bytes(DODO.read_bytes())
    (root / "pipelines" / Path(artifact["path"]).name).write_text(artifact["raw"]["data"])
    described = {v["name"]: v["value"] for v in template["container"]["env"] if "value" in v}
    settings = {n: text for n, text in described.items() if n.startswith("DAINTREE_")}
    settings["DAINTREE_ARGO_NAMESPACE"] = "daintree"
    return project.at(root, **settings, XDG_CACHE_HOME=str(root.parent / "pod-cache"))


def keys(project: Project, *arguments: str) -> dict[str, str]:
    """The stage keys of `words` as it is planned for a cluster."""
    plan = project.doit("plan", "words", "--runner", "argo", "--json", *arguments).json()
    return {stage["name"]: stage["key"] for stage in plan["stages"]}


def test_a_scheduled_run_plans_what_this_project_plans(
    pushed: Project, source: str, tmp_path: Path
) -> None:
    changes = ("--source", source, "--set", "count.top=1")
    [cron] = written(pushed, *changes, *SCHEDULE, "--timezone", "Europe/Berlin")
    assert cron["spec"]["schedules"] == ["0 3 * * *"]
    assert cron["spec"]["timezone"] == "Europe/Berlin"
    pod = as_in_a_pod(pushed, cron["spec"]["workflowSpec"], tmp_path / "pod")
    assert keys(pod) == keys(pushed, *changes)
    # So what it submits is the very Workflow that is submitted here, and meets it.
    names = [
        read_documents(project.doit("argo", "words", *options).stdout)[0]["metadata"]["name"]
        for project, options in ((pod, ()), (pushed, changes))
    ]
    assert names[0] == names[1]
    pushed.run("words", "--runner", "docker", *changes)
    assert pod.plan("words", "--runner", "argo") == dict.fromkeys(("load", "clean", "count"), "hit")


def test_several_sources_and_refresh_are_frozen_as_they_are(
    pushed: Project, bucket: Bucket, source: str, tmp_path: Path
) -> None:
    more = f"s3://{bucket.name}/more"
    Bucket(f"s3://{bucket.name}", bucket.access).put("more/corpus.txt", b"more\n")
    stages: list[dict[str, Any]] = [
        {"component": "text/load", "needs": ["source.corpus"], "refresh": "7d"},
        {"component": "text/load", "name": "second", "needs": ["source.more"]},
        {"component": "text/clean", "needs": ["load"]},
    ]
    described = {"sources": {"corpus": "corpus.txt", "more": more}, "stages": stages}
    pushed.write("pipelines/words.yaml", json.dumps(described))
    message = refused(pushed, *SCHEDULE)
    assert "the source corpus.txt is on this machine" in message
    assert "hint: --source corpus=s3://bucket/prefix or https://…" in message

    typed = ("--source", f"corpus={source}")
    [cron] = written(pushed, *typed, *SCHEDULE)
    pod = as_in_a_pod(pushed, cron["spec"]["workflowSpec"], tmp_path / "pod")
    assert keys(pod) == keys(pushed, *typed)
    _, event_source, *_ = written(pushed, *typed, "--on-event")
    prefixes = [one["filter"]["prefix"] for one in event_source["spec"]["minio"].values()]
    assert prefixes == ["raw", "more"]


def in_its_image(
    project: Project, spec: dict[str, Any], kubernetes: KubernetesServer, directory: Path
) -> Finished:
    """The one step as its pod has it, on this machine: the store's server and the cluster's are those of this machine."""
    [template] = spec["templates"]
    container = template["container"]
    [artifact] = template["inputs"]["artifacts"]
    directory.mkdir()
    file = directory / "pipeline.json"
    file.write_text(artifact["raw"]["data"])
    config = kubernetes.kubeconfig(directory / "config")
    for path in (file, config):
        path.chmod(0o644)
    described = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    reached = {n: t for n, t in project.environ.items() if n.startswith("MINIO_")}
    variables = {
        **{
            name: text.replace("{{workflow.namespace}}", "daintree")
            for name, text in described.items()
        },
        **reached,
        "KUBECONFIG": "/config",
    }
    created = datetime.now(UTC)
    scope = workflow_scope({"spec": spec, "metadata": {"name": "x", "namespace": "y"}}, created)
    arguments = replace_tags(container["args"], scope)
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "host"),
            *("--cap-drop", "ALL", "--user", "1000:1000"),
            *("--volume", f"{file}:{artifact['path']}:ro", "--volume", f"{config}:/config:ro"),
            *(f"--env={name}" for name in variables),
            *("--entrypoint", container["command"][0], container["image"], *arguments),
        ],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def test_the_step_submits_from_the_tooling_s_own_image(
    pushed: Project, source: str, tooling_image: str, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    [cron] = written(pushed, "--source", source, *SCHEDULE)
    spec = cron["spec"]["workflowSpec"]
    # The engine has it; the registry's name for it was told to the manifest.
    spec["templates"][0]["container"]["image"] = tooling_image

    first = in_its_image(pushed, spec, kubernetes, tmp_path / "first")
    assert first.code == 0, first.stderr
    [made] = [made for (kind, _, _), made in kubernetes.objects.items() if kind == "Workflow"]
    [here] = written(pushed, "--source", source)
    assert made["metadata"]["name"] == here["metadata"]["name"]
    # But for the commit, which a pod has none of.
    assert made["spec"]["templates"][0] == here["spec"]["templates"][0]

    pushed.run("words", "--runner", "docker", "--source", source)
    kubernetes.remove("Workflow", made["metadata"]["name"])
    again = in_its_image(pushed, spec, kubernetes, tmp_path / "again")
    assert again.code == 0, again.stderr
    assert "words: nothing to run: 3 hits" in again.stderr
    assert not [kind for kind, _, _ in kubernetes.objects if kind == "Workflow"]


def test_the_same_manifest_is_the_same_bytes(pushed: Project, source: str) -> None:
    for options in (SCHEDULE, ("--on-event",), ("--template",)):
        first, second = (
            pushed.doit("argo", "words", "--source", source, *options).stdout for _ in range(2)
        )
        assert first == second
        assert first.startswith("# words: ")
        assert pushed.environ["MINIO_SECRET_KEY"] not in first


def test_what_reacts_to_events_watches_the_source(
    pushed: Project, bucket: Bucket, source: str, tmp_path: Path
) -> None:
    template, event_source, sensor, binding = written(pushed, "--source", source, "--on-event")
    kinds = [document["kind"] for document in (template, event_source, sensor, binding)]
    assert kinds == ["WorkflowTemplate", "EventSource", "Sensor", "WorkflowEventBinding"]
    watched = event_source["spec"]["minio"]["objects"]
    assert (watched["bucket"], watched["filter"]) == ({"name": bucket.name}, {"prefix": "raw"})
    pod = as_in_a_pod(pushed, template["spec"], tmp_path / "pod")
    assert keys(pod) == keys(pushed, "--source", source)


def test_a_template_to_own_computes_every_stage_and_records_nothing(
    pushed: Project, bucket: Bucket, tmp_path: Path
) -> None:
    pushed.run("words", "--runner", "docker")
    before = set(bucket.sizes("_cache"))
    [template] = written(pushed, "--template")
    workflow = {**template, "kind": "Workflow"}
    argo = OneMachineArgo(bucket.access, bucket.name, tmp_path / "pods")
    ended = argo.run(workflow)
    assert {node["phase"] for node in ended["status"]["nodes"].values()} == {"Succeeded"}
    outputs = [path for path in bucket.sizes("by-hand") if path.endswith("counts.csv")]
    assert [path.split("/")[1] for path in outputs] == ["words"]
    assert set(bucket.sizes("_cache")) == before


def test_json_names_what_was_written(pushed: Project, source: str) -> None:
    options = ("--source", source, *SCHEDULE, "--out", "cron.yaml", "--json")
    assert pushed.doit("argo", "words", *options).json() == {
        "pipeline": "words",
        "namespace": "daintree",
        "file": "cron.yaml",
        "objects": [{"kind": "CronWorkflow", "name": "words"}],
    }
    [document] = read_documents((pushed.root / "cron.yaml").read_text())
    assert document["kind"] == "CronWorkflow"


def test_what_cannot_be_watched_is_refused(pushed: Project) -> None:
    message = refused(pushed, *SCHEDULE)
    assert "the source corpus.txt is on this machine, where no pod can look" in message
    assert "hint: --source s3://bucket/prefix or https://…" in message


def test_two_pipelines_have_two_names(pushed: Project, source: str) -> None:
    text = json.dumps({"source": source, "stages": ["text/load"]})
    pushed.write("pipelines/WORDS.json", text)
    names = set()
    for pipeline in ("words", "WORDS"):
        finished = pushed.doit("argo", pipeline, "--source", source, *SCHEDULE)
        names.add(read_documents(finished.stdout)[0]["metadata"]["name"])
    assert len(names) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((*SCHEDULE, "--template"), "--schedule and --template are different manifests"),
        (("--timezone", "UTC"), "--timezone is that of --schedule"),
        ((*SCHEDULE, "--force", "load"), "--force is for what is submitted now"),
        (("--schedule", "0 25 * * *"), "the hour '25': '25' is not from 0 to 23"),
        ((*SCHEDULE, "--timezone", "Mars"), "--timezone 'Mars': there is no such time zone"),
    ],
)
def test_options_that_do_not_go_together(
    project: Project, options: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refused(project, *options)


def test_nothing_is_written_for_what_is_not_pushed(clustered: Project, bucket: Bucket) -> None:
    Bucket(f"s3://{bucket.name}", bucket.access).put("raw/x", b"x\n")
    source = ("--source", f"s3://{bucket.name}/raw")
    assert "hint: doit build --push" in refused(clustered, *source, *SCHEDULE, "--out", "x.yaml")
    assert not (clustered.root / "x.yaml").exists()
    clustered.replace("components/text/count/main.py", '"""', '"""Another. ')
    assert "text/count is not committed" in refused(clustered, *source, *SCHEDULE)
