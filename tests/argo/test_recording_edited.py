"""A stage that was edited by hand in its cluster is not recorded, nor is what read its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.argo.executed import SEQUENCE, Shop, edit, node_of, statuses, template_of
from tests.services.minio import Minio

EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "image": (lambda w: container(w).update(image="other:latest"), "its image is other:latest"),
    "command": (
        lambda w: container(w).update(command=["sh"]),
        "its command had 'sh' where 'python'",
    ),
    "arguments": (
        lambda w: container(w)["args"].append("--top=9"),
        "its arguments had 7 words where 6",
    ),
    "variable": (
        lambda w: container(w)["env"].append({"name": "X", "value": "1"}),
        "its environment",
    ),
    "secret": (lambda w: container(w).update(envFrom=[{}]), "its container has envFrom"),
    "volumes": (lambda w: container(w)["volumeMounts"].pop(), "its volumes are others"),
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
        "its arguments had '--top=9' where '--top=3' was submitted",
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
        "its source is at /in",
    ),
    "output path": (
        lambda w: template_of(w, "text-load")["outputs"]["artifacts"][0].update(path="/tmp"),
        "its output is not taken from /application/data/output",
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
    "no pod": (lambda w: node_of(w, "load").update(children=[]), "no pod of its own ran"),
}


def container(workflow: dict[str, Any]) -> dict[str, Any]:
    """The container of the template of load."""
    found: dict[str, Any] = template_of(workflow, "text-load")["container"]
    return found


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
def test_what_was_edited_by_hand_is_not_recorded_nor_what_read_it(
    ran: tuple[Shop, dict[str, Any]], name: str
) -> None:
    shop, workflow = ran
    change, said = EDITS[name]
    reports = shop.record(edit(workflow, change), SEQUENCE)
    assert reports["load"].why.startswith("it was edited by hand: ")
    assert said in reports["load"].why
    assert set(statuses(reports).values()) == {"refused"}
    assert shop.runs() == {}


def test_an_output_that_the_workflow_does_not_know_of_is_not_looked_for(
    ran: tuple[Shop, dict[str, Any]],
) -> None:
    shop, workflow = ran
    unknown = edit(workflow, lambda w: node_of(w, "load(0)")["outputs"].pop("artifacts"))
    report = shop.record(unknown, SEQUENCE)["load"]
    assert (report.status, report.why) == ("refused", "its Workflow tells of no output")
