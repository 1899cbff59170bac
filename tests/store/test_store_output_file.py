"""One file of an output, verified: on this machine, and alone from a bucket."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store.records import FileEntry, RunManifest
from daintree.store.store import FETCHED_BYTES, Store
from tests.contract.runs import FILES, location_of, publish
from tests.contract.stores import BucketPlace, DirectoryPlace, Place


@pytest.fixture(params=[BucketPlace, DirectoryPlace])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: Place = request.param.make(tmp_path)
    return made


def published(place: Place) -> tuple[Store, RunManifest]:
    """The store as another machine sees it, and a run that was published to it."""
    return place.other_machine().open(), publish(place.open())


def entry_of(run: RunManifest, path: str) -> FileEntry:
    assert run.output is not None
    return next(entry for entry in run.output.files if entry.path == path)


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_read_whole_or_its_beginning(place: Place, path: str) -> None:
    store, run = published(place)
    entry = entry_of(run, path)
    assert b"".join(store.chunks(run, entry)) == FILES[path]
    assert store.read_head(run, entry, 2) == FILES[path][:2]


def test_a_buckets_file_is_fetched_alone(tmp_path: Path) -> None:
    place = BucketPlace.make(tmp_path)
    store, run = published(place)
    place.delete(f"{run.location}/output/deep/er/b.csv")
    assert store.read_head(run, entry_of(run, "a.csv"), 100) == FILES["a.csv"]
    assert not list(store.directory.rglob("*.csv"))


@pytest.mark.parametrize("content", [b"x\n2\n", b"x\n1\n\n", b"", None])
def test_a_file_that_is_not_its_runs_is_never_read(place: Place, content: bytes | None) -> None:
    store, run = published(place)
    path = f"{location_of(run.run)}/output/a.csv"
    if content is None:
        place.delete(path)
    else:
        place.write(path, content)
    with pytest.raises(ArtifactDamaged, match=r"a\.csv"):
        store.read_head(run, entry_of(run, "a.csv"), 100)
    with pytest.raises(ArtifactDamaged):
        next(store.chunks(run, entry_of(run, "a.csv")))


def test_a_buckets_large_file_is_for_doit_pull(tmp_path: Path) -> None:
    store, run = published(BucketPlace.make(tmp_path))
    large = msgspec.structs.replace(entry_of(run, "a.csv"), size=FETCHED_BYTES + 1)
    assert store.read_head(run, large, 100) is None
    with pytest.raises(StoreError, match="too large to be fetched alone"):
        next(store.chunks(run, large))
