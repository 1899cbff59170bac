"""Snapshots: copies of exactly a version's files, for builds and local runs to use.

Neither ever reads the working tree, where files may change while they are used. A snapshot lies
below its version's digest, so the version tells what must be in it: one that is found is read and
hashed again before it is used, and replaced when somebody changed it. A run with nothing to compute
needs none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from daintree.components import ComponentVersion, VersionedFile
from daintree.components.entry import (
    CHUNK,
    EXECUTABLE,
    REGULAR,
    SYMLINK,
    algorithm_of,
    blob_hash,
    blob_of,
    blob_of_file,
)
from daintree.errors import GitError, VersionError

# 1980-01-01, the earliest time every archive format can hold: all copies of a version are alike.
FIXED_TIME = 315_532_800

# Python writes these beside the modules it imports; it checks them against their source.
_BYTECODE = "__pycache__"
_ABANDONED_SECONDS = 24 * 3600

_NO_LONGER_THE_SAME_KIND = (errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.ENOTDIR)


def make_snapshot(version: ComponentVersion, root: Path, into: Path) -> Path:
    """The directory `into/<64 hex digits of the version>` with exactly the version's files.

    They are copied from the project at `root` when no whole snapshot is there, and hashed while
    they are copied: VersionError says which one is no longer what the version was made of, and
    nothing is left then. Files are read-only, links stay links, times are fixed. Any number of
    processes may make the same snapshot at once.
    """
    target = into / version.digest.removeprefix("sha256:")
    if _is_whole(target, version):
        return target
    partial = into / f".{target.name}.{os.urandom(6).hex()}"
    try:
        into.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(into)
        partial.mkdir()
        for file in version.files:
            _copy(root / file.origin, partial / file.path, file)
        _put_in_place(partial, target, version)
    except OSError as error:
        raise VersionError(f"no snapshot can be made in {into}: {error.strerror}") from None
    finally:
        _remove(partial)
    return target


def _is_whole(directory: Path, version: ComponentVersion) -> bool:
    """Whether the directory holds the version's files and no others, byte for byte."""
    wanted = {file.path for file in version.files}
    try:
        found = set(_paths(directory))
        return (
            wanted <= found
            and all(_BYTECODE in path.split("/") for path in found - wanted)
            and all(_is_unchanged(directory / file.path, file) for file in version.files)
        )
    except (OSError, GitError):
        return False


def _paths(directory: Path) -> Iterator[str]:
    for parent, directories, files in os.walk(directory):
        links = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(parent, name), directory)


def _is_unchanged(path: Path, file: VersionedFile) -> bool:
    algorithm = algorithm_of(file.blob)
    if file.mode == SYMLINK:
        return blob_of(os.fsencode(os.readlink(path)), algorithm) == file.blob
    executable = bool(path.lstat().st_mode & 0o100)
    same_mode = file.mode == (EXECUTABLE if executable else REGULAR)
    return same_mode and blob_of_file(os.fsencode(path), algorithm) == file.blob


def _copy(source: Path, target: Path, file: VersionedFile) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if file.mode == SYMLINK:
            link = os.readlink(source)
            target.symlink_to(link)
            copied = blob_of(os.fsencode(link), algorithm_of(file.blob))
        else:
            copied = _copy_content(source, target, algorithm_of(file.blob))
            target.chmod(0o555 if file.mode == EXECUTABLE else 0o444)
        os.utime(target, (FIXED_TIME, FIXED_TIME), follow_symlinks=False)
    except OSError as error:
        raise _not_copied(file, error) from None
    if copied != file.blob:
        raise VersionError(f"{file.origin} changed while it was read", hint="run it again")


def _copy_content(source: Path, target: Path, algorithm: str) -> str:
    """Copy a regular file's bytes; the blob id of what was copied."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as reader, open(target, "xb") as writer:
        copied = blob_hash(os.fstat(descriptor).st_size, algorithm)
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            copied.update(chunk)
    return copied.hexdigest()


def _not_copied(file: VersionedFile, error: OSError) -> VersionError:
    if error.errno == errno.ENOENT:
        return VersionError(
            f"{file.origin} is not there: it changed while it was read, or is not checked out",
            hint="run it again; in a sparse checkout: git sparse-checkout add "
            + os.path.dirname(file.origin),
        )
    if error.errno in _NO_LONGER_THE_SAME_KIND:
        return VersionError(f"{file.origin} changed while it was read", hint="run it again")
    return VersionError(f"{file.origin} cannot be copied: {error.strerror}")


def _put_in_place(partial: Path, target: Path, version: ComponentVersion) -> None:
    """Rename a whole snapshot to its place, unless another process was faster."""
    if os.path.lexists(target) and not _is_whole(target, version):
        damaged = partial.with_name(f"{partial.name}.damaged")
        target.rename(damaged)
        _remove(damaged)
    try:
        partial.rename(target)
    except OSError:
        if not _is_whole(target, version):
            raise


def _remove_abandoned(into: Path) -> None:
    """Remove what killed processes have left; a live one is done long before a day is over."""
    for path in into.glob(".*"):
        try:
            if time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                _remove(path)
        except FileNotFoundError:
            continue


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
