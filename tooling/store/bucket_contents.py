"""What a bucket's store holds as a whole: how much it is, and emptying it."""

from __future__ import annotations

from collections.abc import Iterable

from tooling.manifest import decode
from tooling.store.bucket import Bucket
from tooling.store.bucket_lease import LeaseRecord
from tooling.store.records import HISTORY, INDEX, LEASES, MANIFEST, NOTES, SOURCES


def measure(bucket: Bucket) -> tuple[int, int]:
    """(runs, bytes of all objects). Raises StoreError."""
    sizes = bucket.sizes()
    return len(_runs(sizes)), sum(sizes.values())


def empty(bucket: Bucket) -> None:
    """Remove the index, the history, the runs, the sources, the notes and the leases nobody holds; nothing else.

    In this order, so that being stopped midway leaves no record of a run that is gone. Raises StoreError.
    """
    paths = sorted(bucket.sizes())
    runs = _runs(paths)
    for part in (INDEX, HISTORY):
        bucket.delete([path for path in paths if path.startswith(f"{part}/")])
    bucket.delete([path for path in paths if _run_of(path, runs)])
    for part in (SOURCES, NOTES):
        bucket.delete([path for path in paths if path.startswith(f"{part}/")])
    leases = [path for path in paths if path.startswith(f"{LEASES}/")]
    records = [decode(LeaseRecord, content or b"") for content in bucket.get(leases)]
    given_back = zip(leases, records, strict=True)
    bucket.delete([path for path, record in given_back if record and not record.seconds])


def _runs(paths: Iterable[str]) -> set[str]:
    """The locations of the runs: those outside the store's own places with a manifest, and in no other run."""
    found: set[str] = set()
    locations = [
        path.removesuffix(f"/{MANIFEST}")
        for path in paths
        if path.endswith(f"/{MANIFEST}") and not path.startswith("_")
    ]
    for location in sorted(locations, key=len):
        if not _run_of(location, found):
            found.add(location)
    return found


def _run_of(path: str, runs: set[str]) -> bool:
    """Whether a path lies in one of the runs."""
    parent = path.rpartition("/")[0]
    while parent and parent not in runs:
        parent = parent.rpartition("/")[0]
    return bool(parent)
