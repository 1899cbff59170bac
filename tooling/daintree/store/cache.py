"""The store in a bucket, with a directory store in front of it as its cache.

What is computed enters the cache first and is published from there; what others have computed is fetched into it, verified,
when it is read. So stages, `doit path` and `output:` read local directories as ever. A record in the bucket wins over
the cache's own; one that the cache alone has is published when its stage is next settled.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from daintree.digest import digest_record
from daintree.errors import ArtifactDamaged, StoreError, StoreUnavailable
from daintree.store.bucket import Bucket
from daintree.store.directory import DirectoryStore
from daintree.store.index import LEASES, MANIFEST, NOTES, Records
from daintree.store.integrity import OUTPUT
from daintree.store.layered import LayeredObjects, Reach
from daintree.store.leases import LEASE_SECONDS, bucket_lease
from daintree.store.names import hexadecimal
from daintree.store.objects import mapped
from daintree.store.progress import say
from daintree.store.records import (
    SCHEMA,
    Artifact,
    IndexRecord,
    RunManifest,
    decode,
    encode,
    index_record_of,
)
from daintree.store.remote import RemoteRuns
from daintree.store.s3 import S3Access
from daintree.store.transfer import damaged, missing

if TYPE_CHECKING:
    from daintree.store.protocol import Lease, Staging


class DamageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was found wrong with a run in the bucket when its bytes were fetched: no listing shows it."""

    schema: int = SCHEMA
    file: str
    kind: Literal["missing", "damaged"]


class Copies:
    """Fetches runs and sources into the cache, and remembers those that could not be fetched whole."""

    def __init__(
        self, remote: RemoteRuns, cache: DirectoryStore, reach: Reach, say: Callable[[str], None]
    ) -> None:
        self._remote, self._cache, self._reach, self._say = remote, cache, reach, say
        # Digests of sources whose bytes in the bucket were found to be others; no listing shows it.
        self._damaged_sources: set[str] = set()

    def check_far(
        self, doubtful: Sequence[tuple[IndexRecord, ArtifactDamaged | None]]
    ) -> list[ArtifactDamaged | None]:
        """What the bucket says of runs that the cache does not hold whole, in one parallel round.

        Each comes with what the cache says, which stands where the bucket cannot be asked or has nothing of the run.
        """
        marks = [self._marked(record) for record, _ in doubtful]
        asked = [record for (record, _), mark in zip(doubtful, marks, strict=True) if not mark]
        found = self._reach.ask(lambda: self._remote.check_all(asked), None)
        far = iter(found or [])
        answers: list[ArtifactDamaged | None] = []
        for (_, near), mark in zip(doubtful, marks, strict=True):
            if mark or found is None:
                answers.append(mark or near)
                continue
            damage = next(far)
            absent = damage and (damage.file, damage.kind) == (MANIFEST, "missing")
            answers.append(near if absent and near else damage)
        return answers

    def is_marked(self, record: IndexRecord) -> bool:
        """Whether the run was found damaged when it was fetched."""
        return self._marked(record) is not None

    def fetch(self, location: str) -> None:
        """Make the cache hold the run whole, in place of what it has of it.

        Raises ArtifactDamaged when the bucket does not have it whole.
        """
        with self._cache.lease(digest_record("copy", 1, location), waiting=lambda: None):
            manifest = self._remote.records.read_run(location)
            if manifest is None or manifest.output is None:
                raise missing(MANIFEST, "record")
            held = self._cache.check_all([index_record_of(manifest)])[0]
            if held is None:
                return
            if os.path.lexists(self._cache.output_path(location)):
                self._say(f"warning: {held.message} (in {self._cache.url}); fetching it again")
            self._fetch(manifest)

    def fetch_source(self, digest: str) -> Path | None:
        """The directory of a source, fetched into the cache; None where the bucket does not have it whole."""
        name = f"source-{os.urandom(8).hex()}"
        with mapped(self._cache.url), self._cache.stage(name) as staging:
            try:
                artifact = self._remote.fetch_source(digest, staging.output)
            except ArtifactDamaged as damage:
                self._damaged_sources.add(digest)
                self._say(f"warning: source: {damage.message}; fetching it again")
                return None
            return self._cache.add_source(staging, artifact) if artifact else None

    def publish_source(self, directory: Path, artifact: Artifact) -> None:
        """Put a source of the cache, which has it in `directory`, into the bucket: unless it is there and not known as damaged.

        Raises StoreError when it is not whole any more.
        """

        def unchanged() -> None:
            if self._cache.source_path(artifact.digest) is None:
                raise StoreError(f"the source in {directory} was changed while it was published")

        anew = artifact.digest in self._damaged_sources
        self._remote.add_source(directory, artifact, unchanged, anew=anew)

    def _fetch(self, manifest: RunManifest) -> None:
        with mapped(self._cache.url), self._cache.stage(f"copy-{os.urandom(8).hex()}") as staging:
            try:
                self._remote.fetch(manifest, staging.output.parent)
            except ArtifactDamaged as damage:
                mark = DamageRecord(file=damage.file, kind=damage.kind)  # type: ignore[arg-type]
                self._cache.write_note(_mark(manifest.location), encode(mark))
                raise
            self._cache.keep_copy(staging, manifest)
        record = index_record_of(manifest)
        standing = self._cache.lookup([manifest.keys.content])[0]
        self._cache.publish_index(manifest.keys.content, record, replacing=standing)

    def _marked(self, record: IndexRecord) -> ArtifactDamaged | None:
        content = self._cache.read_note(_mark(record.location))
        mark = decode(DamageRecord, content) if content else None
        if mark is None:
            return None
        return (missing if mark.kind == "missing" else damaged)(mark.file)


def fingerprint(location: str) -> str:
    """A location as part of a note's name."""
    return hashlib.sha256(location.encode()).hexdigest()


def _mark(location: str) -> str:
    return f"damaged/{fingerprint(location)}"


MACHINE = "machine"


class SharedStore:
    """The `Store` in a bucket. Processes and threads may share it, and the cache."""

    def __init__(
        self,
        url: str,
        access: S3Access,
        cache: Path,
        *,
        alone_allowed: bool = False,
        lease_seconds: float = LEASE_SECONDS,
        say: Callable[[str], None] = say,
    ) -> None:
        """The store at `url`, s3://bucket[/prefix]; `alone_allowed` to go on with the cache where there is no server.

        Raises StoreError for a URL that names no bucket; nothing is read or written yet.
        """
        bucket = Bucket(url, access)
        self._bucket, self._remote = bucket, RemoteRuns(bucket)
        self._cache = DirectoryStore(cache)
        self._reach = Reach(bucket, self._cache, alone_allowed, say)
        self._records = Records(LayeredObjects(bucket, self._cache.objects, self._reach))
        self._lease_seconds, self._say = lease_seconds, say
        self._copies = Copies(self._remote, self._cache, self._reach, say)
        # Locations of runs that a stage key led to in the cache and not in the bucket.
        self._unshared: set[str] = set()

    @property
    def url(self) -> str:
        """s3://bucket[/prefix]."""
        return self._bucket.url

    @property
    def directory(self) -> Path:
        """The cache's directory."""
        return self._cache.directory

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """As `Store.lookup`; for what the bucket does not have, or not whole, the cache's own record."""
        nothing: list[IndexRecord | None] = [None for _ in keys]
        found = self._reach.ask(lambda: self._remote.records.lookup(keys), nothing)
        return [
            record if record and not self._copies.is_marked(record) else self._near(key, record)
            for key, record in zip(keys, found, strict=True)
        ]

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None = None
    ) -> IndexRecord:
        """As `Store.publish_index`; the cache's index follows for runs that the cache holds."""
        winner = self._reach.tell(
            lambda: self._remote.records.publish_index(key, record, replacing), lambda: None
        )
        standing = self._cache.lookup([key])[0]
        if winner is None:
            own = standing if replacing else None
            return self._cache.publish_index(key, record, replacing=own)
        if standing != winner and self._cache.read_run(winner.location):
            self._cache.publish_index(key, winner, replacing=standing)
        return winner

    def check(self, record: IndexRecord, *, thorough: bool) -> None:
        """As `Store.check`; a run that the cache does not hold whole is fetched when the check is `thorough`."""
        try:
            self._cache.check(record, thorough=thorough)
        except ArtifactDamaged as near:
            damage = self._copies.check_far([(record, near)])[0]
            if damage:
                raise damage from None
            if thorough:
                self._copies.fetch(record.location)

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """As `Store.check_all`; the bucket is asked for what the cache does not hold whole."""
        near = self._cache.check_all(records)
        doubtful = [pair for pair in zip(records, near, strict=True) if pair[1]]
        far = iter(self._copies.check_far(doubtful))
        return [next(far) if damage else None for damage in near]

    def holds(self, record: IndexRecord) -> bool:
        """As `Store.holds`."""
        return record.location not in self._unshared

    def share(self, content_key: str, recipe_key: str, record: IndexRecord) -> IndexRecord:
        """As `Store.share`."""
        if self.holds(record):
            return record
        return self._reach.tell(
            lambda: self._share(content_key, recipe_key, record), lambda: record
        )

    def read_run(self, location: str) -> RunManifest | None:
        """As `Store.read_run`; the cache is asked first, since a run never changes."""
        return self._cache.read_run(location) or self._records.read_run(location)

    def output_path(self, location: str) -> Path:
        """As `Store.output_path`."""
        manifest = self.read_run(location)
        if manifest and manifest.output and self._near_damage(manifest):
            self._copies.fetch(location)
        return self._cache.output_path(location)

    def address(self, location: str, part: str = OUTPUT) -> str:
        """As `Store.address`."""
        near = self._cache.address(location, part)
        return near if os.path.exists(near) else f"{self.url}/{location}/{part}"

    def log_path(self, location: str) -> Path:
        """As `Store.log_path`; a log that only the bucket has is fetched alone."""
        path = self._cache.log_path(location)
        if path.exists() or self._cache.read_run(location):
            return path
        content = self._reach.ask(lambda: self._remote.read_log(location), None)
        if content is None:
            return path
        note = f"logs/{fingerprint(location)}"
        self._cache.write_note(note, content)
        return self.directory / NOTES / note

    def stage(self, run: str) -> AbstractContextManager[Staging]:
        """As `Store.stage`: in the cache."""
        return self._cache.stage(run)

    def publish_run(self, staging: Staging, manifest: RunManifest) -> None:
        """As `Store.publish_run`; it enters the cache first, and is not lost when publishing fails.

        Raises StoreError when there is a run at that location, or it could not be published.
        """
        # A server that is gone by now must not cost what was computed: that is told once it is kept.
        with suppress(StoreUnavailable):
            self._reach.ask(lambda: self._remote.refuse_taken(manifest.location), None)
        self._cache.publish_run(staging, manifest)
        self._index_near(manifest)
        try:
            self._reach.tell(lambda: self._publish(manifest), lambda: None)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{error.message}; run {manifest.run} is kept in {self.directory} and not published",
                hint="run again when the server is back: what is kept is published then, not computed again",
            ) from None

    def history(self, pipeline: str, stage: str) -> Iterator[RunManifest]:
        """As `Store.history`, with the runs that only the cache has."""
        return self._records.history(pipeline, stage)

    def stages_with_history(self, pipeline: str | None = None) -> list[tuple[str, str]]:
        """As `Store.stages_with_history`."""
        return self._records.stages_with_history(pipeline)

    def find_run(self, run: str) -> RunManifest | None:
        """As `Store.find_run`."""
        return self._records.find_run(run)

    @contextmanager
    def lease(self, content_key: str, *, waiting: Callable[[], None]) -> Iterator[Lease]:
        """As `Store.lease`: the cache's lock first, then, where the bucket can be written, the lease there."""
        path = f"{LEASES}/{hexadecimal(content_key)}"
        with self._cache.lease(content_key, waiting=waiting) as near, ExitStack() as held:

            def acquire() -> Lease:
                lease = bucket_lease(
                    self._bucket, path, self._machine(), self._lease_seconds, waiting
                )
                return held.enter_context(lease)

            yield self._reach.tell(acquire, lambda: near)

    def source_path(self, digest: str) -> Path | None:
        """As `Store.source_path`; fetched into the cache if need be."""
        return self._cache.source_path(digest) or self._reach.ask(
            lambda: self._copies.fetch_source(digest), None
        )

    def add_source(self, staging: Staging, artifact: Artifact) -> Path:
        """As `Store.add_source`."""
        path = self._cache.add_source(staging, artifact)
        self._reach.tell(lambda: self._copies.publish_source(path, artifact), lambda: None)
        return path

    def read_note(self, name: str, *, shared: bool = True) -> bytes | None:
        """As `Store.read_note`."""
        return (self._records if shared else self._cache).read_note(name)

    def write_note(self, name: str, content: bytes, *, shared: bool = True) -> None:
        """As `Store.write_note`."""
        (self._records if shared else self._cache).write_note(name, content)

    def usage(self) -> tuple[int, int]:
        """As `Store.usage`: of the bucket."""
        from daintree.store.remote import measure

        return measure(self._bucket)

    def empty(self) -> None:
        """As `Store.empty`: of the bucket, and of this machine's cache, which would otherwise publish it all again."""
        from daintree.store.remote import empty

        empty(self._bucket)
        self._cache.empty()

    def orphans(self, *, remove: bool) -> tuple[int, int]:
        """As `Store.orphans`: of the bucket."""
        from daintree.store.remote import orphans

        return orphans(self._bucket, remove=remove)

    def _near(self, key: str, far: IndexRecord | None) -> IndexRecord | None:
        """The cache's own record of a key for which the bucket has none or, as far as is known, a damaged one."""
        near = self._cache.lookup([key])[0]
        if near is None or near == far:
            return far
        self._unshared.add(near.location)
        return near

    def _share(self, content_key: str, recipe_key: str, record: IndexRecord) -> IndexRecord:
        """The content key's record first, as ever: the recipe's names whichever run stands there."""
        records = self._remote.records
        standing, recipe = records.lookup([content_key, recipe_key])
        winner = standing
        if standing is None or self._copies.check_far([(standing, None)])[0]:
            manifest = self._cache.read_run(record.location)
            if manifest is None:
                return record
            self._publish(manifest)
            winner = records.publish_index(content_key, record, standing)
        assert winner is not None
        wanted = msgspec.structs.replace(winner, inputs=record.inputs)
        if recipe != wanted:
            records.publish_index(recipe_key, wanted, recipe)
        self._unshared.discard(record.location)
        return winner

    def _publish(self, manifest: RunManifest) -> None:
        """Put the cache's copy of a run into the bucket, if it is whole before and after."""

        def unchanged() -> None:
            if manifest.output:
                self._cache.check(index_record_of(manifest), thorough=False)

        directory = self._cache.log_path(manifest.location).parent
        self._remote.publish(directory, manifest, unchanged)

    def _index_near(self, manifest: RunManifest) -> None:
        """Let the cache's index lead to a run, so that it is found whatever becomes of the bucket."""
        if manifest.output:
            key = manifest.keys.content
            standing = self._cache.lookup([key])[0]
            self._cache.publish_index(key, index_record_of(manifest), replacing=standing)

    def _near_damage(self, manifest: RunManifest) -> bool:
        return self._cache.check_all([index_record_of(manifest)]) != [None]

    def _machine(self) -> str:
        """What tells this machine's cache from all others: whoever holds its locks knows who else of it is alive."""
        with self._cache.lease(digest_record(MACHINE, 1, ""), waiting=lambda: None):
            known = self._cache.read_note(MACHINE)
            if not known:
                known = os.urandom(8).hex().encode()
                self._cache.write_note(MACHINE, known)
        return f"{known.decode('ascii', 'replace')}@{platform.node()}"
