"""Making a staged output final: certain to be what was hashed, reachable by no other name, and read-only."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from daintree.digest import digest_files
from daintree.errors import ArtifactRejected
from daintree.manifest import Artifact, FileEntry
from daintree.store.artifact import hashed_as, scan_artifact

FILE_MODE = 0o444
DIRECTORY_MODE = 0o755


def seal(output: Path, artifact: Artifact, scratch: Path) -> None:
    """Make the files in `output` read-only, having made sure that they are those of `artifact`.

    Files that this process has hashed, and that have not changed since, are not read again; files with
    further hard links are replaced by copies. Raises ArtifactRejected when the files are not the artifact's,
    OSError as changing them does.
    """
    if not stat.S_ISDIR(os.lstat(output).st_mode):
        raise ArtifactRejected("its output directory is no directory any more")
    found = dict(scan_artifact(output))
    for name in sorted(found.keys() ^ {entry.path for entry in artifact.files}):
        raise _changed(name)
    for directory, _, _ in os.walk(output):
        os.chmod(directory, DIRECTORY_MODE)
    doubtful = [entry for entry in artifact.files if not _is_hashed(found[entry.path], entry)]
    for entry in artifact.files:
        if found[entry.path].st_nlink > 1:
            _copy(output / entry.path, scratch)
    paths = [output / entry.path for entry in doubtful]
    for entry, path, sha256 in zip(doubtful, paths, digest_files(paths), strict=True):
        if (path.stat().st_size, sha256) != (entry.size, entry.sha256):
            raise _changed(entry.path)
    for entry in artifact.files:
        os.chmod(output / entry.path, FILE_MODE)


def _is_hashed(status: os.stat_result, entry: FileEntry) -> bool:
    """A copy is made of what has other links, and must be hashed."""
    return hashed_as(status, entry.sha256) and status.st_nlink == 1


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
