"""Runs and sources in a bucket, in the layout that every store has; what is decided from them is `shared`'s.

Order of writing: output files and the log, then run.json, then the history; the index is written by whoever asks for it. So
whatever is interrupted, a record never leads to what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from daintree.concurrency import side_by_side
from daintree.errors import ArtifactDamaged, ArtifactRejected, StoreError
from daintree.store.bucket import AT_ONCE, Bucket
from daintree.store.directory import SOURCE, SourceRecord
from daintree.store.index import (
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
from daintree.store.integrity import OUTPUT
from daintree.store.leases import LeaseRecord
from daintree.store.names import check_location, check_names, hexadecimal
from daintree.store.progress import progress
from daintree.store.records import (
    Artifact,
    FileEntry,
    IndexRecord,
    RunManifest,
    artifact_of,
    decode,
    encode,
)
from daintree.store.transfer import damaged, download, missing, upload

if TYPE_CHECKING:
    from obstore import ObjectMeta


class RemoteRuns:
    """The runs and sources of one bucket. Every method raises StoreError as the bucket does."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.records = Records(bucket)

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """What a listing of each run says, in one parallel round: None where it agrees with the record."""
        return side_by_side(self._check, records, AT_ONCE)

    def publish(
        self, directory: Path, manifest: RunManifest, unchanged: Callable[[], None]
    ) -> None:
        """Put the run in `directory` (output, log) at its location; nothing where it is already.

        `unchanged` is asked between the files and their record, and raises where the files are not the manifest's any
        more. Raises StoreError where another run is at that location.
        """
        location = check_location(manifest.location)
        standing = self.records.read_run(location)
        if standing != manifest:
            self.refuse_taken(location)
            files = manifest.output.files if manifest.output else ()
            self._upload(directory, location, files, f"{manifest.stage}: publishing")
            unchanged()
            if (directory / LOG).is_file():
                self.bucket.put(f"{location}/{LOG}", (directory / LOG).read_bytes())
            if not self.bucket.create(f"{location}/{MANIFEST}", encode(manifest)):
                self.refuse_taken(location)
        self.records.add_history(manifest)

    def adopt(self, manifest: RunManifest, log: Callable[[], bytes | None]) -> None:
        """Make a run of the files that lie at its location already; nothing where it is one. Several may do so at once.

        `log` gives what is kept as its log, None for nothing; one that is there already stays. Raises StoreError where another
        run is at that location.
        """
        location = check_location(manifest.location)
        if self.records.read_run(location) != manifest:
            said = log()
            if said is not None:
                self.bucket.create(f"{location}/{LOG}", said)
            if not self.bucket.create(f"{location}/{MANIFEST}", encode(manifest)):
                self.refuse_taken(location)
        self.records.add_history(manifest)

    def refuse_taken(self, location: str) -> None:
        """Raise StoreError where there is a run, readable or not, at a location."""
        if self.bucket.get([f"{check_location(location)}/{MANIFEST}"])[0] is not None:
            raise StoreError(
                f"there is something at {self.bucket.url}/{location} already",
                hint="look at the prefix setting",
            )

    def fetch(self, manifest: RunManifest, directory: Path) -> None:
        """Bring the run's output to `directory`/output and its log beside it, every byte verified.

        Raises ArtifactDamaged when something is missing or not what the manifest says.
        """
        assert manifest.output is not None
        place = f"{check_location(manifest.location)}/{OUTPUT}"
        self._download(place, manifest.output, directory / OUTPUT, f"{manifest.stage}: fetching")
        log = self.read_log(manifest.location)
        if log is not None:
            (directory / LOG).write_bytes(log)

    def read_log(self, location: str) -> bytes | None:
        """What the run said; None where nothing was kept."""
        return self.bucket.get([f"{check_location(location)}/{LOG}"])[0]

    def fetch_source(self, digest: str, directory: Path) -> Artifact | None:
        """Bring a source's files to `directory`, verified; None where a listing says that it is not there whole.

        Raises ArtifactDamaged when its bytes are not what its record says.
        """
        place = f"{SOURCES}/{hexadecimal(digest)}"
        artifact = self._source(place)
        sizes = _below(self.bucket.sizes(f"{place}/{OUTPUT}"), f"{place}/{OUTPUT}")
        if artifact is None or artifact.digest != digest or sizes != _sizes(artifact):
            return None
        self._download(f"{place}/{OUTPUT}", artifact, directory, "source: fetching")
        return artifact

    def has_source(self, digest: str) -> bool:
        """Whether a source is there, whole as a listing tells."""
        place = f"{SOURCES}/{hexadecimal(digest)}"
        artifact = self._source(place)
        sizes = _below(self.bucket.sizes(f"{place}/{OUTPUT}"), f"{place}/{OUTPUT}")
        return artifact is not None and artifact.digest == digest and sizes == _sizes(artifact)

    def add_source(
        self,
        directory: Path,
        artifact: Artifact,
        unchanged: Callable[[], None],
        *,
        anew: bool = False,
    ) -> None:
        """Put a source's files, those in `directory`, unless a listing says that they are there; as `publish` otherwise.

        `anew`: whatever a listing says.
        """
        place = f"{SOURCES}/{hexadecimal(artifact.digest)}"
        sizes = _below(self.bucket.sizes(f"{place}/{OUTPUT}"), f"{place}/{OUTPUT}")
        if not anew and sizes == _sizes(artifact) and self._source(place) == artifact:
            return
        strange = sizes.keys() - _sizes(artifact).keys()
        self.bucket.delete([f"{place}/{OUTPUT}/{path}" for path in strange])
        self._upload(directory.parent, place, artifact.files, "source: publishing")
        unchanged()
        self.bucket.put(f"{place}/{SOURCE}", encode(SourceRecord(artifact=artifact)))

    def _source(self, place: str) -> Artifact | None:
        content = self.bucket.get([f"{place}/{SOURCE}"])[0]
        record = decode(SourceRecord, content) if content else None
        return record.artifact if record else None

    def _check(self, record: IndexRecord) -> ArtifactDamaged | None:
        location = check_location(record.location)
        sizes = _below(self.bucket.sizes(location), location)
        if MANIFEST not in sizes:
            return missing(MANIFEST, "record")
        output = _below(sizes, OUTPUT)
        agrees = (len(output), sum(output.values())) == (record.count, record.bytes)
        if agrees and record.manifest_bytes in (0, sizes[MANIFEST]):
            return None
        return self._difference(record, output)

    def _difference(self, record: IndexRecord, output: Mapping[str, int]) -> ArtifactDamaged | None:
        """Which file it is that makes a listing disagree with its record; asked for only when something is wrong."""
        manifest = self.records.read_run(record.location)
        if not manifest or not manifest.output or manifest.output.digest != record.digest:
            return damaged(MANIFEST, "record")
        expected = _sizes(manifest.output)
        for path, size in expected.items():
            if output.get(path) != size:
                return damaged(path) if path in output else missing(path)
        for path in sorted(output.keys() - expected.keys()):
            return damaged(path, detail=": no run wrote it")
        return None

    def _upload(
        self, directory: Path, location: str, files: Sequence[FileEntry], what: str
    ) -> None:
        with progress(what, len(files), sum(entry.size for entry in files)) as shown:
            upload(self.bucket, directory / OUTPUT, f"{location}/{OUTPUT}", files, shown)

    def _download(self, place: str, artifact: Artifact, directory: Path, what: str) -> None:
        """Names come from a bucket that others write: they are checked before any becomes a path here."""
        try:
            check_names(entry.path for entry in artifact.files)
        except ArtifactRejected as error:
            raise damaged(MANIFEST, "record", f": {error.message}") from None
        if artifact_of(artifact.files).digest != artifact.digest:
            raise damaged(MANIFEST, "record")
        with progress(what, len(artifact.files), artifact.bytes) as shown:
            download(self.bucket, place, artifact.files, directory, shown)


def _below(sizes: Mapping[str, int], directory: str) -> dict[str, int]:
    """The sizes of what lies in a directory, by path from there."""
    start = f"{directory}/"
    return {path.removeprefix(start): n for path, n in sizes.items() if path.startswith(start)}


def _sizes(artifact: Artifact) -> dict[str, int]:
    return {entry.path: entry.size for entry in artifact.files}


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
