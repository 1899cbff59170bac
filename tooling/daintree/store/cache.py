"""The directory in front of a bucket: what may go from one to the other, and what is done without a server.

A cache belongs to one address: server, bucket and prefix. Each run in it knows its origin, with the address: a cache that was moved or
copied to another address's place counts for nothing there. Only what this machine computed for this address, by a process that may write
there, is published; what was downloaded, or computed by one that may only read, never.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from daintree.digest import digest_record, short
from daintree.errors import ArtifactDamaged, StoreError, StoreForbidden, StoreUnavailable
from daintree.store import records
from daintree.store.backend import MAX_RECORD_BYTES, Backend, Content, Entry, translate_errors
from daintree.store.bucket import Bucket
from daintree.store.index import Records, publish_result
from daintree.store.layout import RUN_RECORD, lease_path, note_path
from daintree.store.leases import Lease
from daintree.store.local import LocalRuns
from daintree.store.remote import RemoteRuns, bucket_lease

Result = TypeVar("Result")


def cache_directory(caches: Path, bucket: Bucket) -> Path:
    """The directory of the cache of an address, below that of all caches."""
    return caches / f"{bucket.name}-{short(address_of(bucket), 16)}"


def address_of(bucket: Bucket) -> str:
    """The digest of server, bucket and prefix."""
    return digest_record(
        "cache", 1, [bucket.access.endpoint.rstrip("/"), bucket.name, bucket.prefix]
    )


class Availability:
    """Performs actions on a bucket, or something else in their place.

    `alone_allowed`: a server that cannot be reached is done without, for the rest of the process. `cache` keeps this
    machine's notes; `say` gets a line for people.
    """

    def __init__(
        self, bucket: Bucket, cache: LocalRuns, alone_allowed: bool, say: Callable[[str], None]
    ) -> None:
        self._bucket, self._cache, self._say = bucket, cache, say
        self._alone_allowed = alone_allowed
        self._alone = self._read_only = self._proved = self._wrote = False
        self._lock = threading.Lock()
        self._address = address_of(bucket)
        access = bucket.access
        identity = digest_record("access key", 1, [access.endpoint, bucket.url, access.access_key])
        # The machine's role may change from process to process: it has no fingerprint.
        self._key = short(identity) if access.access_key else ""

    @property
    def is_alone(self) -> bool:
        """True once the server is done without."""
        return self._alone

    def read(self, action: Callable[[], Result], otherwise: Result) -> Result:
        """The result of `action`, which reads the bucket. Raises what it raises, unless the bucket can be done without."""
        if not self._alone:
            try:
                return action()
            except StoreUnavailable as error:
                self._do_without(error)
        return otherwise

    def write(self, action: Callable[[], Result], otherwise: Callable[[], Result]) -> Result:
        """The result of `action`, which writes to the bucket; with a key that may only read, of `otherwise`.

        Raises StoreError before the first write where the server does not do what publishing relies on.
        """
        if not self._alone and not self._read_only:
            try:
                self._prove()
                result = action()
                self._wrote = True
                return result
            except StoreForbidden:
                self._publish_nothing()
            except StoreUnavailable as error:
                self._do_without(error)
        return otherwise()

    def origin(self, *, computed: bool) -> records.OriginRecord:
        """The origin of a run that enters the cache now."""
        right: Literal["writer", "reader", "unknown"] = "writer" if self._wrote else "unknown"
        return records.OriginRecord(
            computed=computed,
            right="reader" if self._read_only else right,
            key=self._key,
            address=self._address,
        )

    def is_here(self, origin: records.OriginRecord) -> bool:
        """True for a run that entered the cache of this very address."""
        return origin.address == self._address

    def may_publish(self, origin: records.OriginRecord | None) -> bool:
        """True for a run that this machine computed for this address in a process that may write there.

        One that could not tell, since the server was away, counts where it had the key of this process.
        """
        if origin is None or not self.is_here(origin):
            return False
        if not origin.computed or origin.right == "reader":
            return False
        return origin.right == "writer" or self._has_key(origin)

    def may_use(self, origin: records.OriginRecord | None) -> bool:
        """True for a run of the cache that counts although the bucket does not lead to it.

        That is one to be published, one that this very key computed, and without a server whatever came from it, and what a role computed.
        """
        if origin is None or not self.is_here(origin):
            return False
        own = origin.computed and self._has_key(origin)
        without_server = not origin.computed or origin.key == self._key
        return self.may_publish(origin) or own or (self._alone and without_server)

    def _has_key(self, origin: records.OriginRecord) -> bool:
        return bool(self._key) and origin.key == self._key

    def _prove(self) -> None:
        """Prove the server, once for each bucket and machine."""
        with self._lock:
            if self._proved:
                return
            if self._cache.records.read_note("probe") is None:
                self._bucket.prove()
                self._cache.records.write_note("probe", b"honours If-None-Match")
            self._proved = True

    def _publish_nothing(self) -> None:
        with self._lock:
            known, self._read_only = self._read_only, True
        if not known:
            self._say(
                f"note: nothing is published to {self._bucket.url}, where this key may not write; results stay in the cache"
            )

    def _do_without(self, error: StoreUnavailable) -> None:
        if not self._alone_allowed:
            raise error
        with self._lock:
            known, self._alone = self._alone, True
        if not known:
            self._say(f"warning: {error.message}; going on with the cache alone")


class FallbackBackend:
    """A `Backend` that is read from the bucket, then from the cache, and written to the bucket where that can be."""

    def __init__(self, bucket: Backend, cache: Backend, availability: Availability) -> None:
        self._bucket, self._cache, self._availability = bucket, cache, availability

    @property
    def url(self) -> str:
        return self._bucket.url

    def get_many(self, paths: Sequence[str], limit: int = MAX_RECORD_BYTES) -> list[Content]:
        """The cache is asked for what the bucket does not have."""
        nothing: list[Content] = [None for _ in paths]
        contents = self._availability.read(lambda: self._bucket.get_many(paths, limit), nothing)
        return [
            self._cache.get_many([path], limit)[0] if content is None else content
            for path, content in zip(paths, contents, strict=True)
        ]

    def create(self, path: str, content: bytes) -> bool:
        return self._availability.write(
            lambda: self._bucket.create(path, content), lambda: self._cache.create(path, content)
        )

    def put(self, path: str, content: bytes) -> None:
        self._availability.write(
            lambda: self._bucket.put(path, content), lambda: self._cache.put(path, content)
        )

    def replace(self, path: str, old: Content, new: bytes) -> bool:
        return self._availability.write(
            lambda: self._bucket.replace(path, old, new),
            lambda: self._cache.replace(path, old, new),
        )

    def list(self, prefix: str = "") -> Iterator[Entry]:
        import heapq

        last = ""
        for entry in heapq.merge(self._listed(prefix), self._cache.list(prefix)):
            if entry.path != last:
                yield entry
            last = entry.path

    def children(self, prefix: str) -> Sequence[str]:
        nothing: Sequence[str] = []
        names = self._availability.read(lambda: self._bucket.children(prefix), nothing)
        return sorted({*names, *self._cache.children(prefix)})

    def delete(self, paths: Sequence[str]) -> None:
        self._availability.write(lambda: self._bucket.delete(paths), lambda: None)
        self._cache.delete(paths)

    def delete_below(self, prefix: str) -> None:
        self._availability.write(lambda: self._bucket.delete_below(prefix), lambda: None)
        self._cache.delete_below(prefix)

    def _listed(self, prefix: str) -> Iterator[Entry]:
        entries = self._bucket.list(prefix)
        while entry := self._availability.read(lambda: next(entries, None), None):
            yield entry


class Copies:
    """Fetches runs and sources into the cache, publishes those of the cache, and remembers those that are not whole in the bucket."""

    def __init__(
        self,
        remote: RemoteRuns,
        cache: LocalRuns,
        availability: Availability,
        say: Callable[[str], None],
    ) -> None:
        self._remote, self._cache, self._say = remote, cache, say
        self._availability = availability
        # Digests of sources whose bytes in the bucket were found to be others; no listing shows it.
        self._damaged_sources: set[str] = set()

    def check_remote(
        self, doubtful: Sequence[tuple[records.IndexRecord, ArtifactDamaged | None]]
    ) -> list[ArtifactDamaged | None]:
        """The damage in the bucket of runs that the cache does not hold whole, in one parallel round.

        Each comes with its damage in the cache, which stands where the bucket cannot be asked or has nothing of the run.
        """
        marks = [self.mark(record) for record, _ in doubtful]
        unmarked = [record for (record, _), mark in zip(doubtful, marks, strict=True) if not mark]
        checked = self._availability.read(lambda: self._remote.check_all(unmarked), None)
        remote = iter(checked or [])
        answers: list[ArtifactDamaged | None] = []
        for (_, local), mark in zip(doubtful, marks, strict=True):
            if mark or checked is None:
                answers.append(mark or local)
                continue
            damage = next(remote)
            absent = damage and (damage.file, damage.kind) == (RUN_RECORD, "missing")
            answers.append(local if absent and local else damage)
        return answers

    def fetch(self, record: records.IndexRecord) -> None:
        """Make the cache hold the run of an index record whole, in place of what it has of it.

        Raises ArtifactDamaged when the bucket does not have it whole.
        """
        with self._cache.lease(digest_record("copy", 1, record.location), lambda: None):
            local = self._cache.damage(record)
            if local is None:
                return
            if os.path.lexists(self._cache.path(record.location)):
                self._say(f"warning: {local.message} (in {self._cache.root}); fetching it again")
            try:
                self._fetch(record)
            except ArtifactDamaged as damage:
                # A listing shows a run that is gone.
                absent = (damage.file, damage.kind) == (RUN_RECORD, "missing")
                if not absent and not self._remote.is_collected(record.location):
                    self._mark(record, damage)
                raise
        current = self._cache.records.lookup([record.content])[0]
        self._cache.records.publish_index(record.content, record, current)

    def fetch_source(self, digest: str) -> Path | None:
        """The directory of a source, fetched into the cache; None where the bucket does not have it whole."""
        name = f"source-{os.urandom(8).hex()}"
        with translate_errors(self._cache.root), self._cache.directory.stage(name) as staging:
            try:
                artifact = self._remote.fetch_source(digest, staging.output)
            except ArtifactDamaged as damage:
                self._damaged_sources.add(digest)
                self._say(f"warning: source: {damage.message}; fetching it again")
                return None
            return self._cache.add_source(staging, artifact) if artifact else None

    def publish_source(self, directory: Path, artifact: records.Artifact) -> None:
        """Put a source of the cache, which has it in `directory`, into the bucket: unless it is there and not known as damaged.

        Raises StoreError when it is not whole any more.
        """

        def unchanged() -> None:
            if self._cache.source_path(artifact.digest) is None:
                raise StoreError(f"the source in {directory} was changed while it was published")

        anew = artifact.digest in self._damaged_sources
        self._remote.add_source(directory, artifact, unchanged, anew=anew)

    def publish(self, location: str, *, computed_now: bool = False) -> bool:
        """Put the cache's copy of a run into the bucket, if it is whole before and after; False where it may not be published.

        `computed_now`: by this process, which may try.
        """
        manifest = self._cache.records.read_run(location)
        may = computed_now or self._availability.may_publish(self._cache.origin(location))
        if manifest is None or not may:
            return False

        def unchanged() -> None:
            if manifest.output:
                self._cache.check(records.index_record_of(manifest), thorough=False)

        self._remote.publish(Path(self._cache.path(location)).parent, manifest, unchanged)
        return True

    def _fetch(self, record: records.IndexRecord) -> None:
        name = f"copy-{os.urandom(8).hex()}"
        manifest, content = self._remote.read_record(record)
        if manifest.output is None or manifest.output.digest != record.digest:
            raise ArtifactDamaged.damaged(RUN_RECORD, "record")
        with translate_errors(self._cache.root), self._cache.directory.stage(name) as staging:
            self._remote.fetch(manifest, staging.output.parent)
            origin = self._availability.origin(computed=False)
            self._cache.keep_copy(staging, manifest, content, origin)

    def _mark(self, record: records.IndexRecord, damage: ArtifactDamaged) -> None:
        path = _mark_path(record.location)
        mark = records.DamageRecord(file=damage.file, problem=damage.kind)  # type: ignore[arg-type]
        self._cache.directory.put(path, records.encode(mark, path))

    def mark(self, record: records.IndexRecord) -> ArtifactDamaged | None:
        """The damage of a run that was found when it was fetched."""
        mark = self._cache.records.read(records.DamageRecord, _mark_path(record.location))
        if mark is None:
            return None
        subject = "record" if mark.file == RUN_RECORD else "output file"
        absent = mark.problem == "missing"
        error = ArtifactDamaged.missing if absent else ArtifactDamaged.damaged
        return error(mark.file, subject)


@dataclass(frozen=True)
class Shared:
    """The bucket behind a cache, and the rules between the two; `unshared` are the locations that a key led to in the cache alone."""

    remote: RemoteRuns
    local: LocalRuns
    availability: Availability
    copies: Copies
    all_records: Records
    lease_seconds: float
    unshared: set[str] = field(default_factory=set)

    def lookup(self, keys: Sequence[str]) -> list[records.IndexRecord | None]:
        """The bucket's record of each key; where it has none that counts, the cache's own, if its origin allows it."""
        nothing: list[records.IndexRecord | None] = [None for _ in keys]
        published = self.availability.read(lambda: self.remote.records.lookup(keys), nothing)
        return [
            record if record and not self.copies.mark(record) else self._cached(key, record)
            for key, record in zip(keys, published, strict=True)
        ]

    def share(self, keys: records.Keys, record: records.IndexRecord) -> records.IndexRecord:
        """Publish a run of the cache with its keys; return the record that stands, `record` itself where nothing may be published."""

        def publish() -> records.IndexRecord:
            [current] = self.remote.records.lookup([keys.content])
            is_whole = current is not None and not self.copies.check_remote([(current, None)])[0]
            of_key = record.content == keys.content
            if not is_whole and not (of_key and self.copies.publish(record.location)):
                return record
            replacing = None if is_whole else current
            winner = publish_result(self.remote.records, keys, record, replacing=replacing)
            self.unshared.discard(record.location)
            return winner

        return self.availability.write(publish, lambda: record)

    def lease(
        self, content_key: str, waiting: Callable[[], None], holder: records.Holder | None
    ) -> AbstractContextManager[Lease]:
        """Hold the lease of a content key in the bucket, as `Store.lease`."""
        bucket, path = self.remote.bucket, lease_path(content_key)
        return bucket_lease(bucket, path, self._machine(), self.lease_seconds, waiting, holder)

    def _cached(self, key: str, remote: records.IndexRecord | None) -> records.IndexRecord | None:
        """The cache's own record of a key for which the bucket has none or, as far as is known, a damaged one."""
        cached = self.local.records.lookup([key])[0]
        if cached is None or cached == remote:
            return remote
        if not self.availability.may_use(self.local.origin(cached.location)):
            return remote
        self.unshared.add(cached.location)
        return cached

    def _machine(self) -> str:
        """The name of this machine's cache: whoever holds its locks knows who else of it is alive."""
        with self.local.lease(digest_record("machine", 1, ""), lambda: None):
            known = self.local.records.read_note("machine")
            if not known:
                known = os.urandom(8).hex().encode()
                self.local.records.write_note("machine", known)
        return f"{known.decode('ascii', 'replace')}@{platform.node()}"


def fingerprint(location: str) -> str:
    """A location as part of a note's name."""
    return hashlib.sha256(location.encode()).hexdigest()


def _mark_path(location: str) -> str:
    return note_path(f"damaged/{fingerprint(location)}")
