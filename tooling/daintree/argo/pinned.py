"""A pipeline that carries its components' versions along: it plans in a cluster, where there are no sources, to the same keys."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from daintree.errors import SourceError
from daintree.plan import BoundStage
from daintree.run.planning import Plan

_REMOTE = ("http://", "https://", "s3://")
# What Argo or the kubelet may take for a place to put something in, as JSON may also write it.
_ESCAPED = {"{": "\\u007b", "}": "\\u007d", "$": "\\u0024"}


def pinned_pipeline(plan: Plan) -> str:
    """The plan's pipeline as a JSON file in which each stage names its version, parameters and needs.

    A project without sources plans from it what this one plans, whose `--set` and `--source` are in it. Neither Argo nor
    Kubernetes finds anything to replace in the text. Raises SourceError for a source that only this machine has, or whose
    address holds a secret.
    """
    source = _source(plan)
    described = {"description": plan.pipeline.description} if plan.pipeline.description else {}
    stages = [_stage(plan, stage) for stage in plan.stages]
    return braceless_json({**described, "source": source, "stages": stages}) + "\n"


def source_location(plan: Plan) -> str:
    """Where the pipeline's source is: as it was typed, else as the file says."""
    return plan.request.source or plan.pipeline.source


def _source(plan: Plan) -> str | dict[str, str]:
    location = source_location(plan)
    if not location.lower().startswith(_REMOTE):
        raise SourceError(
            f"the source {location} is on this machine, where no pod can look whether it has changed",
            hint="--source s3://bucket/prefix or https://…",
        )
    parts = urlsplit(location)
    if parts.username or parts.password or parts.query:
        raise SourceError(
            f"the address of the source {plan.identity.origin} has a password or a query, which no manifest may hold",
            hint="give pods an address that needs none, or put the source into a bucket",
        )
    if plan.pipeline.source_sha256 and not plan.request.source:
        return {"location": location, "sha256": plan.pipeline.source_sha256}
    return location


def _stage(plan: Plan, bound: BoundStage) -> dict[str, Any]:
    said = plan.pipeline.stage(bound.name)
    code = (
        {"image": said.image}
        if said.image
        else {"component": said.component, "version": plan.version_of(bound).digest}
    )
    resources = said.resources and {"cpu": said.resources.cpu, "memory": said.resources.memory}
    return {
        "name": bound.name,
        **code,
        "params": dict(bound.parameters),
        "needs": list(bound.needs),
        **({"resources": {k: v for k, v in resources.items() if v}} if resources else {}),
    }


def braceless_json(value: Any, indent: str = "") -> str:
    """JSON in which no brace stands in a string, and no two braces meet: each item of a mapping has its line.

    Mappings that are empty are left out. A list is one of mappings, or of plain values.
    """
    inner = indent + "  "
    if isinstance(value, dict) and value:
        items = [
            f"{_scalar(key)}: {braceless_json(item, inner)}"
            for key, item in value.items()
            if item != {}
        ]
        return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}" + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return (
            "[\n"
            + ",\n".join(inner + braceless_json(item, inner) for item in value)
            + f"\n{indent}]"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return "".join(_ESCAPED.get(character, character) for character in text)
