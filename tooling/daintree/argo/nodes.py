"""A Workflow as the cluster's API writes it: the parts of it that are read, and the nodes of its status, wherever they are kept."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from daintree.cluster.protocol import Object
from daintree.errors import ClusterError

_POD_NAMES = "workflows.argoproj.io/pod-name-format"
# Argo cuts what stands before a pod's number.
_LONGEST_POD_STEM = 242


class Place(msgspec.Struct, frozen=True):
    """Where an artifact lies: its key in that bucket, or, without one, in the Workflow's own repository; no key: in no bucket."""

    key: str = ""
    bucket: str = ""


class _S3(msgspec.Struct, frozen=True):
    key: str = ""
    bucket: str = ""
    endpoint: str = ""

    def place(self, endpoints: Collection[str]) -> Place:
        """Argo looks at a bucket only where an endpoint stands beside it; one that is none of `endpoints` is the repository's."""
        return Place(self.key, self.bucket if self.endpoint in endpoints else "")


class _Artifact(msgspec.Struct, frozen=True):
    name: str
    s3: _S3 | None = None


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    value: Any = None


class Values(msgspec.Struct, frozen=True, rename="camel"):
    """A node's `inputs` or `outputs`."""

    parameters: tuple[_Parameter, ...] | None = None
    artifacts: tuple[_Artifact, ...] | None = None
    exit_code: str | None = None

    @property
    def texts(self) -> dict[str, str]:
        """The parameters' values; "" for one without."""
        found = {one.name: one.value for one in self.parameters or ()}
        return {name: "" if value is None else str(value) for name, value in found.items()}

    def places(self, endpoints: Collection[str]) -> dict[str, Place]:
        """Where the artifacts lie; `endpoints` are those that the manifest names."""
        return {
            one.name: one.s3.place(endpoints) if one.s3 else Place() for one in self.artifacts or ()
        }


class _Flag(msgspec.Struct, frozen=True):
    hooked: bool = False


class _TemplateRef(msgspec.Struct, frozen=True):
    template: str = ""


class _Memoization(msgspec.Struct, frozen=True):
    hit: bool = False


class Node(msgspec.Struct, frozen=True, rename="camel"):
    """One node of a status. `boundary` is the id of the DAG that it belongs to."""

    id: str
    name: str
    type: str = ""
    phase: Literal[
        "", "Pending", "Running", "Succeeded", "Failed", "Error", "Omitted", "Skipped"
    ] = ""
    template_name: str = ""
    template_ref: _TemplateRef | None = None
    boundary: str = msgspec.field(default="", name="boundaryID")
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    node_flag: _Flag | None = None
    inputs: Values | None = None
    outputs: Values | None = None
    children: tuple[str, ...] | None = None
    host_node_name: str = ""
    memoization_status: _Memoization | None = None
    task_result_synced: bool | None = None

    @property
    def template(self) -> str:
        """The name of its template; "" for a node that stands for others."""
        return self.template_ref.template if self.template_ref else self.template_name

    @property
    def hooked(self) -> bool:
        """Whether a hook or the exit handler made it."""
        return bool(self.node_flag and self.node_flag.hooked)

    @property
    def memoized(self) -> bool:
        """Whether its outputs are another's."""
        return bool(self.memoization_status and self.memoization_status.hit)


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """A Workflow's metadata, and the `endpoints` of S3 servers that its specification names.

    A controller may write its repository's own beside each artifact: that one nobody has chosen for this artifact.
    """

    name: str
    creation_timestamp: datetime
    annotations: dict[str, str] | None = None
    endpoints: frozenset[str] = frozenset()

    def pod(self, node: Node) -> str:
        """The name of a node's pod: `<Workflow>-<template>-<number>`, the number being that of the node's id."""
        if (self.annotations or {}).get(_POD_NAMES) == "v1" or node.id == self.name:
            return node.id
        stem = "-".join(part for part in (self.name, node.template) if part)
        return f"{stem[:_LONGEST_POD_STEM]}-{node.id.rpartition('-')[2]}"


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """A Workflow's status; its nodes stand in one of three places."""

    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    nodes: dict[str, Node] | None = None
    compressed_nodes: str = ""
    offload_node_status_version: str = ""


class _Workflow(msgspec.Struct, frozen=True):
    metadata: Metadata
    status: Status | None = None


def read_nodes(workflow: Object) -> tuple[Metadata, Status, Mapping[str, Node]]:
    """A Workflow's metadata, its status, and the status' nodes by id.

    Raises ClusterError for nodes that the controller keeps in a database of its own, and for what cannot be read.
    """
    try:
        read = msgspec.convert(workflow, type=_Workflow, strict=False)
        status = read.status or Status()
        metadata = msgspec.structs.replace(
            read.metadata, endpoints=frozenset(_endpoints(_specifications(workflow)))
        )
        return metadata, status, _nodes(metadata.name, status)
    except msgspec.DecodeError as error:
        raise ClusterError(
            f"the status of the Workflow {_name(workflow)} cannot be read: {error}",
            hint="does the cluster run a version of Argo Workflows that this tooling does not know?",
        ) from None


def _specifications(workflow: Object) -> list[Any]:
    """What was submitted, and what Argo has made of it and of the WorkflowTemplate that it refers to."""
    status = workflow.get("status") or {}
    return [workflow.get("spec"), status.get("storedWorkflowTemplateSpec")]


def _endpoints(part: Any) -> Iterator[str]:
    """Every endpoint that stands in a part of a specification."""
    if isinstance(part, Mapping):
        if isinstance(endpoint := part.get("endpoint"), str) and endpoint:
            yield endpoint
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _endpoints(one)


def _nodes(workflow: str, status: Status) -> dict[str, Node]:
    if status.nodes:
        return status.nodes
    if status.compressed_nodes:
        return msgspec.json.decode(_unpacked(workflow, status), type=dict[str, Node], strict=False)
    if status.offload_node_status_version:
        raise ClusterError(
            f"the status of the Workflow {workflow} is not in the cluster's API: its controller keeps it in a database",
            hint="switch nodeStatusOffLoad off in the controller's configuration; then its status is compressed",
        )
    return {}


def _unpacked(workflow: str, status: Status) -> bytes:
    try:
        return gzip.decompress(base64.b64decode(status.compressed_nodes, validate=True))
    except (binascii.Error, OSError, EOFError, zlib.error):
        raise ClusterError(
            f"the compressed status of the Workflow {workflow} cannot be read: it is no gzip",
            hint="the controller's environment may name another algorithm; gzip is Argo's own choice",
        ) from None


def _name(workflow: Object) -> str:
    metadata = workflow.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
