"""Runs and sources that lie whole in a directory of this machine: the embedded store's, or those in a cache."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store import layout, records
from daintree.store.backend import Content, Unreadable, read_regular, translate_errors
from daintree.store.directory import Directory, Staging
from daintree.store.index import Records, metrics_in
from daintree.store.integrity import StoredArtifact, looks_whole, verify, write_stamp

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from daintree.store.leases import HeldLock

MAX_LOG_BYTES = 1 << 30


class LocalRuns:
    """Runs and sources in one directory. Processes and threads may share it; outputs are read in place.

    Every method raises StoreError when the directory cannot be read or written.
    """

    def __init__(self, root: Path, warn: Callable[[str], None]) -> None:
        self.directory = Directory(root)
        self.records = Records(self.directory, warn)
        self._warn = warn
        self._readers: dict[str, HeldLock] = {}
        weakref.finalize(self, _release, self._readers)

    @property
    def root(self) -> str:
        """The absolute path of the directory."""
        return self.directory.root

    def path(self, location: str, part: str = layout.OUTPUT) -> str:
        """The absolute path of a part of the run at a location. Raises StoreError for a location outside."""
        return f"{self.root}/{layout.check_location(location)}/{part}"

    def hold(self, place: str) -> None:
        """Keep the output of the run at a location, or a source, from being collected as long as this process uses the store.

        A store that cannot be written keeps no locks, and is not collected by who may not write it either.
        """
        from daintree.store.leases import reader_lock

        if place not in self._readers and os.path.isdir(f"{self.root}/{place}"):
            with suppress(OSError):
                self.directory.make(layout.READERS)
                lock = reader_lock(f"{self.root}/{layout.reader_path(place)}")
                if self._readers.setdefault(place, lock) is not lock:
                    lock.release_shared()

    def check(self, record: records.IndexRecord, *, thorough: bool) -> None:
        """Raise ArtifactDamaged unless the run's output, and its run record, are what the index record says.

        Without `thorough` only files are hashed whose stamp does not vouch for them.
        """
        stored = StoredArtifact(
            f"{self.root}/{layout.check_location(record.location)}", layout.RUN_RECORD
        )
        with translate_errors(self.root):
            if thorough or not looks_whole(stored, record.digest, record.record):
                manifest = self.records.read_run(record.location, record)
                output = manifest.output if manifest else None
                verify(stored, output, record.digest, thorough=thorough, record=record.record)

    def damage(
        self, record: records.IndexRecord, *, thorough: bool = False
    ) -> ArtifactDamaged | None:
        """The error that `check` raises, if it raises one."""
        try:
            self.check(record, thorough=thorough)
        except ArtifactDamaged as damage:
            return damage
        return None

    def publish(
        self,
        staging: Staging,
        manifest: records.RunManifest,
        origin: records.OriginRecord | None = None,
    ) -> records.RunManifest:
        """Let a staged run enter by one rename, so that its parts are there together; then its history entry.

        Returns its record as it was written, with the log's digest. Raises ArtifactRejected when the staged files are not `manifest.output`,
        StoreError when there is a run at that location.
        """
        # A run that no history could keep is refused before it is published.
        layout.history_path(manifest.pipeline, manifest.stage, manifest.run, manifest.started)
        with translate_errors(self.root):
            manifest = _with_log(staging, manifest)
        content = records.encode(manifest, layout.run_path(manifest.location))
        self._publish(staging, manifest, content, origin)
        return manifest

    def keep_copy(
        self,
        staging: Staging,
        manifest: records.RunManifest,
        content: bytes,
        origin: records.OriginRecord,
    ) -> None:
        """Keep the staged copy of a run that a bucket has, its run record as it is there; replaces what stands at its place.

        Raises ArtifactRejected when the staged files are not the run's.
        """
        self._publish(staging, manifest, content, origin, replaces=True)

    def origin(self, location: str) -> records.OriginRecord | None:
        """Origin of a run of a cache; None where that is not known."""
        path = f"{layout.check_location(location)}/{layout.ORIGIN}"
        return self.records.read(records.OriginRecord, path)

    def read_log(self, path: Path) -> Content:
        """The log at `path`; None where it is missing, Unreadable for what is no regular file or too large."""
        with translate_errors(self.root):
            return read_regular(str(path), MAX_LOG_BYTES)

    def log_fault(self, manifest: records.RunManifest, path: Path) -> str:
        """Reason that the file at `path` is not the log of a run; "" where it is."""
        content = self.read_log(path)
        if content is None:
            return "its log is missing" if manifest.log else ""
        if isinstance(content, Unreadable):
            return f"its log {content.text}"
        if manifest.log and records.log_entry(content) != manifest.log:
            return "its log is damaged in the store"
        return ""

    def lease(
        self, content_key: str, waiting: Callable[[], None], holder: records.Holder | None = None
    ) -> AbstractContextManager[HeldLock]:
        """Hold the file lock of a key, waiting for it; `waiting` is called before each pause and may raise.

        The lock file names the `holder`.
        """
        from daintree.store.leases import file_lease

        with translate_errors(self.root):
            self.directory.prepare()
            path = layout.lease_path(content_key)
            self.directory.make(os.path.dirname(path))
        return file_lease(f"{self.root}/{path}", self.root, waiting, holder)

    def source_path(self, digest: str) -> Path | None:
        """The directory of a source; None where it is not whole."""
        place = layout.source_location(digest)
        self.hold(place)
        path = f"{place}/{layout.SOURCE_RECORD}"
        stored = StoredArtifact(f"{self.root}/{place}", layout.SOURCE_RECORD)
        with translate_errors(self.root):
            if not looks_whole(stored, digest):
                content = self.directory.get_many([path])[0]
                record = records.readable(records.decode(records.SourceRecord, content, path))
                try:
                    verify(stored, record.artifact if record else None, digest, thorough=False)
                except ArtifactDamaged:
                    return None
        return Path(stored.output)

    def add_source(self, staging: Staging, artifact: records.Artifact) -> Path:
        """Keep staged files as a source; one that is there and whole stays, one that is not is replaced.

        Raises ArtifactRejected when the staged files are not `artifact`.
        """
        self._own(staging)
        place = layout.source_location(artifact.digest)
        record = records.SourceRecord(artifact=artifact)
        with translate_errors(self.root):
            self._finalize(
                staging,
                artifact,
                layout.SOURCE_RECORD,
                records.encode(record, f"{place}/{layout.SOURCE_RECORD}"),
            )
            with self.lease(artifact.digest, lambda: None):
                current = self.source_path(artifact.digest)
                if current:
                    return current
                if os.path.lexists(f"{self.root}/{place}"):
                    os.rename(f"{self.root}/{place}", staging.directory / "damaged")
                self._enter(staging.run, place)
                self.hold(place)
        return Path(self.root, place, layout.OUTPUT)

    def _publish(
        self,
        staging: Staging,
        manifest: records.RunManifest,
        content: bytes,
        origin: records.OriginRecord | None,
        *,
        replaces: bool = False,
    ) -> None:
        """Publish a staged run with the `content` of its run record; `replaces` what stands at its place."""
        self._own(staging)
        location = layout.check_location(manifest.location)
        with translate_errors(self.root):
            if manifest.output:
                self._finalize(staging, manifest.output, layout.RUN_RECORD, content)
            else:
                # A stage that failed may have removed its output directory.
                if os.path.lexists(staging.output):
                    os.rename(staging.output, staging.directory / "unpublished")
                self._write(staging, layout.RUN_RECORD, content)
            if origin:
                path = f"{location}/{layout.ORIGIN}"
                self._write(staging, layout.ORIGIN, records.encode(origin, path))
            entry = records.history_entry_of(manifest, metrics_in(staging.output, manifest))
            if replaces and os.path.lexists(f"{self.root}/{location}"):
                os.rename(f"{self.root}/{location}", staging.directory / "replaced")
            self._enter(staging.run, location)
        self.records.add_history(entry)

    def _own(self, staging: Staging) -> None:
        if staging.directory.parent != Path(self.root, layout.STAGING):
            raise StoreError(
                f"{staging.output} is no staging place of the artifact store {self.root}"
            )

    def _finalize(
        self, staging: Staging, artifact: records.Artifact, name: str, content: bytes
    ) -> None:
        from daintree.store.integrity import DIRECTORY_MODE, finalize

        mode = DIRECTORY_MODE | (os.stat(self.root).st_mode & 0o2022)
        signatures = finalize(staging.output, artifact, staging.directory, mode)
        self._write(staging, name, content)
        record = hashlib.sha256(content).hexdigest() if name == layout.RUN_RECORD else ""
        write_stamp(StoredArtifact(str(staging.run), name), artifact, record, signatures)

    def _write(self, staging: Staging, name: str, content: bytes) -> None:
        (staging.run / name).write_bytes(content)

    def _enter(self, staged: Path, place: str) -> None:
        """Rename a staged directory to its place. Raises StoreError where something stands there, OSError."""
        from daintree.store.leases import share

        target = f"{self.root}/{place}"
        self.directory.make(os.path.dirname(place))
        with os.scandir(staged) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    share(self.root, entry.path)
        if os.path.lexists(target):
            raise StoreError(
                f"there is something at {target} already", hint="look at the prefix setting"
            )
        os.rename(staged, target)


def _release(readers: dict[str, HeldLock]) -> None:
    while readers:
        _, lock = readers.popitem()
        with suppress(OSError):
            lock.release_shared()


def _with_log(staging: Staging, manifest: records.RunManifest) -> records.RunManifest:
    content = read_regular(str(staging.log), MAX_LOG_BYTES)
    log = records.log_entry(content) if isinstance(content, bytes) else None
    return msgspec.structs.replace(manifest, log=log)
