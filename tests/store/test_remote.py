"""Files that lie in the bucket already become a run, once, whoever does it."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from daintree.errors import StoreError
from daintree.store.bucket import Bucket
from daintree.store.contents import boto_options
from daintree.store.integrity import hash_artifact
from daintree.store.layout import source_location
from daintree.store.records import RunManifest, index_record_of, log_entry
from daintree.store.remote import RemoteRuns
from daintree.store.transfer import hash_objects
from daintree.terminal import say
from tests.contract.runs import manifest_of
from tests.services.minio import Minio


@pytest.fixture
def remote(minio: Minio) -> RemoteRuns:
    """The runs of a fresh bucket."""
    return RemoteRuns(Bucket(f"s3://{minio.bucket()}/team", minio.access), say)


@pytest.fixture
def manifest(remote: RemoteRuns) -> RunManifest:
    """A run whose files are there, and nothing else of it."""
    made = manifest_of()
    remote.bucket.put(f"{made.location}/output/a.csv", b"x\n1\n")
    place = f"{made.location}/output"
    output = hash_objects(remote.bucket, place, remote.bucket.entries(place), "hashing")
    return manifest_of(output=output)


def test_files_become_a_run(remote: RemoteRuns, manifest: RunManifest) -> None:
    adopted = remote.adopt(manifest, lambda: b"said\n")
    assert adopted == msgspec.structs.replace(manifest, log=log_entry(b"said\n"))
    assert remote.records.find_run(manifest.run) == adopted
    assert remote.read_log(manifest.location) == b"said\n"
    assert remote.check_all([index_record_of(adopted)]) == [None]


def test_the_log_of_a_run_that_is_there_is_not_asked_for(
    remote: RemoteRuns, manifest: RunManifest
) -> None:
    remote.adopt(manifest, lambda: None)
    assert remote.read_log(manifest.location) is None
    remote.bucket.delete(list(remote.bucket.sizes("_history")))
    remote.adopt(manifest, lambda: pytest.fail("asked for"))
    assert remote.records.find_run(manifest.run) == manifest


def test_another_run_at_that_place_is_left_alone(remote: RemoteRuns, manifest: RunManifest) -> None:
    first = remote.adopt(manifest, lambda: b"the first\n")
    assert first.log == log_entry(b"the first\n")
    other = msgspec.structs.replace(manifest, reason="another")
    with pytest.raises(StoreError, match="there is something at "):
        remote.adopt(other, lambda: b"the second\n")
    assert remote.records.read_run(manifest.location) == first
    assert remote.read_log(manifest.location) == b"the first\n"


def test_several_may_do_it_at_once(remote: RemoteRuns, manifest: RunManifest) -> None:
    together = threading.Barrier(4)
    failures: list[Exception] = []

    def adopt() -> None:
        def log() -> bytes:
            together.wait(60)
            return b"said\n"

        try:
            remote.adopt(manifest, log)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=adopt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    described = msgspec.structs.replace(manifest, log=log_entry(b"said\n"))
    assert remote.records.find_run(manifest.run) == described


def test_markers_of_directories_are_no_damage_of_a_run(
    remote: RemoteRuns, manifest: RunManifest
) -> None:
    record = index_record_of(remote.adopt(manifest, lambda: None))
    place = f"{remote.bucket.key(manifest.location)}/output"
    mark(remote.bucket, f"{place}/", f"{place}/new/", f"{place}/a_$folder$")
    assert remote.check_all([record]) == [None]
    output = f"{manifest.location}/output"
    entries = remote.bucket.entries(output)
    assert hash_objects(remote.bucket, output, entries, "") == manifest.output
    remote.bucket.put(f"{manifest.location}/output/new/more.csv", b"")
    [damage] = remote.check_all([record])
    assert damage is not None
    assert damage.message == "output file new/more.csv is damaged in the store: no run wrote it"


def test_markers_of_directories_are_no_damage_of_a_source(
    remote: RemoteRuns, tmp_path: Path
) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "a.csv").write_bytes(b"x\n1\n")
    artifact = hash_artifact(tmp_path / "output")
    remote.add_source(tmp_path / "output", artifact, lambda: None)
    place = remote.bucket.key(source_location(artifact.digest))
    mark(remote.bucket, f"{place}/", f"{place}/output/new/", f"{place}/output/a.csv/")
    assert remote.has_source(artifact.digest)
    remote.bucket.put(f"{source_location(artifact.digest)}/output/more.csv", b"x")
    assert not remote.has_source(artifact.digest)
    remote.add_source(tmp_path / "output", artifact, lambda: None)
    assert remote.has_source(artifact.digest)


def mark(bucket: Bucket, *keys: str) -> None:
    """Put markers of directories under these keys, as consoles make them."""
    import boto3

    client = boto3.client("s3", **boto_options(bucket.access))
    for key in keys:
        client.put_object(Bucket=bucket.name, Key=key, Body=b"")
