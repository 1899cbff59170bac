"""What a bucket's store holds as a whole: how much it is, and emptying it."""

from __future__ import annotations

from collections.abc import Iterable

from tooling.manifest import decode
from tooling.parallel import side_by_side
from tooling.store.bucket import AT_ONCE, Bucket
from tooling.store.bucket_lease import LeaseRecord
from tooling.store.records import HISTORY, INDEX, LEASES, MANIFEST, NOTES, SOURCES, Records


def measure(bucket: Bucket) -> tuple[int, int]:
    """(runs, bytes of all objects). Raises StoreError."""
    sizes = bucket.sizes()
    return len(_runs(bucket, sizes)), sum(sizes.values())


def empty(bucket: Bucket) -> None:
    """Remove the index, the history, the runs, the sources, the notes and the leases nobody holds; nothing else.

    In this order, so that being stopped midway leaves no record of a run that is gone. Raises StoreError.
    """
    paths = sorted(bucket.sizes())
    runs = _runs(bucket, paths)
    for part in (INDEX, HISTORY):
        bucket.delete([path for path in paths if path.startswith(f"{part}/")])
    bucket.delete([path for path in paths if _run_of(path, runs)])
    for part in (SOURCES, NOTES):
        bucket.delete([path for path in paths if path.startswith(f"{part}/")])
    leases = [path for path in paths if path.startswith(f"{LEASES}/")]
    records = [decode(LeaseRecord, content or b"") for content in bucket.get(leases)]
    given_back = zip(leases, records, strict=True)
    bucket.delete([path for path, record in given_back if record and not record.seconds])


def _runs(bucket: Bucket, paths: Iterable[str]) -> set[str]:
    """The locations of the runs. A `run.json` alone proves nothing: others write files of that name too."""
    places = [
        path.removesuffix(f"/{MANIFEST}")
        for path in paths
        if path.endswith(f"/{MANIFEST}") and not path.startswith("_")
    ]
    found: set[str] = set()
    manifests = side_by_side(Records(bucket).read_run, places, AT_ONCE)
    for place, manifest in sorted(
        zip(places, manifests, strict=True), key=lambda pair: len(pair[0])
    ):
        if manifest and not _run_of(place, found):
            found.add(place)
    return found


def _run_of(path: str, runs: set[str]) -> bool:
    """Whether a path lies in one of the runs."""
    parent = path.rpartition("/")[0]
    while parent and parent not in runs:
        parent = parent.rpartition("/")[0]
    return bool(parent)
