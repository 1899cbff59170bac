"""What a bucket's store holds as a whole: how much it is, what was never published, and emptying it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from daintree.manifest import decode
from daintree.parallel import side_by_side
from daintree.store.bucket import AT_ONCE, Bucket
from daintree.store.bucket_lease import LeaseRecord
from daintree.store.records import (
    HISTORY,
    INDEX,
    LEASES,
    LOG,
    MANIFEST,
    NOTES,
    SOURCES,
    SUBMISSIONS,
    Records,
)
from daintree.store.stamp import OUTPUT

if TYPE_CHECKING:
    from obstore import ObjectMeta

# No upload is that long without an object that is done. A clock that is off by more than minutes gets no answer.
SAFE = timedelta(days=1)
# A Workflow runs for a day and is kept for a week when it has failed: until then its outputs may be recorded.
SAFE_IN_A_CLUSTER = timedelta(days=14)
# A run ends in a nonce; in a cluster in a Workflow's name, the stage and the number of the attempt.
_IN_A_CLUSTER = re.compile(r"Z-[a-z0-9-]+-[A-Za-z0-9._-]+-\d+\Z")
_OF_A_RUN = re.compile(
    rf"((?:[^_/].*?/)?\d{{8}}T\d{{9}}Z-(?:[0-9a-f]{{8}}|[^/]+-\d+))/(?:{OUTPUT}/.+|{re.escape(LOG)})"
)


def measure(bucket: Bucket) -> tuple[int, int]:
    """(runs, bytes of all objects). Raises StoreError."""
    sizes = bucket.sizes()
    return len(_runs(bucket, sizes)), sum(sizes.values())


def empty(bucket: Bucket) -> None:
    """Remove the index, the history, the runs, the sources, the submissions, the notes and the leases nobody holds; nothing else.

    In this order, so that being stopped midway leaves no record of a run that is gone. Raises StoreError.
    """
    paths = sorted(bucket.sizes())
    runs = _runs(bucket, paths)
    for part in (INDEX, HISTORY):
        bucket.delete([path for path in paths if path.startswith(f"{part}/")])
    bucket.delete([path for path in paths if _run_of(path, runs)])
    for part in (SOURCES, SUBMISSIONS, NOTES):
        bucket.delete([path for path in paths if path.startswith(f"{part}/")])
    leases = [path for path in paths if path.startswith(f"{LEASES}/")]
    records = [decode(LeaseRecord, content or b"") for content in bucket.get(leases)]
    given_back = zip(leases, records, strict=True)
    bucket.delete([path for path, record in given_back if record and not record.seconds])


def orphans(bucket: Bucket, *, remove: bool, safe: timedelta = SAFE) -> tuple[int, int]:
    """(runs, bytes) that have files and no `run.json`, and no file younger than `safe`; `remove` takes them away.

    What a Workflow has put out is left alone for SAFE_IN_A_CLUSTER beyond that.
    What is written anew meanwhile, as a cache does that publishes its run again, stays. Raises StoreError.
    """
    now = datetime.now(UTC)
    unpublished = _unpublished(bucket.entries())
    found = {p: files for p, files in unpublished.items() if _is_left(p, files, now - safe)}
    if remove:
        still = {place: _unpublished(bucket.entries(place)) for place in found}
        found = {place: files for place, files in found.items() if still[place].get(place) == files}
        bucket.delete([entry["path"] for files in found.values() for entry in files])
    return len(found), sum(entry["size"] for files in found.values() for entry in files)


def _unpublished(entries: Sequence[ObjectMeta]) -> dict[str, list[ObjectMeta]]:
    """The files of runs without a `run.json`, by location."""
    end = f"/{MANIFEST}"
    published = {e["path"].removesuffix(end) for e in entries if e["path"].endswith(end)}
    found: dict[str, list[ObjectMeta]] = {}
    for entry in sorted(entries, key=lambda entry: entry["path"]):
        match = _OF_A_RUN.fullmatch(entry["path"])
        if match and not _run_of(entry["path"], published):
            found.setdefault(match[1], []).append(entry)
    return found


def _is_left(place: str, files: Sequence[ObjectMeta], before: datetime) -> bool:
    """Whether all files of a run were written so long ago that nobody will publish it any more."""
    if _IN_A_CLUSTER.search(place):
        before -= SAFE_IN_A_CLUSTER
    return all(entry["last_modified"] < before for entry in files)


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
