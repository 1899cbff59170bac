"""Whole files to and from a bucket, side by side, and how far they are."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daintree.concurrency import side_by_side
from daintree.errors import ArtifactDamaged, ArtifactRejected, StoreError
from daintree.store.bucket import LARGE_BYTES, Bucket
from daintree.store.integrity import remember_hashed
from daintree.store.layout import check_names
from daintree.store.records import Artifact, FileEntry, artifact_of
from daintree.terminal import erase, say

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from typing_extensions import Buffer

FILES_AT_ONCE = 16
LARGE_AT_ONCE = 2
# A larger file goes up in parts of this size, several of them at a time. Each part has its own time and its own retries.
UP_BYTES = LARGE_BYTES
PARTS_AT_ONCE = 4
# A large file comes down in ranges of this size, several of them at a time, each in pieces; the digest is taken of what the file then holds, right behind.
DOWN_BYTES = 64 << 20
RANGES_AT_ONCE = 2
PIECE_BYTES = 2 << 20
HASH_BYTES = 1 << 20
# A file that comes broken is fetched once more: it may be the way and not the object.
ATTEMPTS = 2

EACH_SECONDS = 0.2
LONG_SECONDS = 5.0


class Progress:
    """Counts the files and bytes of a transfer, in a `with` block; any thread may add to it. Shows nothing before it has taken a moment."""

    def __init__(self, title: str, files: int, size: int) -> None:
        self._title, self._files, self._size = title, files, size
        self._files_passed = self._bytes_passed = 0
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._next = time.monotonic() + (EACH_SECONDS if self._terminal else LONG_SECONDS)

    def bytes(self, count: int) -> None:
        """Add bytes."""
        with self._lock:
            self._bytes_passed += count
            if time.monotonic() >= self._next:
                self._show()

    def file(self) -> None:
        """Add a whole file."""
        with self._lock:
            self._files_passed += 1

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave the terminal's line empty."""
        with self._lock:
            if self._terminal and self._shown:
                erase(sys.stderr)
                sys.stderr.flush()

    def _show(self) -> None:
        passed, size = (f"{count / 1e6:.1f} MB" for count in (self._bytes_passed, self._size))
        part = f"{self._files_passed} of {self._files} files, {passed} of {size}"
        self._shown = True
        if self._terminal:
            erase(sys.stderr)
            sys.stderr.write(f"{self._title}: {part}")
            sys.stderr.flush()
            self._next = time.monotonic() + EACH_SECONDS
        else:
            say(f"{self._title}: {part} …")
            self._next = float("inf")


def upload(
    bucket: Bucket, directory: Path, place: str, files: Sequence[FileEntry], shown: Progress
) -> None:
    """Put these files of `directory` below `place`.

    Each request is signed with the SHA-256 of what it carries, and the server refuses what does not arrive as it was read. That
    the files are still what was hashed is the caller's to make sure of, afterwards. Raises StoreError as the bucket
    does, OSError as reading does.
    """
    import obstore

    def put(entry: FileEntry) -> None:
        is_large = entry.size > LARGE_BYTES
        bucket.request(
            lambda store: obstore.put(
                store,
                f"{place}/{entry.path}",
                directory / entry.path,
                use_multipart=is_large,
                chunk_size=UP_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            ),
            file=True,
            retries=0,
        )
        shown.bytes(entry.size)
        shown.file()

    _each(put, files)


def download(
    bucket: Bucket, place: str, files: Sequence[FileEntry], directory: Path, shown: Progress
) -> None:
    """Bring these files from below `place` into an empty directory.

    Raises ArtifactDamaged for the first that is missing or not what its entry says, StoreError as the bucket does, OSError
    as writing does.
    """
    for parent in {os.path.dirname(entry.path) for entry in files}:
        (directory / parent).mkdir(parents=True, exist_ok=True)

    def get(entry: FileEntry) -> None:
        for _ in range(ATTEMPTS):
            if _receive(bucket, f"{place}/{entry.path}", entry, directory / entry.path, shown):
                shown.file()
                return
        raise ArtifactDamaged.damaged(entry.path)

    _each(get, files)


def download_listed(bucket: Bucket, entries: Mapping[str, ObjectMeta], directory: Path) -> None:
    """Bring exactly the objects that were listed into an empty directory, under these paths.

    Raises ArtifactRejected for a path that no artifact may have, StoreError as the bucket does, and for an object that has
    changed; OSError as writing does.
    """
    check_names(sorted(entries))
    for parent in {os.path.dirname(path) for path in entries}:
        (directory / parent).mkdir(parents=True, exist_ok=True)
    with Progress("downloading", len(entries), sum(e["size"] for e in entries.values())) as shown:

        def get(path: str) -> None:
            with open(directory / path, "wb") as file:
                _read_listed(bucket, entries[path], file.write, shown)
            shown.file()

        side_by_side(get, entries, PARTS_AT_ONCE)


def hash_objects(bucket: Bucket, place: str, entries: Sequence[ObjectMeta], title: str) -> Artifact:
    """The artifact that the objects below `place`, as listed, are, each read once; `title` is shown when it takes long.

    Raises ArtifactRejected where there is no object, and for a name that no store may hold; StoreError as the bucket does, and
    for an object that changes meanwhile.
    """
    objects = {entry["path"].removeprefix(f"{place}/"): entry for entry in entries}
    if not objects:
        raise ArtifactRejected(
            "wrote nothing", hint="a stage must leave at least one file in --output"
        )
    check_names(sorted(objects))
    with Progress(title, len(objects), sum(entry["size"] for entry in objects.values())) as shown:

        def hashed(path: str) -> FileEntry:
            digest = hashlib.sha256()
            _read_listed(bucket, objects[path], digest.update, shown)
            shown.file()
            return FileEntry(path, objects[path]["size"], digest.hexdigest())

        return artifact_of(side_by_side(hashed, objects, PARTS_AT_ONCE))


def _each(transfer: Callable[[FileEntry], None], files: Sequence[FileEntry]) -> None:
    """Large files first, few at a time since each has several parts at once; then the small ones."""
    large = [entry for entry in files if entry.size > LARGE_BYTES]
    side_by_side(transfer, large, LARGE_AT_ONCE)
    small = [entry for entry in files if entry.size <= LARGE_BYTES]
    side_by_side(transfer, small, FILES_AT_ONCE)


def _receive(bucket: Bucket, path: str, entry: FileEntry, file: Path, shown: Progress) -> bool:
    """Write one object to a file; False when it is not what its entry says."""
    receive = _receive_small if entry.size <= LARGE_BYTES else _receive_large
    try:
        with open(file, "w+b", buffering=0) as target:
            received = receive(bucket, path, entry.size, target.fileno(), shown)
            written = os.fstat(target.fileno())
    except FileNotFoundError:
        raise ArtifactDamaged.missing(entry.path) from None
    if received != entry.sha256:
        return False
    remember_hashed(written, entry.sha256)
    return True


def _receive_small(bucket: Bucket, path: str, size: int, file: int, shown: Progress) -> str:
    """The SHA-256 of what was written. Raises FileNotFoundError where there is no such object, as `_receive_large` does."""
    import obstore

    content = bucket.request(lambda store: obstore.get(store, path).bytes(), file=True)
    write_at(file, 0, content)
    shown.bytes(size)
    return hashlib.sha256(content).hexdigest()


def _receive_large(bucket: Bucket, path: str, size: int, file: int, shown: Progress) -> str:
    """The SHA-256 of what was written, "" where the object has another size than it should or another takes its place."""
    import obstore
    from obstore.exceptions import PreconditionError

    listed = bucket.request(lambda store: obstore.head(store, path))
    if listed["size"] != size:
        return ""
    reserve(file, size)
    arrivals = _Arrivals(size)

    def receive(start: int) -> str:
        at = start

        def take(piece: memoryview) -> None:
            nonlocal at
            write_at(file, at, piece)
            at += len(piece)
            shown.bytes(len(piece))
            arrivals.came(start, at)

        bucket.stream(
            path, start, min(start + DOWN_BYTES, size), listed["e_tag"], take, PIECE_BYTES
        )
        return ""

    def work(start: int | None) -> str:
        try:
            return arrivals.digest(file) if start is None else receive(start)
        except BaseException:
            arrivals.give_up()
            raise

    try:
        # The first of them reads behind the others: the file is all the memory that they need between them.
        return side_by_side(work, [None, *range(0, size, DOWN_BYTES)], 1 + RANGES_AT_ONCE)[0]
    except PreconditionError:
        return ""


class _Arrivals:
    """The bytes of a file that have come, range by range."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._ends: dict[int, int] = {}
        self._given_up = False

    def came(self, start: int, end: int) -> None:
        """Note how far the range that begins at `start` has come."""
        with self._changed:
            self._ends[start] = end
            self._changed.notify()

    def give_up(self) -> None:
        """End the digest: no more will come."""
        with self._changed:
            self._given_up = True
            self._changed.notify()

    def digest(self, file: int) -> str:
        """The SHA-256 of what the file holds, read as it comes; "" once given up. Raises OSError."""
        digest = hashlib.sha256()
        memory = memoryview(bytearray(HASH_BYTES))
        at = 0
        while at < self._size:
            start = at - at % DOWN_BYTES
            wanted = min(at + HASH_BYTES, start + DOWN_BYTES, self._size)
            if not self._wait(start, wanted):
                return ""
            while at < wanted:
                read = os.preadv(file, [memory[: wanted - at]], at)
                if not read:
                    return ""
                digest.update(memory[:read])
                at += read
        return digest.hexdigest()

    def _wait(self, start: int, wanted: int) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._ends.get(start, 0) >= wanted)
            return self._ends.get(start, 0) >= wanted


def _read_listed(
    bucket: Bucket, entry: ObjectMeta, take: Callable[[memoryview], object], shown: Progress
) -> None:
    """Give `take` the bytes of exactly the object that was listed, piece by piece."""
    from obstore.exceptions import PreconditionError

    came = 0

    def count(piece: memoryview) -> None:
        nonlocal came
        take(piece)
        came += len(piece)
        shown.bytes(len(piece))

    try:
        if entry["size"]:
            bucket.stream(entry["path"], 0, entry["size"], entry["e_tag"], count, PIECE_BYTES)
    except (FileNotFoundError, PreconditionError):
        came = -1
    if came != entry["size"]:
        raise StoreError(
            f"the object {bucket.url}/{entry['path']} changed while it was read",
            hint="who writes there? No two executions share a place",
        )


# Linux takes memory for what is written in pieces as large as the write and its alignment allow. Large pieces come from memory
# that a virtual machine's host may have to provide first; writes of an odd number of pages take small ones, too (benchmarks/README.md).
WRITE_BYTES = 60 << 10


def reserve(file: int, size: int) -> None:
    """Have the space for so many bytes: a full disk says so before they are fetched, and writing to it is cheaper.

    Raises OSError where there is no space; where it cannot be had ahead, nothing happens.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def write_at(file: int, start: int, content: Buffer) -> None:
    """Write all of `content` from the file's byte `start` on. Raises OSError as writing does."""
    view = memoryview(content)
    written = 0
    while written < len(view):
        piece = view[written : written + WRITE_BYTES]
        written += os.pwrite(file, piece, start + written)
