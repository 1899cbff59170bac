"""A plan of a small pipeline with decisions of the test's choice, over a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from daintree.pipeline.decisions import Decision, Hit, SourceIdentity
from daintree.pipeline.plan import Plan, Planned, bind
from daintree.pipeline.session import Request, Session
from daintree.settings import read_settings
from daintree.spec.pipeline import read_pipeline
from daintree.store.records import Artifact, FileEntry, IndexRecord, InputRecord, Keys, RunManifest
from daintree.store.store import Store, directory_store
from tests.component_version import component_version

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
        content="sha256:content",
        record="0" * 64,
        record_bytes=300,
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
    return directory_store(tmp_path / "store")


@pytest.fixture
def planned(tmp_path: Path, store: Store) -> Callable[..., Planned]:
    """A plan in which each stage has the decision given, in a session; `last` are the stages' latest runs."""

    def planned(
        decisions: Mapping[str, Decision],
        last: Mapping[str, RunManifest] | None = None,
        pipeline: bytes = PIPELINE,
        warnings: tuple[str, ...] = (),
    ) -> Planned:
        file = tmp_path / "pipelines" / "x.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(pipeline)
        for stage, run in (last or {}).items():
            if store.read_run(f"at/{stage}"):
                continue
            with store.stage(run.run) as staging:
                staging.log.touch()
                store.publish_run(
                    staging, msgspec.structs.replace(run, output=None, location=f"at/{stage}")
                )
        read = read_pipeline(pipeline, "pipelines/x.yaml", "x")
        versions = {
            stage.component: component_version(
                stage.component,
                f"sha256:{stage.component}",
                "main.py",
                warnings=warnings,
            )
            for stage in read.stages
        }
        environ = {"HOME": str(tmp_path), "DAINTREE_STORE": str(store.directory)}
        request = Request(pipeline="x", directory=tmp_path)
        session = Session(read_settings(tmp_path, environ), request, ())
        plan = Plan(
            request=request,
            pipeline=read,
            versions=versions,
            identities={"": IDENTITY},
            stages=bind(read, versions, {}, lambda spec: "image", {"": IDENTITY}, {}),
            runner="local",
            recipe_records={},
            decisions=dict(decisions),
        )
        return Planned(session, plan)

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
