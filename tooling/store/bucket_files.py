"""Whole files to and from a bucket, side by side, several parts of a large one at a time."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tooling.errors import ArtifactDamaged
from tooling.manifest import FileEntry
from tooling.parallel import side_by_side
from tooling.store.artifact import remember_hashed
from tooling.store.bucket import Bucket
from tooling.store.progress import Progress

if TYPE_CHECKING:
    from typing_extensions import Buffer

FILES_AT_ONCE = 16
# A file up to this size is one request; a larger one goes in parts, several of them under way at a time. Each part has its
# own time and its own retries.
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
LARGE_AT_ONCE = 2
# On the way down a part is written in pieces as it comes. So it may be large, which costs the server fewer requests, and takes
# no memory, whose allocation would cost more than all the rest.
PART_BYTES_DOWN = 32 << 20
PIECE_BYTES = 256 << 10
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
                use_multipart=entry.size > PART_BYTES,
                chunk_size=PART_BYTES,
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
    large = [entry for entry in files if entry.size > PART_BYTES]
    side_by_side(transfer, large, LARGE_AT_ONCE)
    small = [entry for entry in files if entry.size <= PART_BYTES]
    side_by_side(transfer, small, FILES_AT_ONCE)


def _receive(bucket: Bucket, path: str, entry: FileEntry, file: Path, progress: Progress) -> bool:
    """Write one object to a file; whether it is what its entry says."""
    try:
        with bucket.answering(), open(file, "w+b", buffering=0) as target:
            parts = _Parts(bucket, path, target.fileno(), progress)
            received = parts.receive(entry.size)
            written = os.fstat(target.fileno())
    except FileNotFoundError:
        raise missing(entry.path) from None
    if received != entry.sha256:
        return False
    remember_hashed(written, entry.sha256)
    return True


class _Parts:
    """An object on its way to a file: several parts at a time, hashed in their order as they come.

    `_first` is where the first part that is under way begins; `_hashed`, how far the file is hashed.
    """

    def __init__(self, bucket: Bucket, path: str, file: int, progress: Progress) -> None:
        self._bucket, self._path, self._file, self._progress = bucket, path, file, progress
        self._digest = hashlib.sha256()
        self._turn = threading.Condition()
        self._first = 0
        self._hashed = 0
        self._broken = False

    def receive(self, size: int) -> str:
        """Write the object, which should have so many bytes; its SHA-256, "" where it has not.

        Raises FileNotFoundError where there is no such object.
        """
        import obstore

        if size <= PART_BYTES:
            content = obstore.get(self._bucket.large, self._path).bytes()
            self._write(content, 0)
            return hashlib.sha256(content).hexdigest()
        if obstore.head(self._bucket.large, self._path)["size"] != size:
            return ""
        starts = range(0, size, PART_BYTES_DOWN)
        side_by_side(lambda start: self._part(start, size), starts, PARTS_AT_ONCE)
        return self._digest.hexdigest()

    def _part(self, start: int, size: int) -> None:
        """Parts begin in order, so the first of those under way waits for none, and is hashed while it comes."""
        end, at = min(start + PART_BYTES_DOWN, size), start
        try:
            while at < end:
                at = self._fetch(start, at, end)
            with self._turn:
                self._turn.wait_for(lambda: self._broken or self._first == start)
            if not self._broken:
                self._hash(end)
                self._pass_on(end)
        except BaseException:
            self._broken = True
            self._pass_on(start)
            raise

    def _fetch(self, part: int, start: int, end: int) -> int:
        """Write of a part what begins at `start`; how far it came. Raises where it came to less than what one request has to bring."""
        import obstore
        from obstore.exceptions import BaseError

        at = start
        try:
            answer = obstore.get(self._bucket.large, self._path, options={"range": (start, end)})
            for piece in answer.stream(min_chunk_size=PIECE_BYTES):
                at = self._write(piece, at)
                if self._first == part:
                    self._hash(at)
        except BaseError:
            if at - start < PART_BYTES:
                raise
            return at
        return end

    def _write(self, content: Buffer, start: int) -> int:
        """Write what begins at `start`; where it ends."""
        view = memoryview(content)
        written = 0
        while written < len(view):
            written += os.pwrite(self._file, view[written:], start + written)
        self._progress.bytes(written)
        return start + written

    def _hash(self, end: int) -> None:
        """Hash what is written, up to `end`: read again, since what the file holds is what counts. For the first part alone.

        Where less came than was asked for, less is hashed, and the digest tells.
        """
        while self._hashed < end:
            content = os.pread(self._file, min(PIECE_BYTES, end - self._hashed), self._hashed)
            if not content:
                return
            self._digest.update(content)
            self._hashed += len(content)

    def _pass_on(self, first: int) -> None:
        """Let the part that begins at `first` be the first."""
        with self._turn:
            self._first = first
            self._turn.notify_all()


def missing(path: str, what: str = "output file") -> ArtifactDamaged:
    """The error for a file that the bucket does not hold."""
    return ArtifactDamaged(f"{what} {path} missing from the store", file=path, kind="missing")


def damaged(path: str, what: str = "output file", detail: str = "") -> ArtifactDamaged:
    """The error for a file that the bucket holds otherwise than its record says."""
    return ArtifactDamaged(
        f"{what} {path} is damaged in the store{detail}", file=path, kind="damaged"
    )
