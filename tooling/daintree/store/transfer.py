"""Whole files to and from a bucket, side by side, several parts of a large one at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from daintree.concurrency import side_by_side
from daintree.errors import ArtifactDamaged
from daintree.store.bucket import LARGE_BYTES, Bucket
from daintree.store.integrity import remember_hashed
from daintree.store.large_file import ObjectRanges, receive
from daintree.store.progress import Progress, write_at
from daintree.store.records import FileEntry

FILES_AT_ONCE = 16
# A larger file goes up in parts of this size, several of them under way at a time. Each part has its own time and its own retries.
UP_BYTES = LARGE_BYTES
PARTS_AT_ONCE = 4
LARGE_AT_ONCE = 2
# A file that comes broken is fetched once more: it may be the way and not the object.
ATTEMPTS = 2


def upload(
    bucket: Bucket, directory: Path, place: str, files: Sequence[FileEntry], progress: Progress
) -> None:
    """Put these files of `directory` below `place`.

    Each request is signed with the SHA-256 of what it carries, and the server refuses what does not arrive as it was read. That
    the files are still what was hashed is the caller's to make sure of, afterwards. Raises StoreError as the bucket
    does, OSError as reading does.
    """
    import obstore

    def put(entry: FileEntry) -> None:
        with bucket.answering():
            obstore.put(
                bucket.large,
                f"{place}/{entry.path}",
                directory / entry.path,
                use_multipart=entry.size > LARGE_BYTES,
                chunk_size=UP_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        progress.bytes(entry.size)
        progress.file()

    _each(put, files)


def download(
    bucket: Bucket,
    place: str,
    files: Sequence[FileEntry],
    directory: Path,
    progress: Progress,
) -> None:
    """Bring these files from below `place` into an empty directory.

    Raises ArtifactDamaged for the first that is missing or not what its entry says, StoreError as the bucket does, OSError
    as writing does.
    """
    for parent in {os.path.dirname(entry.path) for entry in files}:
        (directory / parent).mkdir(parents=True, exist_ok=True)

    def get(entry: FileEntry) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            if _receive(bucket, f"{place}/{entry.path}", entry, directory / entry.path, progress):
                progress.file()
                return
            if attempt == ATTEMPTS:
                raise damaged(entry.path)

    _each(get, files)


def _each(transfer: Callable[[FileEntry], None], files: Sequence[FileEntry]) -> None:
    """Large files first, few at a time since each has parts under way; then the small ones."""
    large = [entry for entry in files if entry.size > LARGE_BYTES]
    side_by_side(transfer, large, LARGE_AT_ONCE)
    small = [entry for entry in files if entry.size <= LARGE_BYTES]
    side_by_side(transfer, small, FILES_AT_ONCE)


def _receive(bucket: Bucket, path: str, entry: FileEntry, file: Path, progress: Progress) -> bool:
    """Write one object to a file; whether it is what its entry says."""
    take = _receive_small if entry.size <= LARGE_BYTES else _receive_large
    try:
        with bucket.answering(), open(file, "w+b", buffering=0) as target:
            received = take(bucket, path, entry.size, target, progress)
            written = os.fstat(target.fileno())
    except FileNotFoundError:
        raise missing(entry.path) from None
    if received != entry.sha256:
        return False
    remember_hashed(written, entry.sha256)
    return True


def _receive_small(bucket: Bucket, path: str, size: int, file: FileIO, progress: Progress) -> str:
    """The SHA-256 of what was written. Raises FileNotFoundError where there is no such object, as `_receive_large` does."""
    import obstore

    content = obstore.get(bucket.large, path).bytes()
    write_at(file.fileno(), 0, content)
    progress.bytes(size)
    return hashlib.sha256(content).hexdigest()


def _receive_large(bucket: Bucket, path: str, size: int, file: FileIO, progress: Progress) -> str:
    """The SHA-256 of what was written, "" where the object has another size than it should or another takes its place."""
    import obstore
    from obstore.exceptions import PreconditionError

    found = obstore.head(bucket.large, path)
    if found["size"] != size:
        return ""
    try:
        return receive(ObjectRanges(bucket, path, found["e_tag"]), size, file, progress.bytes)
    except PreconditionError:
        return ""


def missing(path: str, what: str = "output file") -> ArtifactDamaged:
    """The error for a file that the bucket does not hold."""
    return ArtifactDamaged(f"{what} {path} missing from the store", file=path, kind="missing")


def damaged(path: str, what: str = "output file", detail: str = "") -> ArtifactDamaged:
    """The error for a file that the bucket holds otherwise than its record says."""
    return ArtifactDamaged(
        f"{what} {path} is damaged in the store{detail}", file=path, kind="damaged"
    )
