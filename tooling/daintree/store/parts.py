"""A large object read whole: several parts under way at a time, in memory that is used again, each handed on in its turn."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from daintree.concurrency import side_by_side
from daintree.errors import ArtifactRejected, StoreError, StoreUnavailable
from daintree.store.bucket import LARGE_BYTES, Bucket
from daintree.store.large_file import ObjectRanges
from daintree.store.names import check_names
from daintree.store.progress import Progress, progress
from daintree.store.records import Artifact, FileEntry, artifact_of

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from obstore import Bytes, GetOptions, ObjectMeta

# Parts this large cost the server little more than one request for all. Parts that wait for their turn are in memory; several
# connections are for a network where one is slow.
PART_BYTES = 16 << 20
PARTS_AT_ONCE = 3


def read_whole(
    ranges: ObjectRanges,
    size: int,
    moved: Callable[[int], None],
    in_turn: Callable[[memoryview], None],
) -> int:
    """Read an object of `size` bytes; how many came, which is fewer where it is shorter.

    `moved` is told how many bytes have come, from several threads; `in_turn` is called with each part, one after the other, from the first to
    the last, and has its memory for the time of the call alone. Raises what it raises, and what obstore raises.
    """
    starts = range(0, size, PART_BYTES)
    with ExitStack() as stack:
        lanes = [_Lane(ranges, stack) for _ in starts[:PARTS_AT_ONCE]]
        turn = _Turn()

        def part(start: int) -> int:
            # There are as many lanes as threads.
            lane = lanes.pop()
            try:
                content = lane.memory[: min(PART_BYTES, size - start)]
                came = 0
                for piece in ranges.read(
                    lane.connection, start, len(content), lambda at: content[at - start :]
                ):
                    moved(len(piece))
                    came += len(piece)
                if turn.comes(start):
                    in_turn(content[:came])
                    turn.passes_to(start + PART_BYTES)
                return came
            except BaseException:
                turn.passes_to(None)
                raise
            finally:
                lanes.append(lane)

        return sum(side_by_side(part, starts, PARTS_AT_ONCE))


class _Lane:
    """A connection and the memory that a part is read into through it."""

    def __init__(self, ranges: ObjectRanges, stack: ExitStack) -> None:
        self.memory = memoryview(bytearray(PART_BYTES))
        self.connection: HTTPConnection | None = ranges.connection()
        if self.connection:
            stack.enter_context(closing(self.connection))


class _Turn:
    """Which part is the first that is not done: by where it begins, None once one has failed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._first: int | None = 0

    def comes(self, start: int) -> bool:
        """Wait until the part that begins at `start` is the first; no, where one before it has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._first is None or self._first == start)
            return self._first == start

    def passes_to(self, first: int | None) -> None:
        """Let another be the first; when one has failed, none is any more."""
        with self._changed:
            self._first = first if self._first is not None else None
            self._changed.notify_all()


LARGE_AT_ONCE = 2
FILES_AT_ONCE = 16
# obstore repeats a request that fails, but none whose answer breaks off.
ATTEMPTS = 3


def hash_objects(bucket: Bucket, place: str, what: str) -> Artifact:
    """The artifact that the objects below `place` are, each read once; `what` is said of it when it takes long.

    Raises ArtifactRejected where there is no object, and for a name that no store may hold; StoreError as the bucket does, and
    for an object that changes meanwhile.
    """
    found = {entry["path"].removeprefix(f"{place}/"): entry for entry in bucket.entries(place)}
    if not found:
        raise ArtifactRejected(
            "wrote nothing", hint="a stage must leave at least one file in --output"
        )
    check_names(sorted(found))
    with progress(what, len(found), sum(entry["size"] for entry in found.values())) as shown:

        def hashed(path: str) -> FileEntry:
            digest = _digest(bucket, found[path], shown)
            shown.file()
            return FileEntry(path, found[path]["size"], digest)

        large = [path for path, entry in found.items() if entry["size"] > LARGE_BYTES]
        files = side_by_side(hashed, large, LARGE_AT_ONCE)
        files += side_by_side(hashed, found.keys() - set(large), FILES_AT_ONCE)
    return artifact_of(files)


def _digest(bucket: Bucket, entry: ObjectMeta, shown: Progress) -> str:
    """The SHA-256 of exactly the object that was listed."""
    from obstore.exceptions import PreconditionError

    digest = hashlib.sha256()
    try:
        if entry["size"] <= LARGE_BYTES:
            content = _read(bucket, entry)
            digest.update(content)
            shown.bytes(len(content))
            came = len(content)
        else:
            ranges = ObjectRanges(bucket, entry["path"], entry["e_tag"])
            with bucket.answering():
                came = read_whole(ranges, entry["size"], shown.bytes, digest.update)
    except (FileNotFoundError, PreconditionError):
        came = -1
    if came != entry["size"]:
        raise StoreError(
            f"the object {bucket.url}/{entry['path']} changed while it was read",
            hint="who writes there? No two executions share a place",
        )
    return digest.hexdigest()


def _read(bucket: Bucket, entry: ObjectMeta) -> Bytes:
    import obstore

    options: GetOptions = {"if_match": entry["e_tag"]}
    attempt = 1
    while True:
        try:
            with bucket.answering():
                return obstore.get(bucket.large, entry["path"], options=options).bytes()
        except StoreUnavailable:
            if attempt == ATTEMPTS:
                raise
            attempt += 1
