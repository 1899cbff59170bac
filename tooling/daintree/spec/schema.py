"""JSON Schemas of the files people write, made from the types that read them."""

from __future__ import annotations

from typing import Any

import msgspec

from daintree.spec.component import ComponentSpec
from daintree.spec.pipeline import PipelineSpec

KINDS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "pipeline": (PipelineSpec, "A pipeline: a source, stages, an output"),
    "component": (ComponentSpec, "A component's description of itself"),
}


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of pipeline or component files. Raises KeyError for another kind."""
    spec, title = KINDS[kind]
    schema = msgspec.json.schema(spec)
    stage = schema.get("$defs", {}).get("StageSpec")
    if stage:
        stage["oneOf"] = [{"required": ["component"]}, {"required": ["image"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
