"""Contents of a store as a whole: its bucket made, runs counted, emptied, cleared of orphans; the same for a directory and a bucket."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from daintree.errors import StoreError
from daintree.store import layout
from daintree.store.backend import SMALL_RECORD_BYTES, Backend, Entry, Unreadable, translate_errors
from daintree.store.bucket import Bucket
from daintree.store.directory import MARKER, Directory, Staging, dead, reap
from daintree.store.integrity import StoredArtifact, read_stamp
from daintree.store.leases import held_locks, remove_idle_locks
from daintree.store.records import Holder, LeaseRecord, RunManifest, decode, encode, readable
from daintree.store.s3 import CHECK_KEYS, DEFAULT_REGION, S3Access, access_error

# No upload is that long without an object that is done. A clock that is off by more than minutes gets no answer.
SAFE = timedelta(days=1)
# A Workflow runs for a day and is kept for a week when it has failed: until then its outputs may be recorded.
SAFE_IN_A_CLUSTER = timedelta(days=14)
TOGETHER = 1000
# A temporary file is written and renamed within moments.
SETTLED_SECONDS = 60.0
# A run ends in a nonce; in a cluster in a Workflow's name, the stage and the number of the attempt.
_IN_A_CLUSTER = re.compile(r"Z-[a-z0-9-]+-[A-Za-z0-9._-]+-\d+\Z")
_OF_A_RUN = re.compile(
    rf"((?:[^_/].*?/)?\d{{8}}T\d{{9}}Z-(?:[0-9a-f]{{8}}|[^/]+-\d+))/(?:{layout.OUTPUT}/.+|{re.escape(layout.LOG)})"
)


def measure(backend: Backend) -> tuple[int, int]:
    """(runs, bytes of all objects). Raises StoreError."""
    sizes = {entry.path: entry.size for entry in backend.list()}
    return len(runs_in(backend, sizes)), sum(sizes.values())


def empty(backend: Backend) -> None:
    """Remove the names, the index, the history, the runs, the sources, the submissions, the notes and the leases nobody holds; nothing else.

    In this order, so that being stopped midway leaves no record of a run that is gone. Raises StoreError, also for a
    directory that holds something and is not marked as a store.
    """
    if isinstance(backend, Directory) and not os.path.exists(f"{backend.root}/{MARKER}"):
        if backend.children("") or any(True for _ in backend.list()):
            raise StoreError(
                f"{backend.root} is not an artifact store: nothing is removed",
                hint=f"a store holds a file named {MARKER}; remove the directory by hand if you are sure",
            )
        return
    runs = runs_in(backend, [entry.path for entry in backend.list()])
    for part in (
        layout.NAMES,
        layout.INDEX,
        layout.HISTORY,
        *sorted(runs),
        layout.SOURCES,
        layout.SUBMISSIONS,
        layout.NOTES,
    ):
        backend.delete_below(part)
    _clear(backend)


def orphans(backend: Backend, *, remove: bool, safe: timedelta = SAFE) -> tuple[int, int]:
    """(runs, bytes) that were begun and never published, and that nobody writes any more; `remove` takes them away.

    In a directory the staging directories of dead processes. In a bucket files of runs without a `run.json`, none younger than `safe`; those
    of a Workflow are left alone for SAFE_IN_A_CLUSTER beyond that. With `remove` also lock files that nobody holds, unfinished uploads
    (counted as runs), and leases of dead holders. What is written anew meanwhile, as by a cache that publishes its run again, stays. Raises StoreError.
    """
    if isinstance(backend, Directory):
        with translate_errors(backend.root):
            sizes = dead(f"{backend.root}/{layout.STAGING}")
            if remove:
                _clear(backend)
        return len(sizes), sum(sizes)
    now = time.time()
    unpublished = _unpublished(list(backend.list()))
    left = {
        place: files
        for place, files in unpublished.items()
        if _is_left(place, files, now - safe.total_seconds())
    }
    uploads = []
    if isinstance(backend, Bucket):
        left = {place: files for place, files in left.items() if not _only_markers(backend, files)}
        uploads = unfinished_uploads(backend, now - safe.total_seconds())
    if remove:
        again = {place: _unpublished(list(backend.list(place))) for place in left}
        left = {place: files for place, files in left.items() if again[place].get(place) == files}
        backend.delete([entry.path for files in left.values() for entry in files])
        if isinstance(backend, Bucket):
            abort_uploads(backend, uploads)
            _free_abandoned(backend, now - safe.total_seconds())
    size = sum(entry.size for files in left.values() for entry in files)
    return len(left) + len(uploads), size


def orphans_of(backends: Iterable[Backend], *, remove: bool) -> tuple[int, int]:
    """(runs, bytes) of the orphans in several backends. Raises StoreError."""
    counts = [orphans(backend, remove=remove) for backend in backends]
    return sum(number for number, _ in counts), sum(held for _, held in counts)


def remove_interrupted(
    backend: Backend, directory: Directory, *, now: float, cache_alone: bool, remove: bool
) -> tuple[int, int]:
    """(number, bytes) of what interrupted commands have left: runs, uploads, temporary files. With `remove` it goes, and so do idle locks.

    Of a store and this machine's `directory` of it, which may be the same, or of the `cache_alone`. Raises StoreError.
    """
    backends: list[Backend] = [] if cache_alone else [backend]
    backends += [directory] if backend is not directory else []
    counts = [orphans_of(backends, remove=remove)]
    if os.path.isdir(directory.root):
        counts.append(_temporary(directory, before=now - SETTLED_SECONDS, remove=remove))
        if remove:
            with translate_errors(directory.root):
                remove_idle_locks(f"{directory.root}/{layout.READERS}")
    return sum(number for number, _ in counts), sum(held for _, held in counts)


def _temporary(directory: Directory, *, before: float, remove: bool) -> tuple[int, int]:
    """(number, bytes) of the temporary files of killed processes, not written since a time; `remove` takes them away. Raises StoreError."""
    files = 0
    size = 0
    with translate_errors(directory.root):
        for parent, directories, names in os.walk(directory.root):
            # A stage may give its files any name.
            directories[:] = [n for n in directories if n not in (layout.OUTPUT, layout.STAGING)]
            for name in names:
                path = os.path.join(parent, name)
                if not name.startswith((".tmp-", f"{layout.STAMP}.")):
                    continue
                status = os.lstat(path)
                if status.st_mtime < before:
                    files, size = files + 1, size + status.st_size
                    if remove:
                        os.unlink(path)
    return files, size


def runs_in(backend: Backend, paths: Iterable[str]) -> set[str]:
    """The locations of the runs among these paths of a store. A `run.json` alone proves nothing: others write files of that name too."""
    end = f"/{layout.RUN_RECORD}"
    ends = (end, f"/{layout.STAMP}")
    # A stamp tells of a run that has lost its record.
    found_at = {
        path.rpartition("/")[0]
        for path in paths
        if path.endswith(ends) and not path.startswith("_")
    }
    # A run may lie in a directory named like a file of another's output, never the other way round.
    places = sorted(found_at, key=len)
    runs: set[str] = set()
    for start in range(0, len(places), TOGETHER):
        batch = [place for place in places[start : start + TOGETHER] if not is_in_run(place, runs)]
        contents = backend.get_many([f"{place}{end}" for place in batch])
        for place, content in zip(batch, contents, strict=True):
            if not is_in_run(place, runs) and _is_run(backend, place, content):
                runs.add(place)
    return runs


def _is_run(backend: Backend, place: str, content: bytes | Unreadable | None) -> bool:
    """True for a run record that belongs there, also an older version's, and for a damaged one with a stamp beside it."""
    try:
        path = layout.run_path(place)
    except StoreError:
        return False
    record = decode(RunManifest, content, path)
    if isinstance(record, RunManifest):
        return record.location == place
    if isinstance(record, Unreadable) and record.reason == "older":
        assert isinstance(content, bytes)
        return f'"location":"{place}"'.encode() in content
    return (
        isinstance(backend, Directory)
        and read_stamp(StoredArtifact(f"{backend.root}/{place}", layout.RUN_RECORD)) is not None
    )


def read_all(
    backend: Backend, directory: str, kind: Any, since: float = 0.0, *, nested: bool = False
) -> list[Any]:
    """The records of this kind in a directory, or `nested` in directories there, that were written since a time (seconds since 1970).

    Raises StoreError where one cannot be read, unless it is an older version's: what it keeps is not known.
    """
    parents = [f"{directory}/{name}" for name in backend.children(directory)] if nested else []
    for parent in parents or [directory]:
        for name in backend.children(parent):
            raise _not_known(backend, f"{parent}/{name}", "is a directory, and should be a file")
    paths = [entry.path for entry in backend.list(directory) if entry.modified > since]
    records = []
    for path, content in zip(paths, backend.get_many(paths, SMALL_RECORD_BYTES), strict=True):
        record = decode(kind, content, path)
        if isinstance(record, Unreadable) and record.reason != "older":
            raise _not_known(backend, path, record.text)
        records.append(readable(record))
    return [record for record in records if record is not None]


def _not_known(backend: Backend, path: str, fault: str) -> StoreError:
    return StoreError(
        f"{path} in {backend.url} {fault}: what it keeps is not known, so nothing is collected",
        hint="use the newest version of the tooling; remove the record if it is damaged",
    )


def holders(backend: Backend) -> list[Holder]:
    """The stages that are being computed now under this store's leases, as far as the clocks of a bucket and of this machine agree."""
    if isinstance(backend, Directory):
        with translate_errors(backend.root):
            return held_locks(f"{backend.root}/{layout.LEASES}")
    entries = list(backend.list(layout.LEASES))
    contents = backend.get_many([entry.path for entry in entries])
    current: list[Holder] = []
    for entry, content in zip(entries, contents, strict=True):
        record = readable(decode(LeaseRecord, content, entry.path))
        if record is None or entry.modified + record.seconds <= time.time():
            continue
        if isinstance(record.holder, Holder):
            current.append(record.holder)
    return current


def growing_logs(directory: Path) -> dict[str, Path]:
    """The logs of stages that this machine computes in a store's directory, by content key."""
    logs: dict[str, Path] = {}
    for place in sorted((directory / layout.STAGING).glob("*/")):
        staging = Staging(place)
        with suppress(OSError, UnicodeDecodeError):
            [key] = Directory(place).get_many([staging.key.name], SMALL_RECORD_BYTES)
            if isinstance(key, bytes) and stat.S_ISREG(os.lstat(staging.log).st_mode):
                logs[key.decode("ascii")] = staging.log
    return logs


def _clear(backend: Backend) -> None:
    """Remove the leases that nobody holds and, in a directory, the staging directories of dead processes."""
    if isinstance(backend, Directory):
        with translate_errors(backend.root):
            remove_idle_locks(f"{backend.root}/{layout.LEASES}")
            reap(f"{backend.root}/{layout.STAGING}")
        return
    paths = [entry.path for entry in backend.list(layout.LEASES)]
    records = [
        readable(decode(LeaseRecord, content, path))
        for path, content in zip(paths, backend.get_many(paths), strict=True)
    ]
    free = [p for p, record in zip(paths, records, strict=True) if record and not record.seconds]
    backend.delete(free)


def _free_abandoned(bucket: Bucket, before: float) -> None:
    """Give back the leases that nobody has renewed since a time: else what their keys lead to counts as in use for ever."""
    paths = [entry.path for entry in bucket.list(layout.LEASES) if entry.modified < before]
    contents = dict(zip(paths, bucket.get_many(paths, SMALL_RECORD_BYTES), strict=True))
    # Listed again: what was renewed before it was read is young by now. What is renewed later, the replacement does not touch.
    for entry in bucket.list(layout.LEASES):
        content = contents.get(entry.path) if entry.modified < before else None
        record = readable(decode(LeaseRecord, content, entry.path))
        if record and record.seconds:
            free = msgspec.structs.replace(record, seconds=0.0)
            bucket.replace(entry.path, content, encode(free, entry.path))


def _unpublished(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The files of runs without a `run.json`, by location."""
    end = f"/{layout.RUN_RECORD}"
    published = {e.path.removesuffix(end) for e in entries if e.path.endswith(end)}
    unpublished: dict[str, list[Entry]] = {}
    for entry in entries:
        match = _OF_A_RUN.fullmatch(entry.path)
        if match and not is_in_run(entry.path, published):
            unpublished.setdefault(match[1], []).append(entry)
    return unpublished


def _is_left(place: str, files: Sequence[Entry], before: float) -> bool:
    """True when all files of a run were written so long ago that nobody will publish it any more."""
    if _IN_A_CLUSTER.search(place):
        before -= SAFE_IN_A_CLUSTER.total_seconds()
    return all(entry.modified < before for entry in files)


def _only_markers(bucket: Bucket, files: Sequence[Entry]) -> bool:
    """True when what lies there are markers of directories alone, as a collection leaves them."""
    sizes = {entry.path: entry.size for entry in files}
    return not any(sizes.values()) and bucket.markers(sizes) == sizes.keys()


def is_in_run(path: str, runs: Container[str]) -> bool:
    """True when a path lies in one of the runs."""
    parent = path.rpartition("/")[0]
    while parent and parent not in runs:
        parent = parent.rpartition("/")[0]
    return bool(parent)


_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make_bucket(bucket: Bucket) -> None:
    """Make the bucket; nothing where it is there already. Raises StoreError."""
    from botocore.exceptions import BotoCoreError, ClientError

    access, client = bucket.access, _client(bucket)
    place = {"LocationConstraint": access.region}
    more = {} if access.region == DEFAULT_REGION else {"CreateBucketConfiguration": place}
    try:
        client.create_bucket(Bucket=bucket.name, **more)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code not in _THERE:
            raise access_error(access, bucket.url, code, str(error)) or StoreError(
                f"{access.server} does not make the bucket {bucket.name} ({code})", hint=CHECK_KEYS
            ) from None
    except (BotoCoreError, ValueError) as error:
        raise access_error(access, bucket.url, "", str(error)) or StoreError(
            f"the bucket {bucket.name} cannot be made: {access.server} cannot be reached ({type(error).__name__})",
            hint="check MINIO_ENDPOINT",
        ) from None


def unfinished_uploads(bucket: Bucket, before: float) -> list[tuple[str, str]]:
    """(key, id) of each upload of several parts that was begun before a time and neither completed nor aborted.

    Nothing where the server or the key does not allow to ask.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = _client(bucket).get_paginator("list_multipart_uploads")
        return [
            (upload["Key"], upload["UploadId"])
            # Of all keys: with a prefix MinIO lists the uploads of that very key alone.
            for page in pages.paginate(Bucket=bucket.name)
            for upload in page.get("Uploads", ())
            if upload["Key"].startswith(bucket.key("")) and upload["Initiated"].timestamp() < before
        ]
    except (BotoCoreError, ClientError, ValueError):
        return []


def abort_uploads(bucket: Bucket, uploads: Sequence[tuple[str, str]]) -> None:
    """Abort unfinished uploads; those that are gone or may not be aborted do not matter."""
    from botocore.exceptions import BotoCoreError, ClientError

    for key, upload in uploads:
        try:
            _client(bucket).abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload)
        except (BotoCoreError, ClientError):
            continue


def _client(bucket: Bucket) -> Any:
    import boto3

    return boto3.client("s3", **boto_options(bucket.access))


def boto_options(access: S3Access) -> dict[str, Any]:
    """The arguments of `boto3.client("s3", …)` for this access, with a few attempts."""
    from botocore.config import Config

    return {
        "endpoint_url": access.endpoint or None,
        "region_name": access.region,
        "aws_access_key_id": access.access_key or None,
        "aws_secret_access_key": access.secret_key or None,
        "aws_session_token": access.session_token or None,
        "verify": access.ca_bundle or None,
        "config": Config(
            connect_timeout=5,
            retries={"mode": "standard", "max_attempts": 3},
            request_checksum_calculation=access.checksums,
            response_checksum_validation=access.checksums,
            s3={"addressing_style": "virtual" if access.virtual_host else "path"},
        ),
    }
