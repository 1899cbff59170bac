"""Objects that lie in a bucket already, hashed where they are: each is read once, nothing is written, and memory stays bounded."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from tooling.errors import ArtifactRejected, StoreError, StoreUnavailable
from tooling.manifest import Artifact, FileEntry, artifact_of
from tooling.parallel import side_by_side
from tooling.store.bucket import Bucket
from tooling.store.names import check_names
from tooling.store.progress import Progress, progress

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, ObjectMeta

# An object up to this size is one request; of a larger one several parts are under way, and hashed in their order. So what is
# held at a time is LARGE_AT_ONCE times PARTS_AT_ONCE parts, or FILES_AT_ONCE objects of that size.
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
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

        large = [path for path, entry in found.items() if entry["size"] > PART_BYTES]
        files = side_by_side(hashed, large, LARGE_AT_ONCE)
        files += side_by_side(hashed, found.keys() - set(large), FILES_AT_ONCE)
    return artifact_of(files)


def _digest(bucket: Bucket, entry: ObjectMeta, shown: Progress) -> str:
    digest = hashlib.sha256()
    for part in _parts(bucket, entry):
        digest.update(part)
        shown.bytes(len(part))
    return digest.hexdigest()


def _parts(bucket: Bucket, entry: ObjectMeta) -> Iterator[Bytes]:
    """The object's bytes, in order; those of a large one read ahead."""
    size = entry["size"]
    if size <= PART_BYTES:
        yield _read(bucket, entry, {})
        return
    with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
        ahead: deque[Future[Bytes]] = deque()
        for start in range(0, size, PART_BYTES):
            part: GetOptions = {"range": (start, min(start + PART_BYTES, size))}
            ahead.append(pool.submit(_read, bucket, entry, part))
            if len(ahead) == PARTS_AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _read(bucket: Bucket, entry: ObjectMeta, part: GetOptions) -> Bytes:
    """A part of exactly the object that was listed."""
    import obstore
    from obstore.exceptions import PreconditionError

    options: GetOptions = {**part, "if_match": entry["e_tag"]}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with bucket.answering():
                return obstore.get(bucket.large, entry["path"], options=options).bytes()
        except (FileNotFoundError, PreconditionError):
            break
        except StoreUnavailable:
            if attempt == ATTEMPTS:
                raise
    raise StoreError(
        f"the object {bucket.url}/{entry['path']} changed while it was read",
        hint="who writes there? No two executions share a place",
    )
