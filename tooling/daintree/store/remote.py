"""Runs, sources and leases in a bucket, in the layout that every store has; decisions about them are the cache's.

Order of writing: output files and the log, then run.json, then the history; the index is written by whoever asks for it. So
whatever is interrupted, a record never leads to what is not there.

A lease is one small object per content key, that its holder renews and that others take over once it rests. No clock is compared
with another: whoever waits watches the object, and takes it over when it has not changed for as long as it promises to, measured here. So
neither a laptop's clock nor the server's can end a lease early. A lease that is given back stays as an object that says so; taking it is then
as conditional as taking it over.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from daintree.concurrency import side_by_side
from daintree.errors import ArtifactDamaged, ArtifactRejected, StoreError
from daintree.store import layout
from daintree.store.backend import SMALL_RECORD_BYTES, Backend, Content, Unreadable, read_regular
from daintree.store.bucket import AT_ONCE, Bucket
from daintree.store.index import MAX_METRICS_BYTES, Records, metrics_in, metrics_of
from daintree.store.leases import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from daintree.store.records import (
    METRICS,
    Artifact,
    FileEntry,
    Holder,
    IndexRecord,
    LeaseRecord,
    RunManifest,
    SourceRecord,
    artifact_of,
    decode,
    encode,
    history_entry_of,
    log_entry,
    readable,
)
from daintree.store.s3 import ObjectAddress
from daintree.store.transfer import Progress, download, hash_objects, upload

if TYPE_CHECKING:
    from obstore import ObjectMeta

Submission = TypeVar("Submission")
LONGEST_SECONDS = 300.0


class RemoteRuns:
    """The runs and sources of one bucket. Every method raises StoreError as the bucket does."""

    def __init__(self, bucket: Bucket, warn: Callable[[str], None]) -> None:
        self.bucket = bucket
        self._warn = warn
        self.records = Records(bucket, warn)

    @property
    def url(self) -> str:
        """The address of the store, for people."""
        return self.bucket.url

    @property
    def address(self) -> ObjectAddress:
        """The address of the store's objects, for programs that read and write them past the tooling."""
        return self.bucket.address

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """The damage that a listing of each run shows, in one parallel round: None where it agrees with the record."""
        return side_by_side(self._check, records, AT_ONCE)

    def publish(
        self, directory: Path, manifest: RunManifest, unchanged: Callable[[], None]
    ) -> None:
        """Put the run in `directory` (output, log) at its location; nothing where it is already.

        `unchanged` is asked between the files and their record, and raises where the files are not the manifest's any
        more. Raises StoreError where another run is at that location.
        """
        location = layout.check_location(manifest.location)
        present = self.records.read_run(location)
        if present != manifest:
            self.refuse_taken(location)
        if present is None or self.is_collected(location):
            files = manifest.output.files if manifest.output else ()
            self._upload(directory, location, files, f"{manifest.stage}: publishing")
            unchanged()
            self._publish_log(directory, manifest)
            if present is None:
                self._create_record(manifest)
            else:
                self.bucket.delete([layout.collected_path(location)])
        metrics = metrics_in(directory / layout.OUTPUT, manifest)
        self.records.add_history(history_entry_of(manifest, metrics))

    def _publish_log(self, directory: Path, manifest: RunManifest) -> None:
        """Put the log in `directory` beside the run; one that is not the run's any more is said, and keeps no result from being shared."""
        if manifest.log is None:
            return
        log: Content = None
        with suppress(OSError):
            log = read_regular(str(directory / layout.LOG), manifest.log.size)
        if isinstance(log, bytes) and log_entry(log) == manifest.log:
            self.bucket.put(f"{manifest.location}/{layout.LOG}", log)
        else:
            self._warn(
                f"warning: run {manifest.run}: its log in {directory} is missing or damaged, and is not published"
            )

    def adopt(self, manifest: RunManifest, log: Callable[[], bytes | None]) -> RunManifest:
        """Make a run of the files that lie at its location already; nothing where it is one. Several may do so at once.

        `log` gives what is kept as its log, None for nothing; one that is there already stays. Returns the record as it was written, with
        the log's digest. Raises StoreError where another run is at that location.
        """
        location = layout.check_location(manifest.location)
        current = self.records.read_run(location)
        if current is None or msgspec.structs.replace(current, log=manifest.log) != manifest:
            content = log()
            if content is not None and not self.bucket.create(f"{location}/{layout.LOG}", content):
                content = self.read_log(location)
            described = log_entry(content) if content is not None else None
            manifest = msgspec.structs.replace(manifest, log=described)
            self._create_record(manifest)
        else:
            manifest = current
        path = f"{location}/{layout.OUTPUT}/{METRICS}"
        metrics = metrics_of(manifest, lambda: self.bucket.get_many([path], MAX_METRICS_BYTES)[0])
        self.records.add_history(history_entry_of(manifest, metrics))
        return manifest

    def read_output(self, location: str, entries: Sequence[ObjectMeta], title: str) -> Artifact:
        """The artifact that the listed objects of the output at a location are; `title` is shown when it takes long.

        Raises ArtifactRejected where there is none, and for a name that no store may hold.
        """
        place = f"{layout.check_location(location)}/{layout.OUTPUT}"
        return hash_objects(self.bucket, place, entries, title)

    def read_submission(self, digest: str, kind: type[Submission]) -> Submission:
        """The record of what a cluster was asked to run. Raises StoreError where it is not there, or cannot be read."""
        path = layout.submission_path(digest)
        content = self.bucket.get_many([path])[0]
        if content is None:
            raise StoreError(
                f"the submission {path} is not in {self.url}",
                hint="is this the store that it was submitted from? DAINTREE_STORE names it",
            )
        record: Submission | Unreadable | None = decode(kind, content, path)
        if record is None or isinstance(record, Unreadable):
            raise StoreError(
                f"the submission {self.url}/{path} cannot be used: it {record.text if record else ''}",
                hint="submit the pipeline again: what is missing is computed anew",
            )
        return record

    def add_submission(self, digest: str, record: msgspec.Struct) -> None:
        """Keep the record of what a cluster is asked to run.

        It is written anew where it is there: its age tells a collection that a Workflow may be reading what it names.
        """
        path = layout.submission_path(digest)
        self.bucket.put(path, encode(record, path))

    def refuse_taken(self, location: str) -> None:
        """Raise StoreError where there is a run, readable or not, at a location."""
        if self.bucket.get_many([layout.run_path(location)])[0] is not None:
            raise StoreError(
                f"there is something at {self.bucket.url}/{location} already",
                hint="look at the prefix setting",
            )

    def is_collected(self, location: str) -> bool:
        """True for a run whose output was collected: its record is there, its files are not."""
        path = layout.collected_path(location)
        return self.bucket.get_many([path], SMALL_RECORD_BYTES)[0] is not None

    def read_record(self, record: IndexRecord) -> tuple[RunManifest, bytes]:
        """The run record that an index record leads to, and its bytes.

        Raises ArtifactDamaged when it is missing, or is not the one that was indexed.
        """
        path = layout.run_path(record.location)
        content = self.bucket.get_many([path])[0]
        if content is None:
            raise ArtifactDamaged.missing(layout.RUN_RECORD, "record")
        manifest = readable(decode(RunManifest, content, path))
        if (
            manifest is None
            or not isinstance(content, bytes)
            or hashlib.sha256(content).hexdigest() != record.record
            or (manifest.location, manifest.keys.content) != (record.location, record.content)
        ):
            raise ArtifactDamaged.damaged(layout.RUN_RECORD, "record")
        return manifest, content

    def fetch(self, manifest: RunManifest, directory: Path) -> None:
        """Bring the run's output to `directory`/output and its log beside it, every byte verified.

        Raises ArtifactDamaged when something is missing or not what the manifest says; a damaged log is left out with a warning.
        """
        assert manifest.output is not None
        place = f"{layout.check_location(manifest.location)}/{layout.OUTPUT}"
        self._download(
            place, manifest.output, directory / layout.OUTPUT, f"{manifest.stage}: fetching"
        )
        log = self.read_log(manifest.location)
        if manifest.log and log is not None and log_entry(log) == manifest.log:
            (directory / layout.LOG).write_bytes(log)
        elif manifest.log:
            self._warn(f"warning: run {manifest.run}: its log is damaged or missing in the store")

    def read_log(self, location: str) -> bytes | None:
        """The log of a run; None where nothing was kept."""
        content = self.bucket.get_many([f"{layout.check_location(location)}/{layout.LOG}"])[0]
        return content if isinstance(content, bytes) else None

    def fetch_source(self, digest: str, directory: Path) -> Artifact | None:
        """Bring a source's files to `directory`, verified; None where a listing says that it is not there whole.

        Raises ArtifactDamaged when its bytes are not what its record says.
        """
        place = layout.source_location(digest)
        artifact = self._whole_source(digest)
        if artifact is not None:
            self._download(f"{place}/{layout.OUTPUT}", artifact, directory, "source: fetching")
        return artifact

    def has_source(self, digest: str) -> bool:
        """True when a source is there, whole as a listing tells."""
        return self._whole_source(digest) is not None

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
        if not anew and self._whole_source(artifact.digest) == artifact:
            return
        place = layout.source_location(artifact.digest)
        expected = {f"{place}/{layout.OUTPUT}/{entry.path}" for entry in artifact.files}
        self.bucket.delete(sorted(self.bucket.sizes(f"{place}/{layout.OUTPUT}").keys() - expected))
        self._upload(directory.parent, place, artifact.files, "source: publishing")
        unchanged()
        path = f"{place}/{layout.SOURCE_RECORD}"
        self.bucket.put(path, encode(SourceRecord(artifact=artifact), path))

    def _create_record(self, manifest: RunManifest) -> None:
        path = layout.run_path(manifest.location)
        if not self.bucket.create(path, encode(manifest, path)):
            self.refuse_taken(manifest.location)

    def _whole_source(self, digest: str) -> Artifact | None:
        place = layout.source_location(digest)
        path = f"{place}/{layout.SOURCE_RECORD}"
        record = readable(decode(SourceRecord, self.bucket.get_many([path])[0], path))
        artifact = record.artifact if record else None
        if artifact is None or artifact.digest != digest:
            return None
        sizes = _below(self.bucket.sizes(f"{place}/{layout.OUTPUT}"), f"{place}/{layout.OUTPUT}")
        return (
            artifact if self._damage(f"{place}/{layout.OUTPUT}", sizes, artifact) is None else None
        )

    def _check(self, record: IndexRecord) -> ArtifactDamaged | None:
        location = layout.check_location(record.location)
        sizes = _below(self.bucket.sizes(location), location)
        if layout.RUN_RECORD not in sizes:
            return ArtifactDamaged.missing(layout.RUN_RECORD, "record")
        output = _below(sizes, layout.OUTPUT)
        agrees = (len(output), sum(output.values())) == (record.count, record.bytes)
        if agrees and record.record_bytes == sizes[layout.RUN_RECORD]:
            return None
        return self._difference(record, output)

    def _difference(self, record: IndexRecord, output: Mapping[str, int]) -> ArtifactDamaged | None:
        """The file that makes a listing disagree with its record; asked for only when something is wrong."""
        manifest = self.records.read_run(record.location, record)
        if not manifest or not manifest.output or manifest.output.digest != record.digest:
            return ArtifactDamaged.damaged(layout.RUN_RECORD, "record")
        return self._damage(f"{record.location}/{layout.OUTPUT}", output, manifest.output)

    def _damage(
        self, directory: str, sizes: Mapping[str, int], artifact: Artifact
    ) -> ArtifactDamaged | None:
        """The damage that the sizes of what lies in a directory show of the artifact that belongs there."""
        expected = {entry.path: entry.size for entry in artifact.files}
        for path, size in expected.items():
            if path not in sizes:
                return ArtifactDamaged.missing(path)
            if sizes[path] != size:
                return ArtifactDamaged.damaged(path)
        strange = {f"{directory}/{path}": sizes[path] for path in sizes.keys() - expected.keys()}
        for path in sorted(strange.keys() - self.bucket.markers(strange)):
            return ArtifactDamaged.damaged(
                path.removeprefix(f"{directory}/"), detail=": no run wrote it"
            )
        return None

    def _upload(
        self, directory: Path, location: str, files: Sequence[FileEntry], title: str
    ) -> None:
        with Progress(title, len(files), sum(entry.size for entry in files)) as shown:
            upload(
                self.bucket, directory / layout.OUTPUT, f"{location}/{layout.OUTPUT}", files, shown
            )

    def _download(self, place: str, artifact: Artifact, directory: Path, title: str) -> None:
        """Names come from a bucket that others write: they are checked before any becomes a path here."""
        try:
            layout.check_names(entry.path for entry in artifact.files)
        except ArtifactRejected as error:
            raise ArtifactDamaged.damaged(
                layout.RUN_RECORD, "record", f": {error.message}"
            ) from None
        if artifact_of(artifact.files).digest != artifact.digest:
            raise ArtifactDamaged.damaged(layout.RUN_RECORD, "record")
        with Progress(title, len(artifact.files), artifact.bytes) as shown:
            download(self.bucket, place, artifact.files, directory, shown)


def _below(sizes: Mapping[str, int], directory: str) -> dict[str, int]:
    """The sizes of what lies in a directory, by path from there."""
    start = f"{directory}/"
    return {path.removeprefix(start): n for path, n in sizes.items() if path.startswith(start)}


class BucketLease:
    """A lease that this process holds; a thread of its own renews it."""

    def __init__(self, backend: Backend, path: str, record: LeaseRecord) -> None:
        self._backend, self._path, self._record = backend, path, record
        self._ended = threading.Event()
        self._lost = False
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()

    def still_ours(self) -> bool:
        """False once another took it over.

        True when the server cannot be asked: then nothing can be published there either, and what is computed is kept.
        """
        if self._lost:
            return False
        with suppress(StoreError):
            current = _read(self._backend, self._path)[1]
            return current is not None and current.nonce == self._record.nonce
        return True

    def release(self) -> None:
        """Give it back, unless it is another's already; where that fails it runs out."""
        self._ended.set()
        self._renewer.join()
        with suppress(StoreError):
            self._write(seconds=0.0)

    def _renew(self) -> None:
        while not self._lost and not self._ended.wait(self._record.seconds / 4):
            # What the server cannot take now it may take at the next turn.
            with suppress(StoreError):
                self._lost = not self._write(renewal=self._record.renewal + 1)

    def _write(self, **changes: float) -> bool:
        """Write the record with changes; False when another's stands there. Raises StoreError."""
        while True:
            changed = msgspec.structs.replace(self._record, **changes)
            old, new = (encode(record, self._path) for record in (self._record, changed))
            if self._backend.replace(self._path, old, new):
                self._record = changed
                return True
            current = _read(self._backend, self._path)[1]
            if current is None or current.nonce != self._record.nonce:
                return False
            # A renewal whose answer was lost.
            self._record = current


@contextmanager
def bucket_lease(
    backend: Backend,
    path: str,
    machine: str,
    seconds: float,
    waiting: Callable[[], None],
    holder: Holder | None = None,
) -> Iterator[BucketLease]:
    """Hold the lease at `path`, waiting for it; `waiting` is called before each pause and may raise.

    The caller holds this key's lock on its machine: a lease left by a process of the same `machine` is a dead one's.
    """
    nonce = os.urandom(8).hex()
    record = LeaseRecord(
        nonce=nonce, machine=machine, seconds=seconds, holder=holder or msgspec.UNSET
    )
    _acquire(backend, path, record, waiting)
    lease = BucketLease(backend, path, record)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(backend: Backend, path: str, record: LeaseRecord, waiting: Callable[[], None]) -> None:
    content = encode(record, path)
    seen: Content = None
    since, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    while True:
        current, held = _read(backend, path)
        if current is None:
            if backend.create(path, content):
                return
            continue
        if current != seen:
            seen, since = current, time.monotonic()
        lasts = min(held.seconds if held else record.seconds, LONGEST_SECONDS)
        dead = held is not None and held.machine == record.machine
        if (dead or time.monotonic() - since >= lasts) and backend.replace(path, current, content):
            return
        waiting()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _read(backend: Backend, path: str) -> tuple[Content, LeaseRecord | None]:
    content = backend.get_many([path], SMALL_RECORD_BYTES)[0]
    return content, readable(decode(LeaseRecord, content, path))
