"""A plan of a small pipeline with decisions of the test's choice, over a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from daintree.components import ComponentVersion
from daintree.pipeline.binding import bind
from daintree.pipeline.decisions import Decision, Hit, SourceIdentity
from daintree.pipeline.plan import Plan, Request
from daintree.pipeline.sources import open_source
from daintree.runners.local import LocalRunner
from daintree.settings import read_settings
from daintree.spec.component import ComponentSpec
from daintree.spec.pipeline import read_pipeline
from daintree.store.directory import DirectoryStore
from daintree.store.protocol import Store
from daintree.store.records import Artifact, FileEntry, IndexRecord, InputRecord, Keys, RunManifest

PIPELINE = b"""
description: a diamond
source: data.json
output: out
stages:
  - c/load
  - {name: left, component: c/work}
  - {name: right, component: c/work, needs: [load]}
  - {name: join, component: c/join, needs: [left, right]}
"""
IDENTITY = SourceIdentity("identity", "sha256:source", "data.json")


def a_record(run: str, seconds: float) -> IndexRecord:
    return IndexRecord(
        run=run,
        location=f"at/{run}",
        digest=f"sha256:{run}",
        count=2,
        bytes=1500,
        inputs={},
        seconds=seconds,
    )


@pytest.fixture
def hit() -> Callable[[str, float], Hit]:
    """A hit on a run that took so many seconds."""
    return lambda run, seconds: Hit(a_record(run, seconds))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def planned(tmp_path: Path, store: Store) -> Callable[..., Plan]:
    """A plan in which each stage has the decision given; `last` are the stages' latest runs."""

    def planned(
        decisions: Mapping[str, Decision],
        last: Mapping[str, RunManifest] | None = None,
        pipeline: bytes = PIPELINE,
        warnings: tuple[str, ...] = (),
    ) -> Plan:
        read = read_pipeline(pipeline, "pipelines/x.yaml", "x")
        versions = {
            stage.component: ComponentVersion(
                name=stage.component,
                digest=f"sha256:{stage.component}",
                files=(),
                spec=ComponentSpec(),
                libraries=(),
                bases=(),
                platform="linux/amd64",
                warnings=warnings,
            )
            for stage in read.stages
        }
        return Plan(
            request=Request(pipeline="x", directory=tmp_path),
            settings=read_settings(tmp_path, {"HOME": str(tmp_path)}),
            pipeline=read,
            versions=versions,
            source=open_source(read.source, "", tmp_path, store),
            identity=IDENTITY,
            stages=bind(read, versions, {}, "image", IDENTITY),
            store=store,
            runner=LocalRunner(tmp_path / "environments"),
            recipe_records={},
            decisions=dict(decisions),
            last_runs=dict(last or {}),
        )

    return planned


@pytest.fixture
def manifest() -> RunManifest:
    """The manifest of a run that succeeded, every field of it set."""
    return RunManifest(
        run="20240102T030405006Z-0a1b2c3d",
        location="c/join/0123/20240102T030405006Z-0a1b2c3d",
        pipeline="x",
        stage="join",
        component="c/join",
        version="sha256:" + "7" * 64,
        version_files={"main.py": "100644 abc"},
        parameters={"rate": 0.5, "name": "a b"},
        environment="venv-3.11-linux-x86_64",
        runner="local",
        keys=Keys("sha256:" + "1" * 64, "sha256:" + "2" * 64),
        inputs=(
            InputRecord("left", "sha256:left", "c/work/left"),
            InputRecord("", "sha256:source", "data.json"),
        ),
        output=Artifact("sha256:out", (FileEntry("a.csv", 1200, "ab" * 32),)),
        result="succeeded",
        reason="params.rate 1.0 → 0.5",
        started="2024-01-02T03:04:05Z",
        finished="2024-01-02T03:04:17Z",
        seconds=12.34,
        peak_memory=2_000_000,
        user="ada",
        host="engine",
        commit="f" * 40,
        dirty=True,
        tooling="0.1",
        python="3.11.7",
    )
