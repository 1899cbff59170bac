"""Workflows whose every task has succeeded, without any pod: what Argo's status says then."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.argo.workflows import node_number
from tests.services.argo_expansion import UID, replace_tags, workflow_scope

CREATED = datetime(2026, 3, 1, 10, 15, 9, tzinfo=UTC)
_FROM = re.compile(r"\{\{tasks\.([^.]+)\.outputs\.artifacts\.output\}\}")


def finished(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The Workflow of a manifest, each of its tasks with one attempt that has succeeded, in the order in which they stand."""
    workflow = json.loads(json.dumps(manifest))
    name, spec = workflow["metadata"]["name"], workflow["spec"]
    scope = workflow_scope(manifest, CREATED)
    templates = {template["name"]: template for template in spec["templates"]}
    root = _node(name, name, "DAG", spec["entrypoint"])
    nodes = {name: {**root, "id": name, "boundaryID": ""}}
    outputs: dict[str, str] = {}
    for task in templates[spec["entrypoint"]]["dag"]["tasks"]:
        retry = _node(name, f"{name}.{task['name']}", "Retry", task["template"])
        attempt = _node(name, f"{name}.{task['name']}(0)", "Pod", task["template"])
        pod = f"{name}-{task['template']}-{attempt['id'].rpartition('-')[2]}"
        called = replace_tags(task["arguments"], scope, ignore_missing=True)
        given = {f"inputs.parameters.{p['name']}": p["value"] for p in called["parameters"]}
        filled = replace_tags(
            templates[task["template"]]["outputs"], {**scope, **given, "pod.name": pod}
        )
        outputs[task["name"]] = filled["artifacts"][0]["s3"]["key"]
        for artifact in called["artifacts"]:
            if match := _FROM.fullmatch(artifact.pop("from", "")):
                artifact["s3"] = {"key": outputs[match[1]]}
        nodes[retry["id"]] = {**retry, "children": [attempt["id"]]}
        nodes[attempt["id"]] = {**attempt, "inputs": called, "outputs": {**filled, "exitCode": "0"}}
    metadata = {**workflow["metadata"], "uid": UID, "creationTimestamp": f"{CREATED:%FT%TZ}"}
    return {**workflow, "metadata": metadata, "status": {"phase": "Running", "nodes": nodes}}


def _node(workflow: str, name: str, kind: str, template: str) -> dict[str, Any]:
    return {
        "id": f"{workflow}-{node_number(name)}",
        "name": name,
        "displayName": name.partition(".")[2] or name,
        "type": kind,
        "phase": "Succeeded",
        "templateName": template,
        "boundaryID": workflow,
    }
