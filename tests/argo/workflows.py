"""Workflows as a cluster's API returns them, node by node."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

CREATED = datetime(2026, 3, 1, 10, 15, 9, tzinfo=UTC)
WORKFLOW = "words-0123456789"
HOST = "node-7"

Node = dict[str, Any]


def node_number(name: str) -> int:
    """The number that Argo gives a node of this name: FNV-1a, 32 bits."""
    number = 0x811C9DC5
    for byte in name.encode():
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number


def at(seconds: float) -> str:
    """A time so many seconds after the Workflow was made, as the API writes it."""
    return (CREATED + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, template: str, phase: str, **more: Any) -> Node:
    """An attempt's node, changed as told; one that has ended has taken 7 seconds."""
    code = {"Succeeded": "0", "Failed": "1"}.get(phase)
    ended = {"finishedAt": at(17)} if phase not in ("Pending", "Running") else {"finishedAt": None}
    values: Node = {
        "type": "Pod",
        "phase": phase,
        "templateName": template,
        "templateScope": f"local/{WORKFLOW}",
        "hostNodeName": HOST,
        "startedAt": at(10),
        "nodeFlag": {"retried": True},
        "progress": "0/1",
        "outputs": {"exitCode": code} if code else {},
    }
    return named(name, **{**values, **ended, **more})


def named(name: str, **values: Any) -> Node:
    """A node of this name below the Workflow's DAG."""
    whole = f"{WORKFLOW}.{name}"
    return {
        "id": f"{WORKFLOW}-{node_number(whole)}",
        "name": whole,
        "displayName": name,
        "boundaryID": WORKFLOW,
        **values,
    }


def retried(task: str, phase: str, attempts: Sequence[Node], **more: Any) -> list[Node]:
    """A task's node of type Retry and its attempts."""
    ended = {"finishedAt": at(18) if phase != "Running" else None}
    outputs = {"outputs": attempts[-1]["outputs"]} if attempts else {}
    children = {"children": [attempt["id"] for attempt in attempts]}
    values = {"type": "Retry", "phase": phase, "startedAt": at(9), **ended, **outputs, **children}
    return [named(task, **{**values, **more}), *attempts]


def artifact(name: str, key: str) -> Node:
    """An artifact in the Workflow's own repository."""
    return {"name": name, "path": f"/application/data/{name}", "s3": {"key": key}}


def workflow(*nodes: Node, phase: str = "Running", dag: str = "Succeeded", **more: Any) -> Node:
    """The Workflow with these nodes; `dag` is the phase of its tasks as a whole."""
    root: Node = {
        "id": WORKFLOW,
        "name": WORKFLOW,
        "displayName": WORKFLOW,
        "type": "DAG",
        "phase": dag,
        "startedAt": at(1),
        "finishedAt": at(20) if dag != "Running" else None,
        "templateName": "words",
    }
    every = {node["id"]: node for node in (root, *nodes)}
    metadata = {"name": WORKFLOW, "namespace": "daintree", "creationTimestamp": at(0)}
    status = {"phase": phase, "startedAt": at(1), "finishedAt": None, "nodes": every}
    made = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata}
    return {**made, "status": status, **more}


def compressed(made: Mapping[str, Any]) -> Node:
    """The same Workflow as the controller writes it when it has grown too large."""
    status = dict(made["status"])
    packed = gzip.compress(json.dumps(status.pop("nodes")).encode())
    return {**made, "status": {**status, "compressedNodes": base64.b64encode(packed).decode()}}


def exit_handler(phase: str = "Running") -> list[Node]:
    """The node of the exit handler, with what Argo passes it: the failures are JSON in JSON, the DAG among them."""
    failures = [{"displayName": WORKFLOW, "message": 'child "x" failed', "phase": "Failed"}]
    name = f"{WORKFLOW}.onExit"
    values = [
        {"name": "status", "value": "Failed"},
        {"name": "failures", "value": json.dumps(json.dumps(failures))},
    ]
    return [
        {
            "id": f"{WORKFLOW}-{node_number(name)}",
            "name": name,
            "displayName": name,
            "type": "Pod",
            "phase": phase,
            "templateName": "record",
            "nodeFlag": {"hooked": True},
            "inputs": {"parameters": values},
            "startedAt": at(21),
        }
    ]
