"""A source on this machine: a file or a directory, read in place, known by its digest."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from daintree.digest import digest_files, digest_record
from daintree.errors import ArtifactRejected, SourceError, StoreError
from daintree.pipeline.decisions import SourceIdentity
from daintree.store.records import FileEntry, artifact_of
from daintree.store.store import Store

# A file altered right after it was hashed could keep its times where the clock of the file system ticks coarsely
# (2 s on FAT, 1 s on some network file systems); younger ones are hashed again.
SETTLED_NS = 2_000_000_000


class _Signature(msgspec.Struct, frozen=True, array_like=True):
    """Inode of a file; any write changes at least `changed_ns`."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    device: int


class _Remembered(msgspec.Struct, frozen=True, array_like=True):
    path: str
    signature: _Signature
    sha256: str
    hashed_ns: int


class LocalSource:
    """A file or directory. A single file is a directory with that one file in it: its name counts."""

    def __init__(self, path: Path, origin: str, sha256: str, store: Store) -> None:
        self._path = path
        self._origin = origin
        self._sha256 = sha256
        self._store = store
        self._seen: dict[str, _Signature] = {}
        key = digest_record("source-path", 1, os.path.abspath(path))
        self._note = "sources/" + key.removeprefix("sha256:")

    @property
    def url(self) -> str:
        """Nothing: a stage gets files."""
        return ""

    def identify(self) -> SourceIdentity:
        """Hashes what changed since it was last hashed; the rest is known by its inode's times."""
        files = self._walk()
        self._seen = self._signatures(files)
        entries = self._hash(files)
        if self._sha256 and [entry.sha256 for entry in entries] != [self._sha256]:
            raise SourceError(
                f"the source {self._origin} is not the file that the pipeline declares",
                hint=f"its sha256 is {entries[0].sha256 if len(entries) == 1 else 'that of several files'}",
            )
        digest = artifact_of(entries).digest
        return SourceIdentity(digest, digest, self._origin)

    def fetch(self) -> SourceIdentity:
        """The same: there is nothing to download."""
        return self.identify()

    def files(self, directory: Path) -> Mapping[str, Path]:
        """One link for each file."""
        files = self._walk()
        for name, path in files.items():
            link = directory / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.abspath(path))
        whole = Path(os.path.abspath(self._path))
        return dict.fromkeys(files, whole) if self._path in files.values() else {"": whole}

    def unchanged(self) -> bool:
        """True while the same files have the same inodes, sizes and times."""
        try:
            return self._signatures(self._walk()) == self._seen
        except SourceError:
            return False

    def _signatures(self, files: dict[str, Path]) -> dict[str, _Signature]:
        return {
            name: _signature(self._origin if path is self._path else f"{self._origin}/{name}", path)
            for name, path in files.items()
        }

    def _walk(self) -> dict[str, Path]:
        try:
            mode = os.stat(self._path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise SourceError(
                f"the source {self._origin} does not exist",
                hint=f"looked for {os.path.abspath(self._path)}; a relative path in a pipeline file starts at the project",
            ) from None
        except OSError as error:
            raise _unreadable(self._origin, error) from None
        if stat.S_ISREG(mode):
            return {self._path.name: self._path}
        if not stat.S_ISDIR(mode):
            raise SourceError(f"the source {self._origin} is neither a file nor a directory")
        return self._walk_directory()

    def _walk_directory(self) -> dict[str, Path]:
        from daintree.store.integrity import scan_artifact

        try:
            files = {name: self._path / name for name, _ in scan_artifact(self._path)}
        except ArtifactRejected as error:
            raise SourceError(
                f"the source {self._origin}: {error.message}", hint=error.hint
            ) from None
        if not files:
            raise SourceError(f"the source {self._origin} is a directory without a file")
        return files

    def _hash(self, files: dict[str, Path]) -> list[FileEntry]:
        remembered = {item.path: item for item in self._recall()}
        fresh = {
            name: path
            for name, path in files.items()
            if name not in remembered or not _current(remembered[name], self._seen[name])
        }
        if fresh:
            hashed_ns = time.time_ns()
            try:
                digests = digest_files(fresh.values())
            except OSError as error:
                raise _unreadable(self._origin, error) from None
            for name, sha256 in zip(fresh, digests, strict=True):
                remembered[name] = _Remembered(name, self._seen[name], sha256, hashed_ns)
            if not self.unchanged():
                raise SourceError(
                    f"the source {self._origin} changed while it was read",
                    hint="run again when whatever writes it is done",
                )
            self._remember([remembered[name] for name in sorted(files)])
        return [FileEntry(name, self._seen[name].size, remembered[name].sha256) for name in files]

    def _recall(self) -> list[_Remembered]:
        content = self._store.read_note(self._note, shared=False)
        try:
            return msgspec.json.decode(content, type=list[_Remembered]) if content else []
        except msgspec.DecodeError:
            return []

    def _remember(self, items: list[_Remembered]) -> None:
        try:
            self._store.write_note(self._note, msgspec.json.encode(items), shared=False)
        except StoreError:
            # Only speed is lost; a store that cannot be written says so where it matters.
            return


def _signature(name: str, path: Path) -> _Signature:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(name, error) from None
    return _Signature(
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
    )


def _current(item: _Remembered, signature: _Signature) -> bool:
    settled = max(signature.modified_ns, signature.changed_ns) + SETTLED_NS < item.hashed_ns
    return settled and item.signature == signature


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(
        f"the source {name} cannot be read: {error.strerror}", hint="check its permissions"
    )
