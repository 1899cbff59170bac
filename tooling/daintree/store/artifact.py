"""Artifacts on disk: which files a directory holds, and the digest of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from daintree.digest import digest_files
from daintree.errors import ArtifactRejected
from daintree.manifest import Artifact, FileEntry, artifact_of
from daintree.store.names import check_names

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
    """What a file's inode says of its content: any write changes it."""
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
        found = sorted(walk(str(directory)), key=lambda item: item[0])
    except OSError as error:
        raise _unreadable(directory, error) from error
    for path, status in found:
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
            raise ArtifactRejected(
                f"{path!r} is {kind}", hint="an artifact holds regular files and directories only"
            )
    check_names(path for path, _ in found)
    return found


def hash_artifact(directory: Path) -> Artifact:
    """The artifact that a stage wrote into `directory`, its files hashed on all cores.

    Raises ArtifactRejected as `scan_artifact` does, for a directory that is a link or is gone, for one
    without a file, and for a file that changes meanwhile.
    """
    try:
        if not stat.S_ISDIR(os.lstat(directory).st_mode):
            raise ArtifactRejected("its output directory is no directory any more")
        found = scan_artifact(directory)
    except FileNotFoundError:
        raise ArtifactRejected("its output directory is gone") from None
    except ArtifactRejected as error:
        raise ArtifactRejected(
            f"wrote what no store may hold: {error.message}", hint=error.hint
        ) from error
    if not found:
        raise ArtifactRejected(
            "wrote nothing", hint="a stage must leave at least one file in --output"
        )
    return artifact_of(_hash(directory, found))


def remember_hashed(status: os.stat_result, sha256: str) -> None:
    """Remember that the file with this inode was a moment ago, when it had this status, of this SHA-256."""
    _hashed[status.st_dev, status.st_ino] = (signature_of(status), sha256)


def hashed_as(status: os.stat_result, sha256: str) -> bool:
    """Whether this process has hashed this very file to `sha256` and it has not changed since; forgets it."""
    known = _hashed.pop((status.st_dev, status.st_ino), None)
    return known == (signature_of(status), sha256)


def _hash(directory: Path, found: list[tuple[str, os.stat_result]]) -> Iterator[FileEntry]:
    paths = [directory / path for path, _ in found]
    try:
        digests = digest_files(paths)
        now = [os.lstat(path) for path in paths]
    except OSError as error:
        raise _unreadable(directory, error) from error
    for (path, before), after, sha256 in zip(found, now, digests, strict=True):
        if signature_of(before) != signature_of(after):
            raise ArtifactRejected(f"{path!r} changed while it was read")
        remember_hashed(after, sha256)
        yield FileEntry(path, after.st_size, sha256)


def _unreadable(directory: Path, error: OSError) -> ArtifactRejected:
    path = os.path.relpath(error.filename, directory) if error.filename else str(directory)
    return ArtifactRejected(
        f"{path!r} cannot be read: {error.strerror}", hint="check its permissions"
    )
