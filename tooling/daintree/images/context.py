"""The build context: a tar of exactly a version's files, the same bytes wherever it is made."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path

DOCKERFILE = "Dockerfile"
# 1980-01-01, as in snapshots: the earliest time every archive format can hold.
FIXED_TIME = 315_532_800


def build_context(snapshot: Path, paths: Sequence[str], dockerfile: bytes) -> bytes:
    """A tar of these files of a snapshot, with `dockerfile` for its Dockerfile.

    Owners, times, order and modes (0755 or 0644, so that any user can read them) do not depend on who makes it. Raises
    OSError as reading does.
    """
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in _directories(paths):
            archive.addfile(_member(directory, tarfile.DIRTYPE, 0o755))
        for path in sorted(paths):
            if path == DOCKERFILE:
                _add(archive, _member(path, tarfile.REGTYPE, 0o644), dockerfile)
            elif os.path.islink(snapshot / path):
                member = _member(path, tarfile.SYMTYPE, 0o777)
                member.linkname = os.readlink(snapshot / path)
                archive.addfile(member)
            else:
                executable = (snapshot / path).stat().st_mode & stat.S_IXUSR
                member = _member(path, tarfile.REGTYPE, 0o755 if executable else 0o644)
                _add(archive, member, (snapshot / path).read_bytes())
    return written.getvalue()


def _directories(paths: Sequence[str]) -> list[str]:
    found = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(found - {"."})


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, FIXED_TIME
    return member


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, content: bytes) -> None:
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
