"""The JSON Schemas that editors use agree with what the reader accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from daintree.errors import SpecError
from daintree.spec.component import read_component
from daintree.spec.pipeline import json_schema, read_pipeline

ROOT = Path(__file__).parents[2]
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "default"}


def accepts(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    """Whether `value` is valid; a keyword that this validator does not know is an error of the test."""
    rules = {key: rule for key, rule in schema.items() if key not in ANNOTATIONS}
    return all(_keeps(key, rule, value, rules, root) for key, rule in rules.items())


def _keeps(
    key: str, rule: Any, value: Any, rules: Mapping[str, Any], root: Mapping[str, Any]
) -> bool:
    properties = rules.get("properties", {})
    match key:
        case "$ref":
            return accepts(root["$defs"][rule.removeprefix("#/$defs/")], value, root)
        case "anyOf":
            return any(accepts(option, value, root) for option in rule)
        case "oneOf":
            return [accepts(option, value, root) for option in rule].count(True) == 1
        case "type":
            return isinstance(value, TYPES[rule]) and (
                rule == "boolean" or not isinstance(value, bool)
            )
        case "enum":
            return value in rule
        case "required":
            return set(rule) <= set(value)
        case "properties":
            return all(accepts(rule[name], value[name], root) for name in rule if name in value)
        case "additionalProperties":
            extra = [value[name] for name in value if name not in properties]
            return not extra if rule is False else all(accepts(rule, item, root) for item in extra)
        case "contains":
            return any(accepts(rule, item, root) for item in value)
        case "items":
            return all(accepts(rule, item, root) for item in value)
    raise AssertionError(f"the validator does not know {key}")


def valid(kind: str, value: Any) -> bool:
    schema = json.loads(json.dumps(json_schema(kind)))
    return accepts(schema, value, schema)


PIPELINES: list[tuple[bool, Any]] = [
    (True, {"source": "a.gz", "output": "out", "stages": ["common/load", "common/clean"]}),
    (True, {"source": "a.gz", "stages": ["a", {"component": "b", "params": {"x": 1, "y": "z"}}]}),
    (True, {"source": {"location": "a", "sha256": "ab" * 32}, "stages": ["a"]}),
    (True, {"source": "a", "output": {"path": "o", "stages": ["a"]}, "stages": ["a"]}),
    (True, {"source": "a", "output": None, "stages": ["a"]}),
    (True, {"stages": [{"component": "a", "refresh": "1d"}, "b"]}),
    (False, {"stages": [{"component": "a", "refresh": "2d"}, "b"]}),
    (False, {"sources": {"x": {"location": ""}}, "source": "a", "stages": ["a"]}),
    (True, {"source": "a", "stages": [{"component": "a", "needs": [], "resources": {"cpu": 1}}]}),
    (False, {"source": "a"}),
    (False, {"stages": ["a"]}),
    (False, {"source": 3, "stages": ["a"]}),
    (False, {"source": "a", "stages": "a"}),
    (False, {"source": "a", "stages": ["a"], "stage": []}),
    (True, {"source": "a", "stages": [{"component": "a", "version": "0" * 20}]}),
    (True, {"source": "a", "stages": [{"image": "registry:5000/a@sha256:" + "0" * 64}]}),
    (False, {"source": "a", "stages": [{"name": "a"}]}),
    (False, {"source": "a", "stages": [{"component": "a", "image": "a@sha256:" + "0" * 64}]}),
    (False, {"source": "a", "stages": [{"component": "a", "params": {"x": [1]}}]}),
    (False, {"source": "a", "stages": [{"component": "a", "parms": {}}]}),
    (False, {"source": "a", "output": {"path": "o"}, "stages": ["a"]}),
    (False, []),
]


@pytest.mark.parametrize(("good", "content"), PIPELINES)
def test_schema_and_reader_agree_on_pipelines(good: bool, content: Any) -> None:
    assert valid("pipeline", content) is good
    text = json.dumps(content).encode()
    if good:
        source = read_pipeline(text, "pipelines/x.json", "x").sources.get("")
        expected = "a.gz"[: 4 if "a.gz" in str(content) else 1] if "source" in content else ""
        assert (source.location if source else "") == expected
    else:
        with pytest.raises(SpecError):
            read_pipeline(text, "pipelines/x.json", "x")


@pytest.mark.parametrize("path", sorted(ROOT.glob("pipelines/*.yaml")), ids=lambda path: path.name)
def test_the_projects_pipelines_are_valid(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert valid("pipeline", content)
    as_json = read_pipeline(json.dumps(content).encode(), "pipelines/x.json", "x")
    as_yaml = read_pipeline(path.read_bytes(), "pipelines/x.yaml", "x")
    assert [(s.name, s.component, s.needs) for s in as_json.stages] == [
        (s.name, s.component, s.needs) for s in as_yaml.stages
    ]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("components/*/*/component.yaml")), ids=lambda path: path.parent.name
)
def test_the_projects_components_are_valid(path: Path) -> None:
    assert valid("component", yaml.safe_load(path.read_text(encoding="utf-8")))
    assert read_component(path.read_bytes(), str(path))


@pytest.mark.parametrize(
    ("good", "content"),
    [
        (True, {}),
        (True, {"params": {"a": {"type": "int", "default": 1}}, "uses": ["lib/x"]}),
        (False, {"params": {"a": {"type": "integer"}}}),
        (False, {"params": {"a": "int"}}),
        (False, {"network": "yes"}),
        (False, {"use": []}),
    ],
)
def test_schema_and_reader_agree_on_components(good: bool, content: Any) -> None:
    assert valid("component", content) is good
    text = json.dumps(content).encode()
    if good:
        assert (
            read_component(text, "component.json").params.keys() == content.get("params", {}).keys()
        )
    else:
        with pytest.raises(SpecError):
            read_component(text, "component.json")


@pytest.mark.parametrize("kind", ["pipeline", "component"])
def test_a_schema_says_which_dialect_it_is_and_explains_itself(kind: str) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"].startswith(f"A {kind}")
    assert all(definition["description"] for definition in schema["$defs"].values())


def test_there_is_no_schema_of_anything_else() -> None:
    with pytest.raises(KeyError):
        json_schema("workflow")
