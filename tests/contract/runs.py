"""Runs, records and sources to put into a store under test."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from daintree.digest import digest_record
from daintree.store.garbage import GarbageCollection, Policy, Roots, select
from daintree.store.integrity import hash_artifact
from daintree.store.records import Artifact, IndexRecord, Keys, RunManifest, index_record_of
from daintree.store.store import Store

RUN = "20260301T101500000Z-00000000"
OTHER_RUN = "20260301T101500001Z-11111111"
FILES = {"a.csv": b"x\n1\n", "deep/er/b.csv": b"y\n2\n", "empty": b""}
# Long after whatever a test writes.
NOW = time.time() + 10 * 86400.0


def key_of(name: object) -> str:
    """A stage key."""
    return digest_record("test", 1, str(name))


KEY = key_of("key")
INDEX_PATH = f"_cache/{KEY[7:]}"


def location_of(run: str) -> str:
    """Where a run goes under the default prefix."""
    return f"shop/train/0123456789abcdef0123/2026/03/01/{run}"


def record_of(run: str = RUN, **changed: Any) -> IndexRecord:
    """The index record of a run that need not exist."""
    record = IndexRecord(
        run=run,
        location=location_of(run),
        content=key_of("content"),
        record="0" * 64,
        record_bytes=300,
        digest=key_of("output"),
        count=2,
        bytes=30,
        inputs={"clean": key_of("input")},
        seconds=1.5,
    )
    return msgspec.structs.replace(record, **changed)


def manifest_of(run: str = RUN, output: Artifact | None = None, **changed: Any) -> RunManifest:
    """The manifest of a run: failed, unless there is an output."""
    manifest = RunManifest(
        run=run,
        location=location_of(run),
        pipeline="words",
        stage="train",
        component="shop/train",
        version=key_of("version"),
        parameters={"epochs": 50},
        environment="image",
        runner="local",
        keys=Keys(key_of("recipe"), key_of("content")),
        output=output,
        result="succeeded" if output else "failed",
        failure="" if output else "ended with exit code 1",
        started="2026-03-01T10:15:00Z",
        finished="2026-03-01T10:15:01Z",
        seconds=1.5,
    )
    return msgspec.structs.replace(manifest, **changed)


def fill(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write these files below a directory."""
    for path, content in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def contents(directory: Path) -> dict[str, bytes]:
    """The files below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def publish(
    store: Store, run: str = RUN, files: Mapping[str, bytes] = FILES, **changed: Any
) -> RunManifest:
    """Publish a run that wrote these files; its manifest."""
    with store.stage(run) as staging:
        fill(staging.output, files)
        staging.log.write_bytes(b"said\n")
        manifest = manifest_of(run, hash_artifact(staging.output), **changed)
        return store.publish_run(staging, manifest)


def publish_failed(store: Store, run: str = RUN, **changed: Any) -> RunManifest:
    """Publish a run that wrote something and then failed; its manifest."""
    with store.stage(run) as staging:
        fill(staging.output, FILES)
        staging.log.write_bytes(b"it broke\n")
        manifest = manifest_of(run, **changed)
        return store.publish_run(staging, manifest)


def publish_indexed(
    store: Store, run: str = RUN, files: Mapping[str, bytes] = FILES
) -> tuple[RunManifest, IndexRecord]:
    """Publish a run and let its content key lead to it."""
    manifest = publish(store, run, files)
    return manifest, store.publish_index(manifest.keys.content, index_record_of(manifest))


def add_source(
    store: Store, files: Mapping[str, bytes] = FILES, run: str = RUN
) -> tuple[str, Path]:
    """Keep a source of these files; its digest and directory."""
    with store.stage(run) as staging:
        fill(staging.output, files)
        artifact = hash_artifact(staging.output)
        return artifact.digest, store.add_source(staging, artifact)


def fetched(store: Store, record: IndexRecord) -> dict[str, bytes]:
    """The files of a run, as whoever computes with them gets them."""
    store.check(record, thorough=True)
    return contents(store.output_path(record))


def nothing_published(store: Store) -> bool:
    """Whether nobody finds any run."""
    unfound = store.read_run(location_of(RUN)) is None and store.records.find_run(RUN) is None
    return unfound and store.records.stages_with_history() == [] and store.usage()[0] == 0


def collect(
    store: Store,
    *,
    grace: float = 0,
    later: float = 0,
    roots: Iterable[str] = (),
    cache: bool = False,
) -> list[str]:
    """Collect everything but the runs at these locations, so many seconds from now, in the store or its cache; what became of each."""
    now = NOW + later
    part = GarbageCollection(store, cache=cache)
    policy = Policy(older_than=0, grace=grace)
    doomed = select(part.survey(), Roots(frozenset(roots)), policy, now)
    return [str(outcome) for outcome in part.collect(doomed, grace, now, "ana@laptop")]
