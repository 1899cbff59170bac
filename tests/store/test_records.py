"""Records: equal ones are equal bytes, and only a whole one of a known schema is ever read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.digest import digest_file
from daintree.store.records import (
    SCHEMA,
    Artifact,
    FileEntry,
    IndexRecord,
    InputRecord,
    Keys,
    RunManifest,
    artifact_of,
    decode,
    encode,
    index_record_of,
)

FILES = st.lists(
    st.builds(
        FileEntry,
        st.text(),
        st.integers(0, 2**60),
        st.text("0123456789abcdef", min_size=64, max_size=64),
    ),
    unique_by=lambda entry: entry.path,
    max_size=5,
)
RECORD = IndexRecord(
    run="20240101T000000000Z-00000000",
    location="a/b/0123/run",
    digest="sha256:" + "1" * 64,
    count=2,
    bytes=30,
    inputs={"clean": "sha256:" + "2" * 64},
    seconds=1.5,
)
OUTPUT = artifact_of([FileEntry("b.csv", 10, "b" * 64), FileEntry("a.csv", 20, "a" * 64)])
MANIFEST = RunManifest(
    run="20240101T000000000Z-00000000",
    location="a/b/0123/run",
    pipeline="item2vec",
    stage="train",
    component="item2vec/train",
    version="sha256:" + "3" * 64,
    parameters={"epochs": 50, "rate": 0.5, "flag": True, "name": "größe"},
    environment="venv-3.11-linux-x86_64",
    runner="local",
    keys=Keys("sha256:" + "4" * 64, "sha256:" + "5" * 64),
    inputs=(InputRecord("clean", "sha256:" + "2" * 64, "c/d/run"),),
    output=OUTPUT,
    result="succeeded",
    started="2024-01-01T00:00:00Z",
    finished="2024-01-01T00:00:01Z",
    seconds=1.5,
)


def test_an_artifact_has_the_digest_it_always_had() -> None:
    assert (
        OUTPUT.digest == "sha256:8f1f8ba97738d7e70a21ea0f7fd85e86256b8d0dfc993aba18998b253689d334"
    )


@given(FILES, st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_count(files: list[FileEntry], random: object) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    artifact = artifact_of(shuffled)
    assert artifact == artifact_of(files)
    assert [entry.path for entry in artifact.files] == sorted(entry.path for entry in files)
    assert artifact.bytes == sum(entry.size for entry in files)


@given(FILES.filter(bool), st.data())
def test_every_part_of_every_file_counts(files: list[FileEntry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(files) - 1))
    changes = [
        {"path": "/".join(entry.path for entry in files) + "x"},
        {"size": files[place].size + 1},
        {"sha256": files[place].sha256[::-1] + "0"},
    ]
    digests = {artifact_of(files).digest}
    for change in changes:
        changed = msgspec.structs.replace(files[place], **change)  # type: ignore[arg-type]
        digests.add(artifact_of([*files[:place], changed, *files[place + 1 :]]).digest)
    digests.add(artifact_of([*files[:place], *files[place + 1 :]]).digest)
    assert len(digests) == 5


@pytest.mark.parametrize("record", [RECORD, MANIFEST])
def test_a_record_comes_back_as_it_was(record: IndexRecord | RunManifest) -> None:
    content = encode(record)
    assert decode(type(record), content) == record
    assert content.endswith(b"}\n")
    assert content.count(b"\n") == 1


def test_equal_records_are_equal_bytes() -> None:
    one = msgspec.structs.replace(MANIFEST, parameters={"a": 1, "b": 2})
    other = msgspec.structs.replace(MANIFEST, parameters={"b": 2, "a": 1})
    assert encode(one) == encode(other)


def test_parameters_keep_their_types() -> None:
    read = decode(RunManifest, encode(MANIFEST))
    assert read is not None
    assert repr(read.parameters) == repr(dict(sorted(MANIFEST.parameters.items())))


@given(st.integers(0, len(encode(RECORD)) - 2))
def test_a_record_that_broke_off_is_no_record(length: int) -> None:
    assert decode(IndexRecord, encode(RECORD)[:length]) is None


@given(st.binary())
def test_bytes_that_are_no_record_are_none(content: bytes) -> None:
    assert decode(RunManifest, content) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        encode(RECORD).replace(b'"count":2', b'"count":"2"'),
        encode(RECORD).replace(b'"count":2,', b""),
        encode(RECORD).replace(b"a/b/0123", b"\xff\xfe"),
        encode(RECORD) + encode(RECORD),
    ],
)
def test_what_is_not_whole_or_of_another_kind_is_none(content: bytes) -> None:
    assert decode(IndexRecord, content) is None


@pytest.mark.parametrize("record", [RECORD, MANIFEST])
def test_a_newer_schema_is_not_guessed_at(record: IndexRecord | RunManifest) -> None:
    newer = msgspec.structs.replace(record, schema=SCHEMA + 1)
    assert decode(type(record), encode(newer)) is None


@pytest.mark.parametrize("record", [RECORD, MANIFEST])
def test_the_schema_is_always_written(record: IndexRecord | RunManifest) -> None:
    assert b'"schema":%d' % SCHEMA in encode(record)


def test_a_field_that_a_later_version_adds_is_passed_over() -> None:
    content = encode(RECORD).replace(b"{", b'{"added":[1],', 1)
    assert decode(IndexRecord, content) == RECORD


def test_the_index_says_what_a_listing_must_agree_with() -> None:
    record = index_record_of(MANIFEST)
    assert record == IndexRecord(
        run=MANIFEST.run,
        location="a/b/0123/run",
        digest=OUTPUT.digest,
        count=2,
        bytes=30,
        inputs={"clean": "sha256:" + "2" * 64},
        seconds=1.5,
        manifest_bytes=len(encode(MANIFEST)),
    )


def test_a_run_that_failed_is_in_no_index() -> None:
    failed = msgspec.structs.replace(MANIFEST, output=None, result="failed")
    with pytest.raises(ValueError, match="has no output"):
        index_record_of(failed)


def test_an_entry_speaks_of_the_files_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"abc")
    artifact = Artifact("sha256:" + "0" * 64, (FileEntry("a.csv", 3, digest_file(path)),))
    assert (artifact.bytes, len(artifact.files[0].sha256)) == (3, 64)


FIRST_READS = """
import sys, threading, msgspec
from daintree.store.records import decode

def read_at_once():
    inner = msgspec.defstruct("Inner", [("text", str), ("numbers", dict[str, int])])
    kind = msgspec.defstruct("Record", [("schema", int), ("inner", tuple[inner, ...])])
    content = b'{"schema": 1, "inner": [{"text": "a", "numbers": {"b": 1}}]}'
    start, found = threading.Barrier(4), []
    def read():
        start.wait()
        found.append(decode(kind, content))
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [kind(1, (inner("a", {"b": 1}),))] * 4

sys.setswitchinterval(1e-6)
for _ in range(100):
    read_at_once()
"""


def test_threads_may_be_the_first_to_read_a_kind_of_record_together() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_READS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
