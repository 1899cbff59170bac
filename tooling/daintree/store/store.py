"""The store: runs, their index, sources, notes and leases, in a directory of this machine or in a bucket with such a directory as its cache.

A location is the path of a run below the store, `<component>/<version>/<year>/<month>/<day>/<run id>` by
default; records hold it whole, so that the layout can change without losing runs.

With a bucket, what is computed enters the cache first and is published from there; what others have computed is fetched into it,
verified, when it is read. So stages, `doit path` and `output:` read local directories as ever. A record in the bucket wins over
the cache's own; one that the cache alone has is published when its stage is next settled, if its origin allows it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from daintree.errors import (
    ArtifactDamaged,
    StoreError,
    StoreForbidden,
    StoreUnavailable,
    UsageError,
)
from daintree.store.backend import Backend, Content, Unreadable, open_regular
from daintree.store.directory import Staging
from daintree.store.index import Records
from daintree.store.layout import LOG, OUTPUT, collected_path
from daintree.store.local import LocalRuns
from daintree.store.records import (
    Artifact,
    CollectedRecord,
    FileEntry,
    HistoryEntry,
    Holder,
    IndexRecord,
    Keys,
    NameRecord,
    RunManifest,
    index_record_of,
)
from daintree.terminal import say, size

if TYPE_CHECKING:
    from daintree.settings import Settings
    from daintree.store.cache import Shared
    from daintree.store.leases import Lease
    from daintree.store.remote import RemoteRuns
    from daintree.store.s3 import S3Access

LEASE_SECONDS = 20.0
# A file of a bucket has to be read whole before a byte of it may be believed.
FETCHED_BYTES = 64 << 20
CHUNK = 1 << 20


class Store:
    """Runs are kept, found and verified here. Processes and threads may share a store.

    Every method raises StoreError when the store cannot be reached, read or written.
    """

    def __init__(self, local: LocalRuns, shared: Shared | None = None, *, verify: bool = False):
        """`local` is the embedded store, or the cache of what is `shared`; `verify` hashes every file that is checked. `records` are the store's, with those that a cache alone has."""
        self.local, self.shared, self._verify = local, shared, verify
        self.records = shared.all_records if shared else local.records

    @property
    def url(self) -> str:
        """The address of the store, as its reader would write it; without credentials."""
        return self.records.backend.url

    @property
    def directory(self) -> Path:
        """The directory on this machine that the store keeps things in."""
        return Path(self.local.root)

    @property
    def backend(self) -> Backend:
        """The records and files of the store itself, without the cache."""
        return self.shared.remote.bucket if self.shared else self.local.directory

    @property
    def published(self) -> RemoteRuns:
        """The runs and sources in the bucket itself, which pods read and write. Raises UsageError for a store on this machine."""
        if self.shared is None:
            raise UsageError(
                f"the artifact store {self.url} is on this machine, where no pod can reach it",
                hint="set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket",
            )
        return self.shared.remote

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """The index record of each stage key, in order, in one parallel round; None where none counts.

        For a key that the bucket does not lead from, or not to a whole run, the cache's own record, if its origin allows it.
        """
        return (self.shared or self.local.records).lookup(keys)

    def fault(self, key: str) -> str:
        """Reason that the last `lookup` found no record under a key although something stands there; "" otherwise."""
        return self._own_records.fault(key)

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None = None
    ) -> IndexRecord:
        """Make `key` lead to `record`; return the record that stands afterwards. See `Records.publish_index`.

        The cache's index follows for runs that the cache holds.
        """
        if self.shared is None:
            return self.local.records.publish_index(key, record, replacing)
        remote = self.shared.remote.records
        winner = self.shared.availability.write(
            lambda: remote.publish_index(key, record, replacing), lambda: None
        )
        cached = self.local.records.lookup([key])[0]
        if winner is None:
            own = cached if replacing else None
            return self.local.records.publish_index(key, record, own)
        if cached != winner and self.local.records.read_run(winner.location):
            self.local.records.publish_index(key, winner, cached)
        return winner

    def check(self, record: IndexRecord, *, thorough: bool) -> None:
        """Raise ArtifactDamaged unless the run's output agrees with its record.

        Always: the files listed are the run record's, each of its size, and none was altered since it was last verified as far as the
        store can tell cheaply. `thorough`: each file's bytes are read and hashed; a run that the cache does not hold whole is fetched,
        and none is collected while this process uses it.
        """
        thorough = thorough or self._verify
        if thorough:
            self.local.hold(record.location)
        if self.shared is None:
            return self.local.check(record, thorough=thorough)
        try:
            self.local.check(record, thorough=thorough)
        except ArtifactDamaged as local:
            damage = self.shared.copies.check_remote([(record, local)])[0]
            if damage:
                raise damage from None
            if thorough:
                self.shared.copies.fetch(record)
                self.local.hold(record.location)

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """The damage that `check` finds of each record, in order, in one parallel round; None: it agrees."""
        local = [self.local.damage(record, thorough=self._verify) for record in records]
        if self.shared is None:
            return local
        doubtful = [pair for pair in zip(records, local, strict=True) if pair[1]]
        remote = iter(self.shared.copies.check_remote(doubtful))
        return [next(remote) if damage else None for damage in local]

    def holds(self, record: IndexRecord) -> bool:
        """True when all who share this store find what `lookup` found here; told without asking a server."""
        return self.shared is None or record.location not in self.shared.unshared

    def share(self, keys: Keys, record: IndexRecord) -> IndexRecord:
        """Publish a hit that this machine alone knows (`holds` is false), run and keys; return the record that stands.

        Another's record that came first wins. Where nothing can or may be published, `record` itself.
        """
        if self.shared is None or self.holds(record):
            return record
        return self.shared.share(keys, record)

    def read_run(self, location: str) -> RunManifest | None:
        """The run record at a location; None where there is none or it is not readable."""
        return self.local.records.read_run(location) or (
            self.records.read_run(location) if self.shared else None
        )

    def output_path(self, record: IndexRecord) -> Path:
        """The local directory where the run's output can be read (never written) in place; fetched there if need be.

        It was verified: no file has changed since it was hashed. It is not collected while this process lives. Raises ArtifactDamaged.
        """
        self.local.hold(record.location)
        if self.shared is None:
            self.local.check(record, thorough=self._verify)
        elif self.local.damage(record, thorough=self._verify):
            self.shared.copies.fetch(record)
            self.local.hold(record.location)
        return Path(self.local.path(record.location))

    def read_head(self, run: RunManifest, entry: FileEntry, most: int) -> bytes | None:
        """The first bytes of a file of a run's output, at most so many; None where a bucket's file is too large to verify for that.

        Raises ArtifactDamaged.
        """
        if self._is_here(run):
            with self._opened(run, entry) as file:
                return file.read(most)
        return None if entry.size > FETCHED_BYTES else self._fetched(run, entry)[:most]

    def chunks(self, run: RunManifest, entry: FileEntry) -> Iterator[bytes]:
        """A whole file of a run's output, piece by piece; a bucket's is fetched alone, and verified before its first piece. Raises ArtifactDamaged."""
        if not self._is_here(run):
            yield self._fetched(run, entry)
            return
        with self._opened(run, entry) as file:
            while piece := file.read(CHUNK):
                yield piece

    def collected(self, location: str) -> CollectedRecord | None:
        """The record that the output of the run at a location was collected; None where it was not."""
        return self._own_records.read(CollectedRecord, collected_path(location))

    def address(self, location: str, part: str = OUTPUT) -> str:
        """The place of a part of the run (`output`, `log.txt`) now, for people: a whole local copy's path, else a URL; fetches nothing."""
        path = self.local.path(location, part)
        is_here = self.shared is None or (
            os.path.exists(path) and (part != OUTPUT or self._is_whole(location))
        )
        return path if is_here else f"{self.url}/{location}/{part}"

    def log_path(self, location: str) -> Path:
        """The local file with the run's log; it may be missing. A log that only the bucket has is fetched alone."""
        path = Path(self.local.path(location, LOG))
        if self.shared is None or path.exists() or self.local.records.read_run(location):
            return path
        read = self.shared.remote.read_log
        content = self.shared.availability.read(lambda: read(location), None)
        if content is None:
            return path
        from daintree.store.cache import fingerprint

        fetched = f"_logs/{fingerprint(location)}"
        self.local.directory.put(fetched, content)
        return Path(self.local.root, fetched)

    def read_log(self, location: str) -> Content:
        """The run's log; None where it is missing, Unreadable for what is no regular file or too large."""
        return self.local.read_log(self.log_path(location))

    def open_log(self, location: str) -> AbstractContextManager[BufferedReader | Unreadable | None]:
        """The run's log, open for reading, as `open_regular`. Raises OSError."""
        return open_regular(str(self.log_path(location)))

    def log_fault(self, manifest: RunManifest) -> str:
        """Reason that the log at `log_path` is not the run's; "" where it is."""
        return self.local.log_fault(manifest, self.log_path(manifest.location))

    def stage(self, run: str, key: str = "") -> AbstractContextManager[Staging]:
        """A staging directory for the run with this id. Raises StoreError for a run that is being staged already."""
        return self.local.directory.stage(run, key)

    def publish_run(self, staging: Staging, manifest: RunManifest) -> RunManifest:
        """Move the staged output and log to `manifest.location`, then write run.json, then the history entry.

        The output enters by rename, and its files become read-only; a run without output publishes its log and run record alone.
        A reader never sees the record of a run whose output is not whole. Returns the record as it was written, with the log's digest.
        It enters the cache first, and is not lost when publishing fails. Raises StoreUnavailable when the server has gone.
        """
        if self.shared is None:
            return self.local.publish(staging, manifest)
        shared = self.shared
        # A server that is gone by now must not cost what was computed: that is told once it is kept.
        with suppress(StoreUnavailable):
            shared.availability.read(lambda: shared.remote.refuse_taken(manifest.location), None)
        origin = shared.availability.origin(computed=True)
        manifest = self.local.publish(staging, manifest, origin)
        if manifest.output:
            # Found whatever becomes of the bucket.
            key, record = manifest.keys.content, index_record_of(manifest)
            self.local.records.publish_index(key, record, self.local.records.lookup([key])[0])

        def publish() -> None:
            # By the process that has just computed it; the action itself shows that it may.
            if not shared.copies.publish(manifest.location, computed_now=True):
                raise StoreError(f"run {manifest.run} is gone from {self.directory}")

        try:
            shared.availability.write(publish, lambda: None)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{error.message}; run {manifest.run} is kept in {self.directory} and not published",
                hint="run again when the server is back: what is kept is published then, not computed again",
            ) from None
        return manifest

    def history(self, pipeline: str = "", stage: str = "", most: int = 1) -> Iterator[HistoryEntry]:
        """The runs of a stage, a pipeline or all, newest first, failed ones too; read as they are taken, the first `most` together."""
        return self.records.history(pipeline, stage, most)

    def latest_run(self, pipeline: str, stage: str, among: int | None = None) -> RunManifest | None:
        """The stage's latest run that succeeded, of its latest (None: all); else the latest; None when there is none."""
        failed = ""
        for entry in islice(self.history(pipeline, stage), among):
            if entry.result == "succeeded" and (run := self.read_run(entry.location)):
                return run
            failed = failed or entry.location
        return self.read_run(failed) if failed else None

    def write_name(self, record: NameRecord, replacing: NameRecord | None) -> bool:
        """Put the record of a name in the place of `replacing`, as `Records.write_name` does.

        Raises StoreForbidden with a key that may only read: a name in the cache alone would be nobody else's.
        """
        if self.shared is None:
            return self.records.write_name(record, replacing)
        own = self.shared.remote.records
        written = self.shared.availability.write(
            lambda: own.write_name(record, replacing), lambda: None
        )
        if written is None:
            raise StoreForbidden(
                f"the name {record.name} cannot be written to {self.url}",
                hint="use a key that may write there, when the server can be reached",
            )
        return written

    @contextmanager
    def lease(
        self, content_key: str, *, waiting: Callable[[], None], holder: Holder | None = None
    ) -> Iterator[Lease]:
        """Hold the lease of a content key, waiting for whoever holds it; others see its `holder`.

        `waiting` is called again and again while it waits (several times a second), and may raise to give up.
        A holder that died does not keep the lease. With a bucket the cache's lock comes first, then, where the bucket can be written, the lease there.
        """
        with self.local.lease(content_key, waiting, holder) as local, ExitStack() as stack:
            if self.shared is None:
                yield local
                return
            shared = self.shared
            yield shared.availability.write(
                lambda: stack.enter_context(shared.lease(content_key, waiting, holder)),
                lambda: local,
            )

    def source_path(self, digest: str) -> Path | None:
        """The local directory of a source kept under this artifact digest; None where it is not whole. Fetched if need be."""
        local = self.local.source_path(digest)
        if local or self.shared is None:
            return local
        copies = self.shared.copies
        return self.shared.availability.read(lambda: copies.fetch_source(digest), None)

    def add_source(self, staging: Staging, artifact: Artifact) -> Path:
        """Keep the staged output as the source with this artifact's digest; return its local directory."""
        path = self.local.add_source(staging, artifact)
        if self.shared:
            copies = self.shared.copies
            self.shared.availability.write(
                lambda: copies.publish_source(path, artifact), lambda: None
            )
        return path

    def read_note(self, name: str, *, shared: bool = True) -> bytes | None:
        """A small record, e.g. a URL's validators; None where there is none.

        One that is not `shared` is of use on this machine alone, and no other is asked for it.
        """
        return (self.records if shared else self.local.records).read_note(name)

    def write_note(self, name: str, content: bytes, *, shared: bool = True) -> None:
        """Keep a small record, whole or not at all; the last writer wins."""
        (self.records if shared else self.local.records).write_note(name, content)

    def usage(self) -> tuple[int, int]:
        """(runs, bytes) held; of the bucket where there is one."""
        from daintree.store.contents import measure

        return measure(self.backend)

    def empty(self) -> None:
        """Remove every run, index record, source and lease of this store, and of this machine's cache, and nothing else.

        Staging directories and leases of other processes stay. Raises StoreError for a directory that is not marked as a store.
        """
        from daintree.store.contents import empty

        empty(self.backend)
        if self.shared:
            empty(self.local.directory)

    @property
    def _own_records(self) -> Records:
        """The records of the store itself, without the cache's."""
        return self.shared.remote.records if self.shared else self.local.records

    def _is_here(self, run: RunManifest) -> bool:
        """True when the output lies on this machine, or should: the embedded store's, or one that the cache holds whole."""
        return self.shared is None or "://" not in self.address(run.location)

    @contextmanager
    def _opened(self, run: RunManifest, entry: FileEntry) -> Iterator[BinaryIO]:
        """The file, open for reading, of an output that was verified; links are not followed."""
        path = self.output_path(index_record_of(run)) / entry.path
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{entry.path} cannot be read: {error.strerror}") from None
        with open(descriptor, "rb") as file:
            yield file

    def _fetched(self, run: RunManifest, entry: FileEntry) -> bytes:
        if entry.size > FETCHED_BYTES:
            raise StoreError(
                f"{entry.path} has {size(entry.size)}: too large to be fetched alone",
                hint=f"doit pull {run.pipeline}:{run.stage}",
            )
        path = f"{run.location}/{OUTPUT}/{entry.path}"
        content = self.backend.get_many([path], max(1, entry.size))[0]
        if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != entry.sha256:
            kind = "missing" if content is None else "damaged"
            raise ArtifactDamaged(
                f"output file {entry.path} of run {run.run} is {kind}", file=entry.path, kind=kind
            )
        return content

    def _is_whole(self, location: str) -> bool:
        manifest = self.local.records.read_run(location)
        if manifest is None or manifest.output is None:
            return False
        return self.local.damage(index_record_of(manifest)) is None


def directory_store(
    root: Path, *, verify: bool = False, warn: Callable[[str], None] = say
) -> Store:
    """The embedded store in a directory, which the first write makes; reading from one that does not exist finds nothing."""
    return Store(LocalRuns(root, warn), verify=verify)


def shared_store(
    url: str,
    access: S3Access,
    caches: Path,
    *,
    alone_allowed: bool = False,
    verify: bool = False,
    brief: bool = False,
    lease_seconds: float = LEASE_SECONDS,
    warn: Callable[[str], None] = say,
) -> Store:
    """The store at `url`, s3://bucket[/prefix], with its cache below `caches`; `alone_allowed` to go on where there is no server, `brief` to
    wait for none.

    Raises StoreError for a URL that names no bucket; nothing is read or written yet.
    """
    from daintree.store.bucket import Bucket
    from daintree.store.cache import Availability, Copies, FallbackBackend, Shared, cache_directory
    from daintree.store.remote import RemoteRuns

    bucket = Bucket(url, access, brief=brief)
    remote = RemoteRuns(bucket, warn)
    local = LocalRuns(cache_directory(caches, bucket), warn)
    availability = Availability(bucket, local, alone_allowed, warn)
    records = Records(FallbackBackend(bucket, local.directory, availability), warn)
    copies = Copies(remote, local, availability, warn)
    shared = Shared(remote, local, availability, copies, records, lease_seconds)
    return Store(local, shared, verify=verify)


def open_store(settings: Settings, *, verify: bool = False, brief: bool = False) -> Store:
    """The store that the settings name: a directory's path, or `s3://…`, whose server is not waited for with `brief`. Nothing is read or written yet.

    Raises StoreError for a scheme that no backend serves, SettingsError for what reaches no server.
    """
    scheme, mark, _ = settings.store.partition("://")
    if not mark:
        return directory_store(Path(settings.store), verify=verify)
    if scheme != "s3":
        raise StoreError(
            f"no artifact store is known for {scheme}://",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to a directory or to s3://bucket",
        )
    from daintree.store.s3 import read_s3_access

    return shared_store(
        settings.store,
        read_s3_access(),
        settings.cache,
        alone_allowed=settings.when_unavailable == "local",
        verify=verify,
        brief=brief,
    )
