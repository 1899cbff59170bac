"""Whole files to and from a bucket, side by side, each verified against its SHA-256 while its bytes pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tooling.errors import ArtifactDamaged, ArtifactRejected
from tooling.manifest import FileEntry
from tooling.parallel import side_by_side
from tooling.store.artifact import remember_hashed
from tooling.store.bucket import Bucket
from tooling.store.progress import Progress

FILES_AT_ONCE = 16
# A file up to this size is one request; a larger one is sent in parts, several of them under way at a time.
PART_BYTES = 16 << 20
PARTS_AT_ONCE = 4
CHUNK_BYTES = 1 << 20
# A file that comes broken is fetched once more: it may be the way and not the object.
ATTEMPTS = 2


def upload(
    bucket: Bucket,
    directory: Path,
    place: str,
    files: Sequence[FileEntry],
    progress: Progress,
) -> None:
    """Put these files of `directory` below `place`.

    Raises ArtifactRejected when a file is not what its entry says (nothing of that file is put), StoreError as the
    bucket does.
    """

    def put(entry: FileEntry) -> None:
        chunks = _checked(directory / entry.path, entry, progress)
        path = f"{place}/{entry.path}"
        _send(bucket, path, entry.size, chunks)
        progress.file()

    # The large ones first, so that no core waits for the last of them.
    side_by_side(put, sorted(files, key=lambda entry: -entry.size), FILES_AT_ONCE)


def _send(bucket: Bucket, path: str, size: int, chunks: Iterator[bytes]) -> None:
    import obstore

    with bucket.answering():
        if size <= PART_BYTES:
            obstore.put(bucket.large, path, b"".join(chunks), use_multipart=False)
        else:
            obstore.put(
                bucket.large,
                path,
                chunks,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )


def _checked(path: Path, entry: FileEntry, progress: Progress) -> Iterator[bytes]:
    """The file's bytes; raises ArtifactRejected at their end unless they are those of the entry."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            progress.bytes(len(chunk))
            yield chunk
    if (size, digest.hexdigest()) != (entry.size, entry.sha256):
        raise ArtifactRejected(f"{entry.path!r} changed after it was hashed")


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

    side_by_side(get, sorted(files, key=lambda entry: -entry.size), FILES_AT_ONCE)


def _receive(bucket: Bucket, path: str, entry: FileEntry, file: Path, progress: Progress) -> bool:
    """Write one object to a file; whether it is what its entry says."""
    import obstore

    digest = hashlib.sha256()
    try:
        with bucket.answering():
            found = obstore.get(bucket.large, path)
            if found.meta["size"] != entry.size:
                return False
            with open(file, "wb", buffering=0) as target:
                for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
                    progress.bytes(len(chunk))
                written = os.fstat(target.fileno())
    except FileNotFoundError:
        raise missing(entry.path) from None
    if digest.hexdigest() != entry.sha256:
        return False
    remember_hashed(written, entry.sha256)
    return True


def missing(path: str, what: str = "output file") -> ArtifactDamaged:
    """The error for a file that the bucket does not hold."""
    return ArtifactDamaged(f"{what} {path} missing from the store", file=path, kind="missing")


def damaged(path: str, what: str = "output file", detail: str = "") -> ArtifactDamaged:
    """The error for a file that the bucket holds otherwise than its record says."""
    return ArtifactDamaged(
        f"{what} {path} is damaged in the store{detail}", file=path, kind="damaged"
    )
