"""Snapshots: copies of exactly a version's files, for builds and local runs to use.

git checks them out of the blobs that the version names, so nothing on disk can change under them, and no setting of the
user has a say. A snapshot lies below its version's digest: one that is there is hashed again before it is used, and
replaced when somebody changed it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from daintree.components.entries import EXECUTABLE, REGULAR, SYMLINK
from daintree.components.git import FLAGS, attempt
from daintree.components.version import ComponentVersion, VersionedFile
from daintree.errors import VersionError, check_writable

# 1980-01-01, the earliest time every archive format can hold: all copies of a version are alike.
FIXED_TIME = 315_532_800

# Python writes these beside the modules it imports; it checks them against their source.
_BYTECODE = "__pycache__"
_ABANDONED_SECONDS = 24 * 3600
_POINTER = b"version https://git-lfs.github.com/spec/"
# Nobody's settings but these; a filter has no program, except that of git-lfs.
_NEUTRAL = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_LFS_SKIP_SMUDGE": "0",
}
_CHECKOUT = (
    "core.autocrlf=false",
    "core.eol=lf",
    "core.symlinks=true",
    # Works without a network: the private git directory has no remote.
    "filter.lfs.process=git-lfs filter-process",
)


def make_snapshot(version: ComponentVersion, into: Path) -> Path:
    """Return the directory `into/<64 hex digits of the version>` with exactly the version's files.

    Files are read-only, links stay links, times are fixed. Any number of processes may make the same snapshot at once.
    Raises VersionError when it cannot be made; nothing is left then.
    """
    return make_snapshots([version], into)[0]


def make_snapshots(versions: Sequence[ComponentVersion], into: Path) -> list[Path]:
    """Make the snapshots of several versions of one repository, with no more calls of git than for one. Raises VersionError when they cannot be made."""
    targets = {version.digest: _target(version, into) for version in versions}
    missing = {v.digest: v for v in versions if not _is_whole(targets[v.digest], v)}
    if missing:
        partial = into / f".{os.urandom(12).hex()}"
        try:
            with _translate_errors(into):
                into.mkdir(parents=True, exist_ok=True)
                _remove_abandoned(into)
                (partial / "files").mkdir(parents=True)
                places = {targets[digest].name: version for digest, version in missing.items()}
                _check_out(places, partial)
                for name, version in places.items():
                    _finish(version, partial / "files" / name, into / name)
        finally:
            _remove(partial)
    for target in targets.values():
        # The time of its last use.
        with suppress(OSError):
            os.utime(target)
    return [targets[version.digest] for version in versions]


def check_place(version: ComponentVersion, into: Path) -> None:
    """Raise VersionError where the version has no snapshot below `into`, and none could be made there; nothing is made."""
    if not _target(version, into).is_dir():
        with _translate_errors(into):
            check_writable(into)


def _target(version: ComponentVersion, into: Path) -> Path:
    return into / version.digest.removeprefix("sha256:")


@contextmanager
def _translate_errors(into: Path) -> Iterator[None]:
    """Raise VersionError for each OSError in the block."""
    try:
        yield
    except OSError as error:
        raise VersionError(
            f"no snapshot can be made in {into}: {error.strerror}",
            hint="`doit config` shows where snapshots are kept, and how to choose another place",
        ) from None


def unused_snapshots(into: Path, before: float) -> list[Path]:
    """Return the snapshots below `into` that were not used since a time (seconds since 1970)."""
    directories = [path for path in into.glob("*") if re.fullmatch(r"[0-9a-f]{64}", path.name)]
    return sorted(path for path in directories if path.lstat().st_mtime < before)


def changed_snapshots(versions: Sequence[ComponentVersion], into: Path) -> list[str]:
    """Return the names of those versions whose snapshot in `into` was changed since it was made; the next run makes it again."""
    targets = {version.name: (_target(version, into), version) for version in versions}
    return [n for n, (path, v) in targets.items() if path.exists() and not _is_whole(path, v)]


def _check_names(version: ComponentVersion) -> None:
    """Refuse names that differ by case alone: on some systems one would overwrite the other."""
    spelled: dict[str, str] = {}
    for file in version.files:
        parts = file.path.split("/")
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            other = spelled.setdefault(path.casefold(), path)
            if other != path:
                raise VersionError(
                    f"{version.name}: {other} and {path} are the same name on systems without case",
                    hint="rename one of them",
                )


def _check_out(versions: Mapping[str, ComponentVersion], partial: Path) -> None:
    """Check out each version's files below partial/files/<name>."""
    for version in versions.values():
        _check_names(version)
    files = [(name, file) for name, version in versions.items() for file in version.files]
    attributes = partial / "attributes"
    attributes.write_text("".join(_attributes(name, file) for name, file in files), "utf-8")
    settings = (*_CHECKOUT, f"core.attributesFile={attributes}")
    flags = (*FLAGS, *(argument for setting in settings for argument in ("-c", setting)))
    variables = {
        **_NEUTRAL,
        "GIT_DIR": next(iter(versions.values())).objects,
        "GIT_WORK_TREE": os.fspath(partial / "files"),
        "GIT_INDEX_FILE": os.fspath(partial / "index"),
    }
    for version in versions.values():
        for file in version.files:
            if file.content:
                _write_blob(Path(version.objects), file.content, file.blob)
    entries = "".join(f"{file.mode} {file.blob}\t{name}/{file.path}\0" for name, file in files)
    for command, stdin in (
        (("update-index", "-z", "--index-info"), entries.encode()),
        (("checkout-index", "--all", "--quiet"), None),
    ):
        finished = attempt(partial / "files", *flags, *command, stdin=stdin, env=variables)
        if finished.code != 0:
            names = ", ".join(version.name for version in versions.values())
            complaint = finished.complaint()
            full = re.search(r"(?i)no space left|out of diskspace|disk quota", complaint)
            hint = "free some disk space, or choose another disk: DAINTREE_SNAPSHOTS"
            raise VersionError(
                f"git cannot check out {names}: {complaint}", hint=hint if full else "run it again"
            )


def _write_blob(directory: Path, content: bytes, blob: str) -> None:
    """Write a blob into the private git directory, unless it is there. Raises OSError."""
    place = directory / "objects" / blob[:2] / blob[2:]
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f"tmp_obj_{os.urandom(6).hex()}")
        partial.write_bytes(zlib.compress(b"blob %d\0" % len(content) + content))
        partial.replace(place)


def _attributes(name: str, file: VersionedFile) -> str:
    """Return the line of a .gitattributes file that converts one file."""
    if not file.conversion:
        return ""
    pattern = "".join(f"\\{mark}" if mark in "*?[\\" else mark for mark in f"/{name}/{file.path}")
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" {file.conversion}\n'


def _finish(version: ComponentVersion, directory: Path, target: Path) -> None:
    """Make the files read-only, with fixed times, and put the directory in place."""
    converted: dict[str, str] = {}
    for file in version.files:
        path = directory / file.path
        if file.conversion:
            content = path.read_bytes()
            if content.startswith(_POINTER):
                raise VersionError(
                    f"{file.origin} is a pointer of git-lfs, whose content is not in this clone",
                    hint="git lfs pull",
                )
            converted[file.path] = hashlib.sha256(content).hexdigest()
        if file.mode != SYMLINK:
            path.chmod(0o555 if file.mode == EXECUTABLE else 0o444)
        os.utime(path, (FIXED_TIME, FIXED_TIME), follow_symlinks=False)
    _put_in_place(directory, target, version, converted)


def _is_whole(directory: Path, version: ComponentVersion) -> bool:
    """Return True when the directory holds the version's files and no others, byte for byte."""
    wanted = {file.path for file in version.files}
    try:
        present = set(_paths(directory))
        converted = _read_converted(directory) if any(f.conversion for f in version.files) else {}
        return all(_BYTECODE in path.split("/") for path in present - wanted) and all(
            _is_unchanged(directory / f.path, f, converted) for f in version.files
        )
    except (OSError, ValueError):
        return False


def _read_converted(directory: Path) -> dict[str, str]:
    converted = json.loads(_converted(directory).read_bytes())
    return converted if isinstance(converted, dict) else {}


def _converted(directory: Path) -> Path:
    """Return the file beside a snapshot with the SHA-256 of what was converted: the blob's id says nothing of those bytes."""
    return directory.with_name(f"{directory.name}.converted")


def _paths(directory: Path) -> Iterator[str]:
    for parent, directories, files in os.walk(directory):
        links = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(parent, name), directory)


def _is_unchanged(path: Path, file: VersionedFile, converted: dict[str, str]) -> bool:
    if file.mode == SYMLINK:
        return file.is_content(os.fsencode(os.readlink(path)))
    mode = EXECUTABLE if path.lstat().st_mode & 0o100 else REGULAR
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as opened:
        content = opened.read()
    if file.conversion:
        return mode == file.mode and hashlib.sha256(content).hexdigest() == converted.get(file.path)
    return mode == file.mode and file.is_content(content)


def _put_in_place(
    partial: Path, target: Path, version: ComponentVersion, converted: dict[str, str]
) -> None:
    """Rename a whole snapshot to its place, unless another process was faster."""
    if os.path.lexists(target) and not _is_whole(target, version):
        damaged = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
        target.rename(damaged)
        _remove(damaged)
    if converted:
        text = partial.with_name("converted")
        text.write_text(json.dumps(converted), encoding="ascii")
        text.replace(_converted(target))
    try:
        partial.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _is_whole(target, version):
            raise


def _remove_abandoned(into: Path) -> None:
    """Remove what killed processes have left; a live one is done long before a day is over."""
    for path in into.glob(".*"):
        with suppress(FileNotFoundError):
            if time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
