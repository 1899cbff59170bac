"""Runs of a bucket as a cache in front of it holds them: fetched whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from daintree.digest import digest_record
from daintree.errors import ArtifactDamaged, StoreError
from daintree.manifest import (
    SCHEMA,
    Artifact,
    IndexRecord,
    RunManifest,
    decode,
    encode,
    index_record_of,
)
from daintree.store.bucket_files import damaged, missing
from daintree.store.foreign import mapped
from daintree.store.local import DirectoryStore
from daintree.store.reach import Reach
from daintree.store.records import MANIFEST
from daintree.store.remote import RemoteRuns


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
