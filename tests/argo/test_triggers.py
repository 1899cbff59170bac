"""Manifests that stay in a cluster: their very bytes, and what Argo's schema says of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daintree.argo.triggers import (
    Trigger,
    braceless_json,
    cron_manifest,
    event_manifests,
    template_manifest,
)
from daintree.commands.argo import (
    event_comments,
    manifest_text,
    schedule_comments,
    template_comments,
)
from tests.argo.conftest import cluster, make_submission, submitted_stage
from tests.services.argo_check import faults, read_documents

GOLDEN = Path(__file__).parents[1] / "golden/argo"
COMMIT = "6" * 40
SOURCE = "s3://raw/reviews"
STAGE = {
    "name": "load",
    "component": "text/load",
    "version": "sha256:" + "1" * 64,
    "params": {"text": "{{workflow.name}} $(HOME)", "top": 3},
    "needs": [],
}
FROZEN = braceless_json({"source": SOURCE, "stages": [STAGE]}) + "\n"
SUBMISSION = make_submission(
    submitted_stage("load"),
    submitted_stage("strict", needs=("load",), template="text-clean", component="text/clean"),
    submitted_stage("join", needs=("strict", "load"), parameters={"text": "{{x}}"}),
)
LOGIN = {"argo_pull_secret": "registry-key", "argo_node_selector": {"pool": "batch", "zone": "a"}}


def trigger(name: str, **settings: Any) -> Trigger:
    """The frozen pipeline under this name."""
    return Trigger(
        pipeline="words", name=name, frozen=FROZEN, commit=COMMIT, access=cluster(**settings)
    )


def scheduled(**settings: Any) -> str:
    frozen, times = trigger("words", **settings), ("0 3 * * *", "Europe/Berlin")
    return manifest_text([cron_manifest(frozen, *times)], schedule_comments(frozen, *times))


def reacting(**settings: Any) -> str:
    frozen = trigger("words-on-event", **settings)
    return manifest_text(event_manifests(frozen, [SOURCE]), event_comments(frozen, SOURCE))


def owned(**settings: Any) -> str:
    document = template_manifest(SUBMISSION, "words", cluster(**settings))
    return manifest_text([document], template_comments("words", "words", COMMIT, "daintree"))


TEXTS = {"schedule": scheduled(**LOGIN), "event": reacting(), "template": owned()}


@pytest.mark.parametrize("name", TEXTS)
def test_a_manifest_has_always_the_same_bytes(name: str) -> None:
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("RENEW_GOLDEN"):
        golden.write_text(TEXTS[name], encoding="utf-8")
    assert TEXTS[name] == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_argo_takes_it(name: str) -> None:
    documents = read_documents((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
    checked = [d for d in documents if d["kind"] in ("CronWorkflow", "WorkflowTemplate")]
    assert checked
    for document in checked:
        assert faults(document) == []


def test_what_a_sensor_makes_is_a_workflow_that_argo_takes() -> None:
    _, _, sensor, _ = read_documents(TEXTS["event"])
    [trigger] = sensor["spec"]["triggers"]
    assert faults(trigger["template"]["k8s"]["source"]["resource"]) == []


def pods(part: Any) -> Iterator[dict[str, Any]]:
    """Each part of a manifest that describes a pod: a Workflow's specification, a pod of Argo Events."""
    if isinstance(part, dict):
        if "templates" in part or "container" in part.get("template", {}):
            yield part if "templates" in part else part["template"]
        part = [*part.values()]
    if isinstance(part, list):
        for one in part:
            yield from pods(one)


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers that a manifest describes for a pod."""
    holders = [pod, *pod.get("templates", ())]
    kinds = ("container", "script")
    several = ("initContainers", "sidecars")
    return [h[k] for h in holders for k in kinds if k in h] + [
        container for h in holders for k in several for container in h.get(k, ())
    ]


WRITTEN = {file.name: file.read_text(encoding="utf-8") for file in sorted(GOLDEN.glob("*.yaml"))}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_container_that_a_manifest_has_may_run_in_a_restricted_namespace(name: str) -> None:
    described = [pod for document in read_documents(WRITTEN[name]) for pod in pods(document)]
    assert described
    for pod in described:
        security = pod["securityContext"]
        assert security["runAsNonRoot"]
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
        assert containers(pod)
        for container in containers(pod):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_the_frozen_pipeline_is_a_file_of_the_tooling_s_project() -> None:
    [document] = read_documents(TEXTS["schedule"])
    [template] = document["spec"]["workflowSpec"]["templates"]
    [artifact] = template["inputs"]["artifacts"]
    assert artifact["path"] == "/project/pipelines/words.json"
    assert artifact["raw"]["data"] == FROZEN
    assert template["container"]["args"] == [
        *("submit", "words", "--as-of"),
        "{{workflow.creationTimestamp.s}}/{{workflow.uid}}",
    ]


def test_keys_come_from_a_secret_and_a_login_is_mounted_where_one_is_set() -> None:
    for text in TEXTS.values():
        assert "the-secret-key" not in text
        assert "the-access-key" not in text
    [document] = read_documents(TEXTS["schedule"])
    spec = document["spec"]["workflowSpec"]
    [container] = [template["container"] for template in spec["templates"]]
    variables = {v["name"]: v.get("value") for v in container["env"]}
    assert variables["DOCKER_CONFIG"] == "/login"
    assert variables["DAINTREE_ARGO_NODE_SELECTOR"] == "pool=batch,zone=a"
    assert {"name": "login", "mountPath": "/login"} in container["volumeMounts"]
    [login] = [volume["secret"] for volume in spec["volumes"] if volume["name"] == "login"]
    assert login["secretName"] == "registry-key"
    assert spec["imagePullSecrets"] == [{"name": "registry-key"}]
    assert "login" not in scheduled()


def test_a_template_to_own_claims_nothing() -> None:
    [document] = read_documents(TEXTS["template"])
    assert "onExit" not in document["spec"]
    assert "stage-key" not in TEXTS["template"]
    assert "ml.daintree/submission" not in TEXTS["template"]
    keys = {
        template["outputs"]["artifacts"][0]["s3"]["key"]
        for template in document["spec"]["templates"]
        if "outputs" in template
    }
    assert keys == {
        "team/by-hand/words/{{workflow.name}}/{{inputs.parameters.stage}}/{{pod.name}}/output"
    }


def test_of_several_sources_each_is_watched_and_an_object_of_any_is_enough() -> None:
    _, events, sensor, _ = event_manifests(trigger("words"), [SOURCE, "s3://items"])
    watched = {name: one["bucket"]["name"] for name, one in events["spec"]["minio"].items()}
    assert watched == {"objects": "raw", "objects2": "items"}
    assert [one["eventName"] for one in sensor["spec"]["dependencies"]] == [*watched]
    [submit] = sensor["spec"]["triggers"]
    assert submit["template"]["conditions"] == "objects || objects2"


def test_several_objects_of_one_moment_plan_one_after_the_other() -> None:
    template, _, sensor, binding = read_documents(TEXTS["event"])
    assert template["spec"]["synchronization"] == {"mutexes": [{"name": "submit-words"}]}
    [trigger] = sensor["spec"]["triggers"]
    assert trigger["rateLimit"] == {"unit": "Minute", "requestsPerUnit": 2}
    name = template["metadata"]["name"]
    assert binding["spec"]["submit"]["workflowTemplateRef"] == {"name": name}
