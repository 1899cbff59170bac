"""The seam every artifact store keeps: `tests/contract/` holds one suite that each of them passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from daintree.errors import ArtifactDamaged
from daintree.store.records import Artifact, IndexRecord, RunManifest


class Lease(Protocol):
    """The sign that this process computes a content key now."""

    def still_ours(self) -> bool:
        """True as long as nobody has taken the lease over; asked right before publishing."""
        ...


class Staging(Protocol):
    """A private directory on the store's file system where one run is prepared before it is published.

    It is removed when its context ends, and, when its process died, by the next process that opens the store.
    """

    @property
    def output(self) -> Path:
        """The empty directory the stage writes into."""
        ...

    @property
    def scratch(self) -> Path:
        """An empty directory for temporary files, never published."""
        ...

    @property
    def log(self) -> Path:
        """The file that keeps what the stage said; published beside the output as `log.txt`."""
        ...


class Notes(Protocol):
    """Small records kept under names (`[a-z0-9/_.-]+`)."""

    def read_note(self, name: str, *, shared: bool = True) -> bytes | None:
        """A small record, e.g. a URL's validators; None where there is none.

        One that is not `shared` is of use on this machine alone, and no other is asked for it.
        """
        ...

    def write_note(self, name: str, content: bytes, *, shared: bool = True) -> None:
        """Keep a small record, whole or not at all; the last writer wins."""
        ...


class Store(Notes, Protocol):
    """Where runs are kept, found and verified.

    A location is the path of a run below the store, `<component>/<version>/<year>/<month>/<day>/<run id>` by
    default; records hold it whole, so that the layout can change without losing runs. Every method raises
    StoreError when the store cannot be reached, read or written.
    """

    @property
    def url(self) -> str:
        """Where the store is, as its reader would write it; without credentials."""
        ...

    @property
    def directory(self) -> Path:
        """The directory on this machine that the store keeps things in."""
        ...

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """The index record of each stage key, in order, in one parallel round.

        None where there is no record, or where it is broken or of a newer schema.
        """
        ...

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None = None
    ) -> IndexRecord:
        """Make `key` lead to `record`; return the record that stands afterwards.

        Without `replacing`, only creates: where a readable record stands already, that one is returned and nothing is
        written (an unreadable one is replaced). With it, replaces exactly that record: where another has
        taken its place meanwhile, that other one is returned. Never leaves a half-written record.
        """
        ...

    def check(self, record: IndexRecord, *, thorough: bool) -> None:
        """Raise ArtifactDamaged unless the run's output agrees with its record.

        Always: the files listed are the run manifest's, each of its size, and none was altered since it was last
        verified as far as the store can tell cheaply. `thorough`: each file's bytes are read and their SHA-256
        compared.
        """
        ...

    def check_all(self, records: Sequence[IndexRecord]) -> list[ArtifactDamaged | None]:
        """What `check` without `thorough` says of each record, in order, in one parallel round; None: it agrees."""
        ...

    def holds(self, record: IndexRecord) -> bool:
        """Whether all who share this store find what `lookup` found here; told without asking a server."""
        ...

    def share(self, content_key: str, recipe_key: str, record: IndexRecord) -> IndexRecord:
        """Publish a hit that this machine alone knows (`holds` is false), run and keys; return the record that stands.

        Another's record that came first wins. Where nothing can be published, `record` itself.
        """
        ...

    def read_run(self, location: str) -> RunManifest | None:
        """The manifest at a location; None where there is none or it is not readable."""
        ...

    def output_path(self, location: str) -> Path:
        """The local directory where the run's output can be read (never written) in place; fetched there if need be.

        Raises ArtifactDamaged when it cannot be fetched whole.
        """
        ...

    def address(self, location: str, part: str = "output") -> str:
        """Where a part of the run (`output`, `log.txt`) is now, for people: a local path, else a URL; fetches nothing."""
        ...

    def log_path(self, location: str) -> Path:
        """The local file with the run's log; it may be missing."""
        ...

    def stage(self, run: str) -> AbstractContextManager[Staging]:
        """A staging place for the run with this id."""
        ...

    def publish_run(self, staging: Staging, manifest: RunManifest) -> None:
        """Move the staged output and log to `manifest.location`, then write run.json, then the history entry.

        The output enters by rename: no byte is copied. Its files become read-only. `manifest.output` is what
        was hashed in the staging place; a run without output publishes its log and manifest alone.
        A reader never sees the manifest of a run whose output is not whole.
        """
        ...

    def history(self, pipeline: str, stage: str) -> Iterator[RunManifest]:
        """The stage's runs in this store, newest first, failed ones too; read one by one as they are taken."""
        ...

    def stages_with_history(self, pipeline: str | None = None) -> list[tuple[str, str]]:
        """The (pipeline, stage) pairs that have a history, sorted."""
        ...

    def find_run(self, run: str) -> RunManifest | None:
        """The run with this id, or with the one id that begins so; None when there is none.

        Raises UsageError when several ids begin so.
        """
        ...

    def lease(
        self, content_key: str, *, waiting: Callable[[], None]
    ) -> AbstractContextManager[Lease]:
        """Hold the lease of a content key, waiting for whoever holds it.

        `waiting` is called again and again while it waits (several times a second), and may raise to give up.
        A holder that died does not keep the lease.
        """
        ...

    def source_path(self, digest: str) -> Path | None:
        """The local directory of a source kept under this artifact digest, verified by listing; None where it is not whole."""
        ...

    def add_source(self, staging: Staging, artifact: Artifact) -> Path:
        """Keep the staged output as the source with this artifact's digest; return its local directory."""
        ...

    def usage(self) -> tuple[int, int]:
        """(runs, bytes) held."""
        ...

    def empty(self) -> None:
        """Remove every run, index record, source and lease of this store, and nothing else."""
        ...

    def orphans(self, *, remove: bool) -> tuple[int, int]:
        """(runs, bytes) that were begun and never published, and that nobody writes any more; `remove` takes them away.

        Whatever leads anywhere stays.
        """
        ...
