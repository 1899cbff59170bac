"""Runs in a store, whose outputs are published to a project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from daintree.errors import UsageError
from daintree.pipeline.output_directory import publish_output
from daintree.store.integrity import hash_artifact
from daintree.store.records import Artifact, IndexRecord, Keys, RunManifest, index_record_of
from daintree.store.store import Store, directory_store

Files: TypeAlias = Mapping[str, str]
KeepRun: TypeAlias = Callable[[str, Files], IndexRecord]
ONE = {"metrics.csv": "1\n", "sub/größe %20?.txt": "x"}
TWO = {"metrics.csv": "2\n", "vectors.csv": "y"}


def manifest_of(run: str, output: Artifact) -> RunManifest:
    """The record of a run that wrote this output."""
    return RunManifest(
        run=run,
        location=f"c/train/0123/{run}",
        pipeline="x",
        stage="train",
        component="c/train",
        version="sha256:" + "0" * 64,
        environment="image",
        runner="local",
        keys=Keys("", ""),
        output=output,
        result="succeeded",
        started="",
        finished="",
        seconds=1.0,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return directory_store(tmp_path / "store")


@pytest.fixture
def keep(store: Store) -> KeepRun:
    """Puts a run with these files as its output into the store."""

    def keep(run: str, files: Files) -> IndexRecord:
        with store.stage(run) as staging:
            for path, text in files.items():
                target = staging.output / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            staging.log.touch()
            manifest = manifest_of(run, hash_artifact(staging.output))
            manifest = store.publish_run(staging, manifest)
        return index_record_of(manifest)

    return keep


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project, beside the store."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def content(directory: Path) -> dict[str, str]:
    """The text of every file below a directory."""
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def publish(project: Path, record: IndexRecord, store: Store, name: str = "output/x") -> bool:
    """Publish the run's output to a directory of the project; whether anything was copied."""
    return publish_output(project / name, {"": record}, store, project)


def complaint(directory: Path, record: IndexRecord, store: Store, project: Path) -> UsageError:
    """What is said when the run's output is not published there."""
    with pytest.raises(UsageError) as failure:
        publish_output(directory, {"": record}, store, project)
    return failure.value
