"""The embedded store: a directory.

    <location>/run.json, log.txt, output/…      a run; the location follows the prefix setting
    <location>/stamp.json                       see `stamp`
    _cache/ _history/ _notes/                   see `records`
    _sources/<digest>/source.json, output/…     a source, with its stamp
    _leases/<content key>                       see `locks`
    _staging/                                   see `staging`
    _store, _lock                               marks the directory as a store; serialises replacements

What only a run that computes something needs is imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store.index import LEASES, LOG, MANIFEST, SOURCES, STAGING, Records, history_path
from daintree.store.integrity import OUTPUT, Kept, looks_whole, verify, write_stamp
from daintree.store.names import check_location, hexadecimal
from daintree.store.objects import DirectoryObjects, mapped
from daintree.store.records import SCHEMA, Artifact, IndexRecord, RunManifest, decode, encode

if TYPE_CHECKING:
    from daintree.store.protocol import Lease, Staging
    from daintree.store.staging import DirectoryStaging

SOURCE = "source.json"


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`source.json`: the files of a source."""

    schema: int = SCHEMA
    artifact: Artifact


class DirectoryStore:
    """The `Store` in a directory, which the first write makes; reading from one that does not exist finds nothing.

    Processes and threads may share it. Outputs are read in place.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))
        self.objects = DirectoryObjects(self._root)
        self._records = Records(self.objects)

    @property
    def url(self) -> str:
        """The directory's absolute path."""
        return str(self._root)

    @property
    def directory(self) -> Path:
        """As `Store.directory`."""
        return self._root

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """As `Store.lookup`."""
        return self._records.lookup(keys)

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None = None
    ) -> IndexRecord:
        """As `Store.publish_index`."""
        return self._records.publish_index(key, record, replacing)

    def check(self, record: IndexRecord, *, thorough: bool) -> None:
        """As `Store.check`; without `thorough` it takes one look at each file's inode, not at its bytes."""
        kept = Kept(f"{self._root}/{check_location(record.location)}", MANIFEST)
        with mapped(self.url):
            if thorough or not looks_whole(kept, record.digest):
                manifest = self.read_run(record.location)
                output = manifest.output if manifest else None
                verify(kept, output, record.digest, thorough=thorough)

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """As `Store.check_all`; one after the other, since each takes a look at some inodes."""
        return [self._damage(record) for record in records]

    def holds(self, record: IndexRecord) -> bool:
        """As `Store.holds`: always."""
        return True

    def share(self, content_key: str, recipe_key: str, record: IndexRecord) -> IndexRecord:
        """As `Store.share`: there is nobody else to share with."""
        return record

    def read_run(self, location: str) -> RunManifest | None:
        """As `Store.read_run`."""
        return self._records.read_run(location)

    def output_path(self, location: str) -> Path:
        """As `Store.output_path`."""
        return Path(Kept(f"{self._root}/{check_location(location)}", MANIFEST).output)

    def address(self, location: str, part: str = OUTPUT) -> str:
        """As `Store.address`."""
        return f"{self._root}/{check_location(location)}/{part}"

    def log_path(self, location: str) -> Path:
        """As `Store.log_path`."""
        return self._root / check_location(location) / LOG

    def stage(self, run: str) -> AbstractContextManager[Staging]:
        """As `Store.stage`. Raises StoreError for a run that is being staged already."""
        from daintree.store.staging import staging_place

        self.objects.prepare()
        return staging_place(self._root / STAGING, run, self.url)

    def publish_run(self, staging: Staging, manifest: RunManifest) -> None:
        """As `Store.publish_run`: all of the run enters by one rename, so that its parts are there together.

        Raises ArtifactRejected when the staged files are not `manifest.output`, StoreError when there is a run
        at that location.
        """
        place, target = self._own(staging), self._root / check_location(manifest.location)
        history_path(
            manifest
        )  # A run that no history could keep is refused before it is published.
        with mapped(self.url):
            if manifest.output is None:
                # A stage that failed may have removed its output directory.
                if os.path.lexists(place.output):
                    os.rename(place.output, place.directory / "unpublished")
                self._write_record(place, MANIFEST, manifest)
            else:
                self._seal(place, manifest.output, MANIFEST, manifest)
            _enter(place.run, target)
        self._records.add_history(manifest)

    def keep_copy(self, staging: Staging, manifest: RunManifest) -> None:
        """Keep the staged copy of a run that another store has; what stands at its place and is not whole is replaced.

        Raises ArtifactRejected when the staged files are not the run's.
        """
        place, target = self._own(staging), self._root / check_location(manifest.location)
        assert manifest.output is not None
        with mapped(self.url):
            self._seal(place, manifest.output, MANIFEST, manifest)
            if target.exists():
                os.rename(target, place.directory / "replaced")
            _enter(place.run, target)
        self._records.add_history(manifest)

    def history(self, pipeline: str, stage: str) -> Iterator[RunManifest]:
        """As `Store.history`."""
        return self._records.history(pipeline, stage)

    def stages_with_history(self, pipeline: str | None = None) -> list[tuple[str, str]]:
        """As `Store.stages_with_history`."""
        return self._records.stages_with_history(pipeline)

    def find_run(self, run: str) -> RunManifest | None:
        """As `Store.find_run`."""
        return self._records.find_run(run)

    def lease(
        self, content_key: str, *, waiting: Callable[[], None]
    ) -> AbstractContextManager[Lease]:
        """As `Store.lease`."""
        from daintree.store.locks import lease

        self.objects.prepare()
        return lease(f"{self._root}/{LEASES}/{hexadecimal(content_key)}", self.url, waiting)

    def source_path(self, digest: str) -> Path | None:
        """As `Store.source_path`."""
        kept = Kept(f"{self._root}/{SOURCES}/{hexadecimal(digest)}", SOURCE)
        with mapped(self.url):
            if not looks_whole(kept, digest):
                content = self.objects.get([f"{SOURCES}/{hexadecimal(digest)}/{SOURCE}"])[0]
                record = decode(SourceRecord, content) if content else None
                try:
                    verify(kept, record.artifact if record else None, digest, thorough=False)
                except ArtifactDamaged:
                    return None
        return Path(kept.output)

    def add_source(self, staging: Staging, artifact: Artifact) -> Path:
        """As `Store.add_source`; one that is there and whole stays, one that is not is replaced.

        Raises ArtifactRejected when the staged files are not `artifact`.
        """
        place, target = self._own(staging), self._root / SOURCES / hexadecimal(artifact.digest)
        with mapped(self.url):
            self._seal(place, artifact, SOURCE, SourceRecord(artifact=artifact))
            with self.lease(artifact.digest, waiting=lambda: None):
                standing = self.source_path(artifact.digest)
                if standing:
                    return standing
                if target.exists():
                    os.rename(target, place.directory / "damaged")
                _enter(place.run, target)
        return Path(Kept(str(target), SOURCE).output)

    def read_note(self, name: str, *, shared: bool = True) -> bytes | None:
        """As `Store.read_note`."""
        return self._records.read_note(name)

    def write_note(self, name: str, content: bytes, *, shared: bool = True) -> None:
        """As `Store.write_note`."""
        self._records.write_note(name, content)

    def usage(self) -> tuple[int, int]:
        """As `Store.usage`."""
        from daintree.store.staging import measure

        with mapped(self.url):
            return measure(self._root)

    def empty(self) -> None:
        """As `Store.empty`; what other processes are staging, and their leases, stay.

        Raises StoreError for a directory that holds something and is not marked as a store.
        """
        from daintree.store.staging import empty, reap

        with mapped(self.url):
            empty(self._root)
            reap(self._root / STAGING)

    def orphans(self, *, remove: bool) -> tuple[int, int]:
        """As `Store.orphans`: the staging places of processes that were killed, which the next one removes anyway."""
        from daintree.store.staging import dead, reap

        with mapped(self.url):
            found = dead(self._root / STAGING)
            if remove:
                reap(self._root / STAGING)
        return len(found), sum(found)

    def _damage(self, record: IndexRecord) -> ArtifactDamaged | None:
        try:
            self.check(record, thorough=False)
        except ArtifactDamaged as damage:
            return damage
        return None

    def _own(self, staging: Staging) -> DirectoryStaging:
        from daintree.store.staging import DirectoryStaging

        place = self._root / STAGING
        if not isinstance(staging, DirectoryStaging) or staging.directory.parent != place:
            raise StoreError(
                f"{staging.output} is no staging place of the artifact store {self.url}"
            )
        return staging

    def _seal(
        self, place: DirectoryStaging, artifact: Artifact, name: str, record: msgspec.Struct
    ) -> None:
        from daintree.store.integrity import seal

        seal(place.output, artifact, place.directory)
        self._write_record(place, name, record)
        write_stamp(Kept(str(place.run), name), artifact)

    def _write_record(self, place: DirectoryStaging, name: str, record: msgspec.Struct) -> None:
        (place.run / name).write_bytes(encode(record))


def _enter(staged: Path, target: Path) -> None:
    """Rename a staged directory to its place. Raises StoreError where something stands there, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise StoreError(
            f"there is something at {target} already", hint="look at the prefix setting"
        )
    os.rename(staged, target)
