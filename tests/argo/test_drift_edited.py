"""A stage that was edited in its cluster is not recorded, nor is what read its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.argo.executed import SEQUENCE, Shop, edit, node_of, statuses, template_of
from tests.services.minio import Minio

STORE_KEYS = {"secretKeyRef": {"name": "daintree-store", "key": "secret-key"}}
EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "image": (
        lambda w: container(w).update(image="other:latest"),
        "its template's container.image is 'other:latest' where 'registry",
    ),
    "command": (
        lambda w: container(w).update(command=["sh"]),
        "its template's container.command has 1 items where 2 were submitted",
    ),
    "arguments": (
        lambda w: container(w)["args"].append("--top=9"),
        "its template's container.args has 7 items where 6 were submitted",
    ),
    "variable": (
        lambda w: container(w)["env"].append({"name": "X", "value": "1"}),
        "its template's container.env has 10 items where 9",
    ),
    "secret": (lambda w: container(w).update(envFrom=[{}]), "its template's container has envFrom"),
    "volumes": (lambda w: container(w)["volumeMounts"].pop(), "container.volumeMounts has 2 items"),
    "kept volume": (
        lambda w: (
            w["spec"]["volumes"][0].update(emptyDir=None, persistentVolumeClaim={})
            or w["spec"]["volumes"][0].pop("emptyDir")
        ),
        "its volumes are others",
    ),
    "sidecar": (
        lambda w: template_of(w, "text-load").update(sidecars=[{}]),
        "its template has sidecars",
    ),
    "patch": (lambda w: w["spec"].update(podSpecPatch="{}"), "its Workflow has podSpecPatch"),
    "defaults": (
        lambda w: w["spec"].update(templateDefaults={"container": {"env": []}}),
        "templateDefaults have container",
    ),
    "value": (
        lambda w: parameter(w, "top").update(value="9"),
        "it had top '9' where '3' was submitted",
    ),
    "source": (
        lambda w: node_of(w, "load(0)")["inputs"]["artifacts"][0].update(s3={"key": "team/other"}),
        "its source was read from elsewhere",
    ),
    "further input": (
        lambda w: node_of(w, "load(0)")["inputs"]["artifacts"].append({"name": "more", "raw": {}}),
        "it has the further input more",
    ),
    "path": (
        lambda w: template_of(w, "text-load")["inputs"]["artifacts"][0].update(path="/in"),
        "inputs.artifacts[0].path is '/in'",
    ),
    "output path": (
        lambda w: template_of(w, "text-load")["outputs"]["artifacts"][0].update(path="/tmp"),
        "outputs.artifacts[0].path is '/tmp'",
    ),
    "place": (
        lambda w: node_of(w, "load(0)")["outputs"]["artifacts"][0].update(
            s3={"key": "team/text/x"}
        ),
        "its output is at team/text/x, not at team/text/load/",
    ),
    "template": (
        lambda w: node_of(w, "load(0)").update(templateName="mine"),
        "it ran the template 'mine' and not 'text-load'",
    ),
    "memoized": (
        lambda w: node_of(w, "load(0)").update(memoizationStatus={"hit": True}),
        "its output is one that Argo has memoized",
    ),
    "another template's": (
        lambda w: node_of(w, "load(0)").update(
            templateRef={"name": "mine", "template": "text-load"}
        ),
        "it ran the template 'mine/text-load' and not 'text-load'",
    ),
    "inline template": (
        lambda w: node_of(w, "load(0)").update(templateName=""),
        "it ran the template '' and not 'text-load'",
    ),
    "archive": (
        lambda w: template_of(w, "text-load")["outputs"]["artifacts"][0].pop("archive"),
        "its template's outputs.artifacts[0].archive is None where {'none': {}}",
    ),
    "further output": (
        lambda w: template_of(w, "text-load")["outputs"]["artifacts"].append({"name": "more"}),
        "outputs.artifacts has 2 items where 1 were submitted",
    ),
    "memoize": (
        lambda w: template_of(w, "text-load").update(memoize={"key": "x"}),
        "its template has memoize",
    ),
    "items": (
        lambda w: task_of(w, "load").update(withItems=["a"]),
        "its task has withItems",
    ),
    "template of the task": (
        lambda w: task_of(w, "load").update(templateRef={"name": "x", "template": "text-load"}),
        "its task has templateRef",
    ),
    "condition": (lambda w: task_of(w, "load").update(when="1 == 1"), "its task has when"),
    "hook of the task": (
        lambda w: task_of(w, "load").update(hooks={"exit": {"template": "x"}}),
        "its task has hooks",
    ),
    "entrypoint": (
        lambda w: w["status"]["nodes"][w["metadata"]["name"]].update(templateName="mine"),
        "its Workflow did not begin with the template pipeline",
    ),
    "repository": (
        lambda w: w["spec"].update(artifactRepositoryRef={"configMap": "mine", "key": "store"}),
        "its Workflow has another artifact repository",
    ),
    "artifact collection": (
        lambda w: w["spec"].update(artifactGC={"strategy": "OnWorkflowCompletion"}),
        "its Workflow has artifactGC",
    ),
    "claims": (
        lambda w: w["spec"].update(volumeClaimTemplates=[{"metadata": {"name": "output"}}]),
        "its Workflow has volumeClaimTemplates",
    ),
    "names of hosts": (
        lambda w: w["spec"].update(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["minio.minio"]}]),
        "its Workflow has hostAliases",
    ),
    "keys of the store in a sidecar": (
        lambda w: w["spec"]["templates"].append(
            {"name": "x", "sidecars": [{"env": [{"valueFrom": STORE_KEYS}]}]}
        ),
        "more than its record step gets the secret daintree-store",
    ),
    "keys of the store in a volume": (
        lambda w: w["spec"]["volumes"].append(
            {"name": "keys", "secret": {"secretName": "daintree-store"}}
        ),
        "more than its record step gets the secret daintree-store",
    ),
    "another record step": (
        lambda w: template_of(w, "record")["container"].update(args=["run", "words"]),
        "more than its record step gets the secret daintree-store",
    ),
    "node that is there already": (
        lambda w: add_node(w, "hook", phase="Succeeded", outputs=output_of(w, "load(0)")),
        ".hook may have written where its output is",
    ),
    "node above it": (
        lambda w: add_node(w, "hook", outputs=output_at("team/text/load")),
        ".hook may have written where its output is",
    ),
    "node below it": (
        lambda w: add_node(w, "hook", outputs=output_at(f"{key_of(w, 'load(0)')}/n")),
        ".hook may have written where its output is",
    ),
    "node that failed, of a template unknown": (
        lambda w: add_node(w, "lost", phase="Error", templateName="gone"),
        ".lost may have written where its output is",
    ),
    "node that failed, of a template with its key": (
        lambda w: add_node(w, "lost", phase="Error", templateName=add_template(w, "load(0)")),
        ".lost may have written where its output is",
    ),
    "words with its key": (
        lambda w: add_node(
            w,
            "copy",
            phase="Succeeded",
            templateName=add_template(w, "load(0)", container={"args": [key_of(w, "load(0)")]}),
        ),
        ".copy may have written where its output is",
    ),
    "further output of its own": (
        lambda w: node_of(w, "load(0)")["outputs"]["artifacts"].append(
            {"name": "main-logs", "s3": {"key": f"{key_of(w, 'load(0)')}/main.log"}}
        ),
        "a further output of its own may have written where its output is",
    ),
    "no pod": (lambda w: node_of(w, "load").update(children=[]), "no pod of its own ran"),
}


def task_of(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    """A task of the Workflow's pipeline."""
    tasks: list[dict[str, Any]] = template_of(workflow, "pipeline")["dag"]["tasks"]
    return next(task for task in tasks if task["name"] == name)


def output_of(workflow: dict[str, Any], node: str) -> dict[str, Any]:
    """The outputs of a node."""
    outputs: dict[str, Any] = node_of(workflow, node)["outputs"]
    return outputs


def key_of(workflow: dict[str, Any], node: str) -> str:
    """The key of a node's output."""
    return str(output_of(workflow, node)["artifacts"][0]["s3"]["key"])


def output_at(key: str) -> dict[str, Any]:
    """Outputs with one artifact at a key."""
    return {"artifacts": [{"name": "other", "s3": {"key": key}}]}


def add_node(workflow: dict[str, Any], name: str, **more: Any) -> None:
    """Add a pod's node to the Workflow, which nothing in it waits for."""
    whole = f"{workflow['metadata']['name']}.{name}"
    node = {"id": f"{whole}-1", "name": whole, "type": "Pod", "phase": "Succeeded", **more}
    workflow["status"]["nodes"][node["id"]] = node


def add_template(workflow: dict[str, Any], node: str, **more: Any) -> str:
    """Add a template that writes to the key of a node; its name."""
    outputs = {} if more else {"outputs": output_at(key_of(workflow, node))}
    workflow["spec"]["templates"].append({"name": "added", **outputs, **more})
    return "added"


def container(workflow: dict[str, Any]) -> dict[str, Any]:
    """The container of the template of load."""
    match: dict[str, Any] = template_of(workflow, "text-load")["container"]
    return match


def parameter(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    """A parameter that load ran with."""
    parameters = node_of(workflow, "load(0)")["inputs"]["parameters"]
    return next(one for one in parameters if one["name"] == name)


@pytest.fixture(scope="module")
def ran(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, dict[str, Any]]:
    """A Workflow that has run; its tests record nothing."""
    shop = Shop.make(minio, tmp_path_factory.mktemp("shop"))
    return shop, shop.run(SEQUENCE)


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_is_not_recorded_nor_what_read_it(
    ran: tuple[Shop, dict[str, Any]], name: str
) -> None:
    shop, workflow = ran
    change, complaint = EDITS[name]
    reports = shop.record(edit(workflow, change), SEQUENCE)
    assert reports["load"].why.startswith("it is not what was submitted: ")
    assert complaint in reports["load"].why
    assert set(statuses(reports).values()) == {"refused"}
    assert shop.runs() == {}


HARMLESS: dict[str, Callable[[dict[str, Any]], object]] = {
    "resources": lambda w: container(w).update(resources={"limits": {"memory": "1Gi"}}),
    "tolerations": lambda w: w["spec"].update(tolerations=[{"key": "gpu"}]),
    "empty fields": lambda w: template_of(w, "text-load").update(metadata={}, sidecars=None),
    "defaults": lambda w: w["spec"].update(templateDefaults={"timeout": "1h"}),
    "further dependency": lambda w: task_of(w, "clean")["dependencies"].append("approve"),
    "suspended": lambda w: add_node(w, "approve", type="Suspend", templateName="approve"),
    "notification": lambda w: add_node(
        w, "notify", templateName=add_template(w, "load(0)", container={"image": "curl"})
    ),
    "logs": lambda w: node_of(w, "load(0)")["outputs"]["artifacts"].append(
        {"name": "main-logs", "s3": {"key": "words/pod/main.log"}}
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_an_edit_that_decides_nothing_of_an_output_keeps_nothing_from_being_recorded(
    shop: Shop, name: str
) -> None:
    reports = shop.record(edit(shop.run(SEQUENCE), HARMLESS[name]), SEQUENCE)
    assert set(statuses(reports).values()) == {"recorded"}


def test_an_output_that_the_workflow_does_not_know_of_is_not_looked_for(
    ran: tuple[Shop, dict[str, Any]],
) -> None:
    shop, workflow = ran
    unknown = edit(workflow, lambda w: node_of(w, "load(0)")["outputs"].pop("artifacts"))
    report = shop.record(unknown, SEQUENCE)["load"]
    assert (report.status, report.why) == (
        "refused",
        "it is not what was submitted: its Workflow names no output of it",
    )
