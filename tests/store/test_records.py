"""Records: equal ones are equal bytes, and only a whole one of a known schema is ever read."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.digest import digest_file
from daintree.errors import StoreError
from daintree.spec.component import Scalar
from daintree.store.backend import Unreadable
from daintree.store.layout import MOST_BYTES, differences, run_path, sketch_in, sketch_of
from daintree.store.records import (
    HISTORY_BYTES,
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
    history_entry_of,
    index_record_of,
    readable,
)

PATH = "_cache/0123"
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
    content="sha256:" + "5" * 64,
    record="0" * 64,
    record_bytes=500,
    digest="sha256:" + "1" * 64,
    count=2,
    bytes=30,
    inputs={"clean": "sha256:" + "2" * 64},
    seconds=1.5,
)
DAMAGED = Unreadable("damaged", "is damaged")
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
def test_every_part_of_every_file_counts(files: list[FileEntry], choices: st.DataObject) -> None:
    place = choices.draw(st.integers(0, len(files) - 1))
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
    content = encode(record, PATH)
    assert readable(decode(type(record), content, PATH)) == record
    assert content.endswith(b"}\n")
    assert content.count(b"\n") == 1


def test_equal_records_are_equal_bytes() -> None:
    one = msgspec.structs.replace(MANIFEST, parameters={"a": 1, "b": 2})
    other = msgspec.structs.replace(MANIFEST, parameters={"b": 2, "a": 1})
    assert encode(one, PATH) == encode(other, PATH)


def test_parameters_keep_their_types() -> None:
    read = readable(decode(RunManifest, encode(MANIFEST, PATH), PATH))
    assert read is not None
    assert repr(read.parameters) == repr(dict(sorted(MANIFEST.parameters.items())))


@given(st.integers(0, len(encode(RECORD, PATH)) - 2))
def test_a_record_that_broke_off_is_no_record(length: int) -> None:
    assert decode(IndexRecord, encode(RECORD, PATH)[:length], PATH) == DAMAGED


@given(st.binary())
def test_bytes_that_are_no_record_are_unreadable(content: bytes) -> None:
    assert decode(RunManifest, content, PATH) == DAMAGED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        encode(RECORD, PATH).replace(b'"count":2', b'"count":"2"'),
        encode(RECORD, PATH).replace(b'"count":2,', b""),
        encode(RECORD, PATH).replace(b"a/b/0123", b"\xff\xfe"),
        encode(RECORD, PATH) + encode(RECORD, PATH),
    ],
)
def test_what_is_not_whole_or_of_another_kind_is_unreadable(content: bytes) -> None:
    assert decode(IndexRecord, content, PATH) == DAMAGED


@pytest.mark.parametrize("record", [RECORD, MANIFEST])
def test_a_newer_schema_is_not_guessed_at(record: IndexRecord | RunManifest) -> None:
    newer = msgspec.structs.replace(record, schema=SCHEMA + 1)
    decoded = decode(type(record), encode(newer, PATH), PATH)
    assert isinstance(decoded, Unreadable)
    assert decoded.reason == "newer"
    unsigned = b'{"schema": 99, "kind": "of the future"}'
    assert decode(type(record), unsigned, PATH) == Unreadable(
        "newer", "was made by a newer version (schema 99)"
    )


def test_an_older_schema_is_said() -> None:
    older = b'{"bytes":1,"location":"a/b","run":"r","schema":1}\n'
    assert decode(IndexRecord, older, PATH) == Unreadable("older", "was made by an older version")


@pytest.mark.parametrize("record", [RECORD, MANIFEST])
def test_every_flipped_bit_is_damage(record: IndexRecord | RunManifest) -> None:
    content = encode(record, PATH)
    for place in range(len(content) - 1):
        for bit in (0, 3, 6):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            assert decode(type(record), bytes(flipped), PATH) == DAMAGED, (place, bit)


def test_a_record_of_another_path_or_kind_is_damage() -> None:
    assert decode(IndexRecord, encode(RECORD, "_cache/other"), PATH) == DAMAGED
    assert decode(RunManifest, encode(RECORD, PATH), PATH) == DAMAGED


def test_nothing_and_what_cannot_be_read_stay_what_they_are() -> None:
    assert decode(IndexRecord, None, PATH) is None
    fifo = Unreadable("irregular", "is no regular file")
    assert decode(IndexRecord, fifo, PATH) == fifo


@pytest.mark.parametrize("location", ["../x", "/x", "a/../../x", "_cache/x"])
def test_a_location_outside_is_damage(location: str) -> None:
    outside = msgspec.structs.replace(RECORD, location=location)
    assert decode(IndexRecord, encode(outside, PATH), PATH) == DAMAGED


@pytest.mark.parametrize("record", [RECORD, MANIFEST])
def test_the_schema_is_always_written(record: IndexRecord | RunManifest) -> None:
    assert b'"schema":%d' % SCHEMA in encode(record, PATH)


def test_the_index_says_what_a_listing_must_agree_with() -> None:
    record = index_record_of(MANIFEST)
    content = encode(MANIFEST, run_path(MANIFEST.location))
    assert record == IndexRecord(
        run=MANIFEST.run,
        location="a/b/0123/run",
        content=MANIFEST.keys.content,
        record=hashlib.sha256(content).hexdigest(),
        record_bytes=len(content),
        digest=OUTPUT.digest,
        count=2,
        bytes=30,
        inputs={"clean": "sha256:" + "2" * 64},
        seconds=1.5,
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


def test_a_history_entry_is_a_summary() -> None:
    entry = history_entry_of(MANIFEST, {"hr@10": 0.5})
    assert (entry.run, entry.parameters, entry.metrics) == (
        MANIFEST.run,
        MANIFEST.parameters,
        {"hr@10": 0.5},
    )
    assert entry.record == index_record_of(MANIFEST).record
    inputs = {each.name: each.digest for each in MANIFEST.inputs}
    of_now = sketch_of(
        MANIFEST.version, MANIFEST.environment, MANIFEST.effective_parameters, inputs
    )
    assert sketch_in(entry.path) == of_now
    assert entry.path == f"_history/item2vec/train/79759898/999999999,{of_now}-{MANIFEST.run}"
    failed = history_entry_of(msgspec.structs.replace(MANIFEST, output=None), {})
    assert failed.path == "_history/item2vec/train/79759898/999999999-" + MANIFEST.run
    assert not entry.abridged


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3) | st.booleans()),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3) | st.booleans()),
)
def test_sketches_differ_in_as_many_things_as_what_they_are_of(
    before: dict[str, Scalar], now: dict[str, Scalar]
) -> None:
    def typed(parameters: dict[str, Scalar]) -> set[tuple[str, str]]:
        return {(name, repr(value)) for name, value in parameters.items()}

    one, other = typed(before), typed(now)
    expected = max(len(one - other), len(other - one))
    first, second = (sketch_of("v", "image", values, {"": "d"}) for values in (before, now))
    assert differences(first, second) == expected
    assert differences(first, sketch_of("w", "venv", before, {"": "e"})) == 3


def test_a_sketch_fits_into_a_name() -> None:
    many = {f"p{n}": n for n in range(5000)}
    entry = history_entry_of(msgspec.structs.replace(MANIFEST, parameters=many), {})
    assert entry.sketch
    assert len(entry.path.rpartition("/")[2]) <= MOST_BYTES
    long = msgspec.structs.replace(entry, run="r" * 200)
    assert sketch_in(long.path) == ""
    with pytest.raises(StoreError, match="is no sketch"):
        assert msgspec.structs.replace(entry, sketch="../..").path


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {f"p{n}": n for n in range(5000)}},
        {"parameters": {"long": "x" * 100_000}},
        {"reason": "x" * 100_000, "failure": "ö" * 100_000},
        {"inputs": tuple(InputRecord(f"{n}", "d" * 71, "o" * 200) for n in range(500))},
    ],
)
def test_a_history_entry_stays_small(changed: dict[str, object]) -> None:
    manifest = msgspec.structs.replace(MANIFEST, **changed)
    entry = history_entry_of(manifest, {f"m{n}": float(n) for n in range(5000)})
    assert len(encode(entry, entry.path)) <= HISTORY_BYTES
    assert entry.abridged
    assert entry.run == MANIFEST.run


FIRST_READS = """
import sys, threading, msgspec
from daintree.store.records import decode, encode

def read_at_once():
    inner = msgspec.defstruct("Inner", [("text", str), ("numbers", dict[str, int])])
    kind = msgspec.defstruct("Record", [("schema", int), ("inner", tuple[inner, ...])])
    content = encode(kind(2, (inner("a", {"b": 1}),)), "a")
    start, decoded = threading.Barrier(4), []
    def read():
        start.wait()
        decoded.append(decode(kind, content, "a"))
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decoded == [kind(2, (inner("a", {"b": 1}),))] * 4

sys.setswitchinterval(1e-6)
for _ in range(100):
    read_at_once()
"""


def test_threads_may_be_the_first_to_read_a_kind_of_record_together() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_READS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
