"""The bytes of every record that a store keeps: who changes them changes what others have stored.

A new field with a default is read from old records and belongs into a new file beside the old one, which stays: it
must be readable for ever. Anything else needs a new schema number and a way to read the old.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daintree.store.backend import Unreadable
from daintree.store.layout import index_path, name_path, note_path, run_path
from daintree.store.records import (
    DamageRecord,
    FileEntry,
    Holder,
    IndexRecord,
    InputRecord,
    Keys,
    LeaseRecord,
    NameChange,
    NameRecord,
    NoteRecord,
    OriginRecord,
    RunManifest,
    SourceRecord,
    Tombstone,
    artifact_of,
    decode,
    encode,
    history_entry_of,
    index_record_of,
    named_run_of,
    readable,
)

HERE = Path(__file__).parent
RUN = "20260301T101500000Z-0a1b2c3d"
LOCATION = f"item2vec/train/0123456789abcdef0123/2026/03/01/{RUN}"
OUTPUT = artifact_of(
    [
        FileEntry("vectors.csv", 1024, "a" * 64),
        FileEntry("sub/größe 1.csv", 0, "b" * 64),
    ]
)
SUCCEEDED = RunManifest(
    run=RUN,
    location=LOCATION,
    pipeline="item2vec",
    stage="train",
    component="item2vec/train",
    version="sha256:" + "1" * 64,
    version_files={"main.py": "2" * 40, "Dockerfile": "3" * 40},
    parameters={"epochs": 50, "rate": 0.025, "flag": True, "name": 'a "b"\n', "threads": 4},
    ineffective=("threads",),
    environment="venv-3.11-linux-x86_64",
    runner="local",
    keys=Keys("sha256:" + "4" * 64, "sha256:" + "5" * 64),
    inputs=(
        InputRecord("clean", "sha256:" + "6" * 64, "common/clean-csv/somewhere"),
        InputRecord("load", "sha256:" + "7" * 64, "common/load-jsonl/somewhere"),
    ),
    output=OUTPUT,
    result="succeeded",
    reason="params.epochs 20 → 50",
    started="2026-03-01T10:15:00Z",
    finished="2026-03-01T10:15:12Z",
    seconds=12.375,
    peak_memory=123456789,
    user="ana",
    host="laptop",
    commit="8" * 40,
    dirty=True,
    tooling="0.1.0",
    python="3.11.7",
)
FAILED = msgspec.structs.replace(
    SUCCEEDED,
    version_files={},
    inputs=(),
    output=None,
    result="failed",
    failure="was killed by SIGKILL (out of memory?)",
    exit_code=-9,
    dirty=False,
)
IN_CLUSTER = msgspec.structs.replace(
    SUCCEEDED,
    run="20260301T101500000Z-item2vec-0123456789-train-1",
    location="item2vec/train/0123456789abcdef0123/2026/03/01/20260301T101500000Z-item2vec-0123456789-train-1",
    environment="image",
    runner="argo",
    image="sha256:" + "9" * 64,
    seconds=12.0,
    peak_memory=0,
    host="node-7",
    workflow="item2vec-0123456789",
    pod="item2vec-0123456789-item2vec-train-2172006682",
    dirty=False,
    python="",
)
OF_A_PROJECT = msgspec.structs.replace(SUCCEEDED, project="shop")
HOLDER = Holder(
    pipeline="item2vec",
    stage="train",
    key=SUCCEEDED.keys.content,
    user="ana",
    host="laptop",
    since="2026-03-01T10:15:00Z",
)
ENTRY = history_entry_of(SUCCEEDED, {"test.hr@10": 0.5})
RECORDS: dict[str, msgspec.Struct] = {
    "index_record.json": index_record_of(SUCCEEDED),
    "run_succeeded.json": SUCCEEDED,
    "run_failed.json": FAILED,
    "run_in_cluster.json": IN_CLUSTER,
    "run_of_a_project.json": OF_A_PROJECT,
    "tombstone.json": Tombstone(
        retired=index_record_of(SUCCEEDED), when="2026-04-01T00:00:00Z", by="ana"
    ),
    "history_entry.json": ENTRY,
    "name.json": NameRecord(
        pipeline="item2vec",
        name="production",
        runs={"train": named_run_of(SUCCEEDED)},
        changes=(NameChange("2026-03-02T08:00:00Z", "ana", "best so far", {"train": RUN}),),
    ),
    "source_record.json": SourceRecord(artifact=OUTPUT),
    "note.json": NoteRecord(content=b"a note"),
    "lease.json": LeaseRecord(nonce="0a1b", machine="laptop", seconds=20.0),
    "lease_held.json": LeaseRecord(nonce="0a1b", machine="laptop", seconds=20.0, holder=HOLDER),
    "origin.json": OriginRecord(computed=True, right="writer", key="0a1b"),
    "damage.json": DamageRecord(file="vectors.csv", problem="damaged"),
}
PATHS = {
    "run_succeeded.json": run_path(LOCATION),
    "run_failed.json": run_path(LOCATION),
    "run_of_a_project.json": run_path(LOCATION),
    "run_in_cluster.json": run_path(IN_CLUSTER.location),
    "index_record.json": index_path(SUCCEEDED.keys.content),
    "tombstone.json": index_path(SUCCEEDED.keys.content),
    "history_entry.json": ENTRY.path,
    "name.json": name_path("item2vec", "production"),
}
OLDER = "older_index_record.json"


def path_of(name: str) -> str:
    return PATHS.get(name, note_path("a"))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_bytes_it_always_had(name: str) -> None:
    assert encode(RECORDS[name], path_of(name)) == (HERE / name).read_bytes()


@pytest.mark.parametrize("name", RECORDS)
def test_what_was_written_then_is_read_now(name: str) -> None:
    kind = type(RECORDS[name])
    content = (HERE / name).read_bytes()
    assert readable(decode(kind, content, path_of(name))) == RECORDS[name]


def test_a_record_of_the_first_schema_is_known_as_one() -> None:
    content = (HERE / OLDER).read_bytes()
    path = index_path(SUCCEEDED.keys.content)
    assert decode(IndexRecord, content, path) == Unreadable("older", "was made by an older version")


def test_every_file_here_is_compared() -> None:
    assert {path.name for path in HERE.glob("*.json")} == {*RECORDS, OLDER}


def test_an_index_record_is_small() -> None:
    assert isinstance(RECORDS["index_record.json"], IndexRecord)
    assert len(encode(RECORDS["index_record.json"], path_of("index_record.json"))) < 1024
