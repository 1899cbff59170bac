"""One file of a run's output, verified; from a bucket it is fetched alone."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daintree.errors import ArtifactDamaged, StoreError
from daintree.store.layout import OUTPUT
from daintree.store.records import FileEntry, RunManifest, index_record_of
from daintree.store.store import Store
from daintree.terminal import size

# A file of a bucket has to be read whole before a byte of it may be believed.
FETCHED_BYTES = 64 << 20
CHUNK = 1 << 20


def read_head(store: Store, run: RunManifest, entry: FileEntry, most: int) -> bytes | None:
    """The first bytes of a file, at most so many; None where a bucket's file is too large to verify for that.

    Raises ArtifactDamaged, StoreError.
    """
    if _is_here(store, run):
        with _opened(store, run, entry) as file:
            return file.read(most)
    if entry.size > FETCHED_BYTES:
        return None
    return _fetched(store, run, entry)[:most]


def chunks(store: Store, run: RunManifest, entry: FileEntry) -> Iterator[bytes]:
    """The whole file, piece by piece; a bucket's is verified before its first piece. Raises ArtifactDamaged, StoreError."""
    if not _is_here(store, run):
        yield _fetched(store, run, entry)
        return
    with _opened(store, run, entry) as file:
        while piece := file.read(CHUNK):
            yield piece


def _is_here(store: Store, run: RunManifest) -> bool:
    """True when the output lies on this machine, or should: the embedded store's, or one that the cache holds whole."""
    return store.shared is None or "://" not in store.address(run.location)


@contextmanager
def _opened(store: Store, run: RunManifest, entry: FileEntry) -> Iterator[io.BufferedReader]:
    """The file, open for reading, of an output that was verified; links are not followed."""
    place = store.output_path(index_record_of(run))
    try:
        descriptor = os.open(Path(place, entry.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{entry.path} cannot be read: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        yield file


def _fetched(store: Store, run: RunManifest, entry: FileEntry) -> bytes:
    if entry.size > FETCHED_BYTES:
        raise StoreError(
            f"{entry.path} has {size(entry.size)}: too large to be fetched alone",
            hint=f"doit pull {run.pipeline}:{run.stage}",
        )
    path = f"{run.location}/{OUTPUT}/{entry.path}"
    content = store.backend.get_many([path], max(1, entry.size))[0]
    if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != entry.sha256:
        kind = "missing" if content is None else "damaged"
        raise ArtifactDamaged(
            f"output file {entry.path} of run {run.run} is {kind}", file=entry.path, kind=kind
        )
    return content
