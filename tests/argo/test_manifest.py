"""Manifests: their very bytes, what Argo's own schema says of them, and any pipeline's."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from daintree.argo.manifest import workflow_manifest
from daintree.argo.submission import Submission, SubmittedHit, SubmittedSource
from daintree.commands.argo import manifest_text
from daintree.errors import SourceError
from daintree.spec.component import Resources
from tests.argo.any_pipeline import submissions, with_parameters
from tests.argo.conftest import cluster, digest, make_submission, submitted_stage
from tests.services.argo_check import faults, read_documents
from tests.services.argo_expansion import kubelet, replace_tags

# All that the controller writes in its own time zone; seconds since 1970 are everywhere the same.
LOCAL_TIME = re.compile(r"creationTimestamp(?!\.s\b)|scheduledTime|sprig\.(now|date)")
GOLDEN = Path(__file__).parents[1] / "golden/argo"
STRANGE = {
    "braces": "{{workflow.name}}",
    "dollars": "$(HOME) $$ $x",
    "lines": "one\ntwo",
    "quotes": "'; rm -rf / #\"",
    "unicode": "größe \u200b",
}


SEQUENCE = make_submission(
    submitted_stage("load"),
    submitted_stage("clean", needs=("load",)),
    submitted_stage("count", needs=("clean",), resources=Resources(cpu=1.5, memory="2Gi")),
)
FAN_IN = make_submission(
    submitted_stage("load"),
    submitted_stage("strict", needs=("load",), template="text-clean", component="text/clean"),
    submitted_stage(
        "lax_one", needs=("load",), template="text-clean", component="text/clean", task="lax-one"
    ),
    submitted_stage("join", needs=("strict", "lax_one")),
)
PART_HITS = make_submission(
    submitted_stage("count", needs=("clean",)),
    submitted_stage("join", needs=("count", "clean")),
    hits=(SubmittedHit(name="clean", location="text/clean/1/2026/03/01/run", digest=digest("7")),),
)
PARAMETERS = make_submission(with_parameters("load", STRANGE))
IN_PLACE = make_submission(
    submitted_stage("load"),
    sources=(
        SubmittedSource(
            identity=digest("5"),
            digest=digest("5"),
            origin="s3://raw/reviews/2026.json.gz",
            url="s3://raw/reviews/2026.json.gz",
            file="2026.json.gz",
            endpoint="http://minio.minio:9000",
        ),
    ),
)
# A file in a bucket and an uploaded directory, a stage without input, one without output, and stages that read it.
SEVERAL_SOURCES = make_submission(
    submitted_stage("join", sources=("ratings", "items")),
    submitted_stage("query", sources=(), refresh="2026-03-01"),
    submitted_stage("tell", needs=("join",), receipt=True),
    submitted_stage("after", needs=("query", "tell"), empty_needs=("tell",)),
    submitted_stage("last", needs=("tell",), empty_needs=("tell",)),
    sources=(
        msgspec.structs.replace(IN_PLACE.sources[0], name="ratings"),
        SubmittedSource(name="items", identity=digest("6"), digest=digest("6"), origin="items"),
    ),
)
CASES: dict[str, tuple[Submission, dict[str, Any]]] = {
    "sequence": (SEQUENCE, {}),
    "fan_in": (FAN_IN, {}),
    "part_hits": (PART_HITS, {}),
    "parameters": (PARAMETERS, {}),
    "source_in_place": (IN_PLACE, {}),
    "several_sources": (SEVERAL_SOURCES, {}),
    "secrets": (
        make_submission(submitted_stage("load")),
        {"argo_pull_secret": "registry-key", "argo_node_selector": {"pool": "batch"}},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_manifest_has_always_the_same_bytes(name: str) -> None:
    submission, settings = CASES[name]
    text = manifest_text([workflow_manifest(submission, cluster(**settings))], ["a comment"])
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("RENEW_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_argo_takes_it(name: str) -> None:
    [document] = read_documents((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
    assert faults(document) == []


def test_nothing_to_compute_is_no_manifest() -> None:
    with pytest.raises(ValueError, match="every stage is a hit"):
        workflow_manifest(make_submission(), cluster())


def test_a_further_attempt_differs_in_name_alone() -> None:
    first, second = (workflow_manifest(SEQUENCE, cluster(), attempt) for attempt in (1, 2))
    assert second["metadata"].pop("name") == first["metadata"].pop("name") + "-2"
    assert first == second


def test_no_secret_is_in_a_manifest() -> None:
    text = manifest_text([workflow_manifest(SEQUENCE, cluster())])
    assert "the-secret-key" not in text
    assert "the-access-key" not in text


def test_a_whole_bucket_is_no_source_for_pods() -> None:
    source = msgspec.structs.replace(IN_PLACE.sources[0], url="s3://raw", file="")
    with pytest.raises(SourceError, match=r"^the source s3://raw is a whole bucket") as failure:
        workflow_manifest(msgspec.structs.replace(IN_PLACE, sources=(source,)), cluster())
    assert failure.value.hint == "name a prefix: s3://raw/…"


def test_a_source_in_the_stores_own_bucket_is_read_through_its_repository() -> None:
    source = msgspec.structs.replace(IN_PLACE.sources[0], url="s3://ml-artifacts/raw", file="")
    manifest = workflow_manifest(msgspec.structs.replace(IN_PLACE, sources=(source,)), cluster())
    [artifact] = task(manifest, "load")["arguments"]["artifacts"]
    assert artifact["s3"] == {"key": "raw"}


def task(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """A task of the pipeline's template."""
    tasks = manifest["spec"]["templates"][0]["dag"]["tasks"]
    return next(task for task in tasks if task["name"] == name)


def arguments_received(manifest: dict[str, Any], name: str) -> list[str]:
    """What the container of a task gets, as Argo and the kubelet make it."""
    values = manifest["spec"].get("arguments", {}).get("parameters", [])
    scope = {f"workflow.parameters.{p['name']}": p["value"] for p in values}
    called = task(manifest, name)
    given = replace_tags(called["arguments"], scope, ignore_missing=True)["parameters"]
    template = next(t for t in manifest["spec"]["templates"] if t["name"] == called["template"])
    inputs = {f"inputs.parameters.{p['name']}": p["value"] for p in given}
    container = replace_tags(template["container"], {**scope, **inputs})
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    return [kubelet(text, variables) for text in (*container["command"], *container["args"])]


def test_strange_values_arrive_in_the_container_as_they_are() -> None:
    manifest = workflow_manifest(PARAMETERS, cluster())
    got = arguments_received(manifest, "load")
    assert got[-len(STRANGE) :] == [f"--{name}={value}" for name, value in STRANGE.items()]


def test_a_strange_entrypoint_arrives_as_it_is() -> None:
    command = ("sh", "-c", "echo {{workflow.name}} $HOME", "$(HOME)")
    manifest = workflow_manifest(
        make_submission(submitted_stage("load", command=command)), cluster()
    )
    assert arguments_received(manifest, "load")[: len(command)] == [*command]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(submissions())
def test_any_pipeline_is_a_workflow_that_argo_takes(submission: Submission) -> None:
    manifest = workflow_manifest(submission, cluster())
    [document] = read_documents(manifest_text([manifest]))
    assert document == manifest
    assert faults(document) == []
    for stage in submission.stages:
        assert arguments_received(manifest, stage.task) == [*stage.command, *stage.arguments]


def test_nothing_in_a_manifest_depends_on_the_controller_s_time_zone() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.yaml")}
    assert "creationTimestamp.s" in texts["schedule.yaml"]
    assert [name for name, text in texts.items() if LOCAL_TIME.search(text)] == []
