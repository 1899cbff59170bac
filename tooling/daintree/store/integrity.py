"""Integrity of artifacts on this machine: hashing, stamps, and sealing.

A stamp beside the files holds each file's signature as it was when its SHA-256 was last found right. While all
signatures are the same the files are; a file whose signature differs is hashed again. As in git's index, a file
that changed in the same tick of the clock as the stamp was written proves nothing, and is hashed again too.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec

from daintree.digest import digest_files
from daintree.errors import ArtifactDamaged, ArtifactRejected
from daintree.store import records
from daintree.store.backend import MAX_RECORD_BYTES, read_regular
from daintree.store.layout import OUTPUT, STAMP, check_names

# Size, time of the last write, time of the last change to the inode (both nanoseconds), inode. Nobody but the
# system sets the third, so that a file altered behind our back cannot look as it did.
Signature: TypeAlias = tuple[int, int, int, int]

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}

# What this process has hashed and not yet published, by device and inode: publishing sees from it that a file
# is still what was hashed, and need not read it again.
_hashed: dict[tuple[int, int], tuple[Signature, str]] = {}


def signature_of(status: os.stat_result) -> Signature:
    """Stamp of a file's content in its inode: any write changes it."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def walk(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each entry below a directory that is not itself a directory, in no order; links are not followed.

    Only `directory` itself may be a link. Raises OSError.
    """
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(f"{directory}/{prefix}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name, entry.stat(follow_symlinks=False)


def scan_artifact(directory: Path) -> list[tuple[str, os.stat_result]]:
    """The files of a directory, sorted by path (`/` between segments); empty directories do not count.

    `directory` itself may be a link. Raises ArtifactRejected, naming the file, for what is not a regular
    file, for a refused name, and for what cannot be read.
    """
    try:
        files = sorted(walk(str(directory)), key=lambda item: item[0])
    except OSError as error:
        raise _unreadable(directory, error) from error
    for path, status in files:
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
            raise ArtifactRejected(
                f"{path!r} is {kind}", hint="an artifact holds regular files and directories only"
            )
    check_names(path for path, _ in files)
    return files


def hash_artifact(directory: Path) -> records.Artifact:
    """The artifact that a stage wrote into `directory`, its files hashed on all cores.

    Raises ArtifactRejected as `scan_artifact` does, for a directory that is a link or is gone, for one
    without a file, and for a file that changes meanwhile.
    """
    try:
        if not stat.S_ISDIR(os.lstat(directory).st_mode):
            raise ArtifactRejected("its output directory is no directory any more")
        entries = scan_artifact(directory)
    except FileNotFoundError:
        raise ArtifactRejected("its output directory is gone") from None
    except ArtifactRejected as error:
        raise ArtifactRejected(
            f"wrote what no store may hold: {error.message}", hint=error.hint
        ) from error
    if not entries:
        raise ArtifactRejected(
            "wrote nothing", hint="a stage must leave at least one file in --output"
        )
    return records.artifact_of(_hash_file(directory, entries))


def remember_hashed(status: os.stat_result, sha256: str) -> None:
    """Remember that the file with this inode was a moment ago, when it had this status, of this SHA-256."""
    _hashed[status.st_dev, status.st_ino] = (signature_of(status), sha256)


def hashed_as(status: os.stat_result, sha256: str) -> bool:
    """True when this process has hashed this very file to `sha256` and it has not changed since; forgets it."""
    known = _hashed.pop((status.st_dev, status.st_ino), None)
    return known == (signature_of(status), sha256)


def _hash_file(
    directory: Path, entries: list[tuple[str, os.stat_result]]
) -> Iterator[records.FileEntry]:
    paths = [directory / path for path, _ in entries]
    try:
        digests = digest_files(paths)
        now = [os.lstat(path) for path in paths]
    except OSError as error:
        raise _unreadable(directory, error) from error
    for (path, before), after, sha256 in zip(entries, now, digests, strict=True):
        if signature_of(before) != signature_of(after):
            raise ArtifactRejected(f"{path!r} changed while it was read")
        remember_hashed(after, sha256)
        yield records.FileEntry(path, after.st_size, sha256)


def _unreadable(directory: Path, error: OSError) -> ArtifactRejected:
    path = os.path.relpath(error.filename, directory) if error.filename else str(directory)
    return ArtifactRejected(
        f"{path!r} cannot be read: {error.strerror}", hint="check its permissions"
    )


# An artifact of this size is hashed in about the time that the coarsest usual clock takes to tick.
SETTLE_FROM_BYTES = 8 << 20
SETTLE_SECONDS = 0.05

_IRREGULAR: Signature = (-1, 0, 0, 0)


class StoredArtifact(msgspec.Struct, frozen=True):
    """An artifact in the store: the files in `directory`/output, described by the record beside them."""

    directory: str
    record: str

    @property
    def output(self) -> str:
        """The directory of the files."""
        return f"{self.directory}/{OUTPUT}"


class Stamp(msgspec.Struct, frozen=True, tag_field="kind", tag="stamp"):
    """The signatures of a kept artifact's record and files at a time when the artifact had this digest.

    `record` is the SHA-256 of the record, "" where nothing else knows it; `newest_ns` is when the last of the files changed.
    """

    schema: int
    digest: str
    record: str
    record_file: Signature | None
    newest_ns: int
    files: dict[str, Signature]


def looks_whole(stored: StoredArtifact, digest: str, record: str = "") -> bool:
    """True when nothing was altered since the artifact was last found to have this digest, and its record this one. Raises OSError."""
    stamp = read_stamp(stored)
    return (
        stamp is not None
        and (stamp.digest, stamp.record) == (digest, record)
        and stamp.record_file == _record_signature(stored)
        and stamp.files == signatures_of(stored)
    )


def verify(
    stored: StoredArtifact,
    expected: records.Artifact | None,
    digest: str,
    *,
    thorough: bool,
    record: str = "",
) -> None:
    """Raise ArtifactDamaged unless the files are those of `expected`, whose digest must be `digest`.

    Files that the stamp does not vouch for are hashed; with `thorough`, all are. Renews the stamp where it can, so that it
    does not vouch for a file that was found wrong.
    `expected` is None when the record cannot be read, `record` its SHA-256 where something else tells it. Raises OSError.
    """
    record_file = _record_signature(stored)
    if record_file is None:
        raise ArtifactDamaged.missing(stored.record, "record")
    if (
        expected is None
        or not expected.digest == records.artifact_of(expected.files).digest == digest
    ):
        raise ArtifactDamaged.damaged(stored.record, "record")
    signatures = signatures_of(stored)
    _compare(expected.files, signatures)
    stamp = read_stamp(stored)
    right = stamp.files if stamp and not thorough else {}
    doubtful = [
        entry for entry in expected.files if right.get(entry.path) != signatures[entry.path]
    ]
    try:
        _hash(stored, doubtful)
    except ArtifactDamaged as damage:
        if stamp and stamp.files.get(damage.file) == signatures[damage.file]:
            _distrust(stored, stamp, damage.file)
        raise
    fresh = Stamp(records.SCHEMA, digest, record, record_file, _newest(signatures), signatures)
    if doubtful or not stamp or msgspec.structs.replace(stamp, newest_ns=fresh.newest_ns) != fresh:
        # Only time is lost without: a store that cannot be written still serves what it holds.
        with suppress(OSError):
            _write(stored, fresh)


def _distrust(stored: StoredArtifact, stamp: Stamp, file: str) -> None:
    """Let the stamp say nothing of a file: whoever looks next reads it."""
    others = {path: signature for path, signature in stamp.files.items() if path != file}
    with suppress(OSError):
        _write(stored, msgspec.structs.replace(stamp, files=others))


def write_stamp(
    stored: StoredArtifact,
    artifact: records.Artifact,
    record: str,
    signatures: dict[str, Signature],
) -> None:
    """Stamp files that are `artifact` while they have these signatures. Raises OSError."""
    newest_ns = _newest(signatures)
    record_file = _record_signature(stored)
    _write(
        stored, Stamp(records.SCHEMA, artifact.digest, record, record_file, newest_ns, signatures)
    )
    if artifact.bytes >= SETTLE_FROM_BYTES:
        _settle(f"{stored.directory}/{STAMP}", newest_ns)


def _settle(path: str, newest_ns: int) -> None:
    """Let the clock tick, so that the first to look at a large artifact need not hash it again."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while os.stat(path).st_mtime_ns <= newest_ns and time.monotonic() < deadline:
        time.sleep(0.001)
        os.utime(path)


def _compare(expected: tuple[records.FileEntry, ...], signatures: Mapping[str, Signature]) -> None:
    for entry in expected:
        if entry.path not in signatures:
            raise ArtifactDamaged.missing(entry.path)
        if signatures[entry.path][0] != entry.size:
            raise ArtifactDamaged.damaged(entry.path)
    extra = sorted(signatures.keys() - {entry.path for entry in expected})
    if extra:
        raise ArtifactDamaged.damaged(extra[0], detail=": no run wrote it")


def _hash(stored: StoredArtifact, entries: list[records.FileEntry]) -> None:
    try:
        digests = digest_files(Path(stored.output, entry.path) for entry in entries)
    except OSError as error:
        path = os.path.relpath(error.filename or stored.output, stored.output)
        if error.errno == errno.ENOENT:
            raise ArtifactDamaged.missing(path) from error
        if error.errno == errno.EIO:
            raise ArtifactDamaged.damaged(path, detail=": the disk cannot read it") from error
        raise
    for entry, sha256 in zip(entries, digests, strict=True):
        if sha256 != entry.sha256:
            raise ArtifactDamaged.damaged(entry.path)


def signatures_of(stored: StoredArtifact) -> dict[str, Signature]:
    """Signatures of an artifact's files; none where its directory is gone."""

    def signatures() -> Iterator[tuple[str, Signature]]:
        for path, status in walk(stored.output):
            regular = stat.S_ISREG(status.st_mode)
            yield path, signature_of(status) if regular else _IRREGULAR

    try:
        return dict(signatures())
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _record_signature(stored: StoredArtifact) -> Signature | None:
    try:
        return signature_of(os.lstat(f"{stored.directory}/{stored.record}"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _newest(signatures: Mapping[str, Signature]) -> int:
    return max((signature[2] for signature in signatures.values()), default=0)


def read_stamp(stored: StoredArtifact) -> Stamp | None:
    """The stamp, less the files that changed in the same tick as it was written; None when it is not whole. Raises no OSError."""
    path = f"{stored.directory}/{STAMP}"
    try:
        # By the clock that the files' times come from, which on a network is not ours.
        written_ns = os.lstat(path).st_mtime_ns
        stamp = records.readable(records.decode(Stamp, read_regular(path, MAX_RECORD_BYTES), STAMP))
    except OSError:
        return None
    if stamp is None or stamp.newest_ns < written_ns:
        return stamp
    settled = {
        path: signature for path, signature in stamp.files.items() if signature[2] < written_ns
    }
    return msgspec.structs.replace(stamp, files=settled)


def _write(stored: StoredArtifact, stamp: Stamp) -> None:
    path = f"{stored.directory}/{STAMP}"
    temporary = f"{path}.{os.urandom(6).hex()}"
    try:
        with open(temporary, "wb") as file:
            file.write(records.encode(stamp, STAMP))
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


FILE_MODE = 0o444
DIRECTORY_MODE = 0o755


def finalize(
    output: Path, artifact: records.Artifact, scratch: Path, mode: int = DIRECTORY_MODE
) -> dict[str, Signature]:
    """Make the files in `output` read-only, and its directories of this mode, having made sure that they are those of `artifact`.

    Returns the files' signatures. Files that this process has hashed, and that have not changed since, are not read again; files
    with further hard links are replaced by copies. Raises ArtifactRejected when the files are not the artifact's, OSError as
    changing them does.
    """
    if not stat.S_ISDIR(os.lstat(output).st_mode):
        raise ArtifactRejected("its output directory is no directory any more")
    statuses = dict(scan_artifact(output))
    for name in sorted(statuses.keys() ^ {entry.path for entry in artifact.files}):
        raise _changed(name)
    for directory, _, _ in os.walk(output):
        os.chmod(directory, mode)
    doubtful = []
    for entry in artifact.files:
        path = output / entry.path
        is_known = hashed_as(statuses[entry.path], entry.sha256)
        has_links = statuses[entry.path].st_nlink > 1
        if has_links:
            _copy(path, scratch)
            statuses[entry.path] = os.lstat(path)
        if not is_known or has_links:
            doubtful.append(entry)
    paths = [output / entry.path for entry in doubtful]
    for entry, path, sha256 in zip(doubtful, paths, digest_files(paths), strict=True):
        if (path.stat().st_size, sha256) != (entry.size, entry.sha256):
            raise _changed(entry.path)
    signatures = {}
    for entry in artifact.files:
        path = output / entry.path
        os.chmod(path, FILE_MODE)
        status = os.lstat(path)
        # Through a descriptor that was open before, it could be written to while it was hashed.
        if status.st_mtime_ns != statuses[entry.path].st_mtime_ns:
            raise _changed(entry.path)
        signatures[entry.path] = signature_of(status)
    return signatures


def _copy(path: Path, scratch: Path) -> None:
    """Through another link the file could be written to, and its mode is not the store's to change."""
    copy = scratch / f"link-{os.urandom(8).hex()}"
    shutil.copyfile(path, copy)
    os.replace(copy, path)


def _changed(path: str) -> ArtifactRejected:
    return ArtifactRejected(
        f"{path!r} changed after it was hashed",
        hint="is a process that the stage has started still writing?",
    )
