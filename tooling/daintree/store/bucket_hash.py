"""Objects that lie in a bucket already, hashed where they are: each is read once, nothing is written, and memory stays bounded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from daintree.errors import ArtifactRejected, StoreError, StoreUnavailable
from daintree.manifest import Artifact, FileEntry, artifact_of
from daintree.parallel import side_by_side
from daintree.store.bucket import LARGE_BYTES, Bucket
from daintree.store.bucket_parts import read_whole
from daintree.store.bucket_range import ObjectRanges
from daintree.store.names import check_names
from daintree.store.progress import Progress, progress

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, ObjectMeta

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
