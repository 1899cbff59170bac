"""A source on this machine: a file, a directory or a pattern of them, read in place, known by its digest."""

from __future__ import annotations

import glob
import itertools
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from daintree.digest import digest_files, digest_record
from daintree.errors import ArtifactRejected, SourceError, StoreError
from daintree.pipeline.decisions import SourceIdentity
from daintree.spec.pipeline import SourceSpec
from daintree.store.layout import check_names
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


# Parts of a source that a container gets as mounts; one of more parts is copied.
MOST_PARTS = 100
_PATTERN = re.compile(r"[*?\[]")


class LocalSource:
    """A file, a directory, or what a pattern matches. A single file is a directory with that one file in it: its name counts.

    A link counts as what it leads to, at the link's own path. It is followed within the source and the project at `root`; out of
    them where the pipeline says `follow_links`.
    """

    def __init__(self, path: Path, spec: SourceSpec, root: Path, store: Store) -> None:
        self._path, self._pattern = _split_pattern(path)
        self._origin = spec.location
        self._sha256 = spec.sha256
        self._root = root
        self._follows = spec.follow_links
        self._store = store
        self._seen: dict[str, _Signature] = {}
        # The directories that do not lie as a whole below the source: there is a link in them, or only some of their files count.
        self._scattered: set[str] = set()
        key = digest_record("source-path", 1, os.path.abspath(path))
        self._note = "sources/" + key.removeprefix("sha256:")

    @property
    def url(self) -> str:
        return ""

    def identify(self) -> SourceIdentity:
        """Hashes what changed since it was last hashed; the rest is known by its inode's times.

        Raises SourceError for a file other than the declared `sha256`.
        """
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
        return self.identify()

    def files(self, directory: Path) -> Mapping[str, Path]:
        """One link for each file; copies, where the source lies scattered over very many parts."""
        files = self._walk()
        if self._path in files.values():
            [name] = files
            parts = {name: Path(os.path.abspath(self._path))}
        else:
            parts = {part: self._path / part for part in map(self._part, files)}
            if self._scattered:
                parts = {part: Path(os.path.realpath(path)) for part, path in parts.items()}
        scattered = len(parts) > MOST_PARTS
        for name, path in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if scattered:
                shutil.copyfile(path, target)
            else:
                target.symlink_to(os.path.abspath(path))
        return (
            {"": directory}
            if scattered
            else {n: Path(os.path.abspath(p)) for n, p in parts.items()}
        )

    def _part(self, name: str) -> str:
        """The outermost directory that the file lies in and that is part of the source as a whole ("" for all), else the file."""
        return next((part for part in _prefixes(name) if part not in self._scattered), name)

    def holds(self, directory: Path) -> bool:
        """True also where the pattern could match a file in it."""
        base = Path(os.path.realpath(self._path))
        if not directory.is_relative_to(base):
            return False
        pairs = zip(directory.relative_to(base).parts, self._pattern.split("/"), strict=False)
        before = itertools.takewhile(lambda pair: pair[1] != "**", pairs)
        return not self._pattern or all(itertools.starmap(fnmatchcase, before))

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
            if self._path.is_symlink():
                raise self._refused(
                    "", f"is a broken link to {os.readlink(self._path)!r}"
                ) from None
            raise SourceError(
                f"the source {self._origin} does not exist",
                hint=f"looked for {os.path.abspath(self._path)}; a relative path in a pipeline file starts at the project",
            ) from None
        except OSError as error:
            raise _unreadable(self._origin, error) from None
        if any("\udc80" <= letter <= "\udcff" for letter in self._origin):
            # A record could not name it.
            fault = f"the source {self._origin}: its path is not valid UTF-8"
            raise SourceError(fault, hint="give it another name")
        if stat.S_ISREG(mode) and not self._pattern:
            return {self._path.name: self._path}
        if not stat.S_ISDIR(mode):
            raise SourceError(f"the source {self._origin} is neither a file nor a directory")
        return self._walk_directory()

    def _walk_directory(self) -> dict[str, Path]:
        self._scattered = set()
        files: dict[str, Path] = {}
        try:
            for name in self._matches():
                files.update(self._below(name, self._above(name)))
            check_names(sorted(files))
        except OSError as error:
            place = os.path.relpath(error.filename or self._path, self._path)
            raise _unreadable(f"{self._origin}/{place}".removesuffix("/."), error) from None
        except ArtifactRejected as error:
            raise SourceError(
                f"the source {self._origin}: {error.message}", hint=error.hint
            ) from None
        if not files:
            what = "matches no file" if self._pattern else "is a directory without a file"
            raise SourceError(f"the source {self._origin} {what}")
        return dict(sorted(files.items()))

    def _matches(self) -> list[str]:
        """Paths below the source's directory that the pattern matches; "", which is all of it, without a pattern."""
        if not self._pattern:
            return [""]
        matches = glob.glob(self._pattern, root_dir=self._path, recursive=True)
        return sorted({os.path.normpath(name) for name in matches} - {"."})

    def _above(self, name: str) -> tuple[str, ...]:
        """The real paths of the directories that a match lies in; links among them are checked."""
        real: tuple[str, ...] = (os.path.realpath(self._path),)
        if not name:
            return ()
        for above in _prefixes(name):
            self._scattered.add(above)
            if above:
                self._check_link(above)
                real = (*real, self._entered(above, real))
        return real

    def _below(self, name: str, above: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
        """The files at and below a path in the source; `above` are the real paths of the directories that it lies in."""
        path = self._path / name
        if name:
            self._check_link(name)
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            yield name, path
        elif stat.S_ISDIR(mode):
            real = (*above, self._entered(name, above))
            with os.scandir(path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
            for entry in entries:
                child = f"{name}/{entry.name}".lstrip("/")
                if entry.is_file(follow_symlinks=False):
                    yield child, path / entry.name
                else:
                    yield from self._below(child, real)
        else:
            raise self._refused(
                name, "is no regular file", "a source holds regular files and directories only"
            )

    def _entered(self, name: str, above: tuple[str, ...]) -> str:
        """The real path of a directory of the source. Raises SourceError where it is one of those that it lies in."""
        real = os.path.realpath(self._path / name)
        if real in above:
            raise self._refused(
                name,
                "is a link to a directory that it lies in",
                "its files would never end: remove the link",
            )
        return real

    def _check_link(self, name: str) -> None:
        """Raise SourceError for a link that leads nowhere, or where it may not be followed."""
        path = self._path / name
        if not path.is_symlink():
            return
        try:
            real = path.resolve(strict=True)
        except FileNotFoundError:
            raise self._refused(name, f"is a broken link to {os.readlink(path)!r}") from None
        except (RuntimeError, OSError):
            raise self._refused(name, "is a link that leads to itself") from None
        self._scattered.update(_prefixes(name))
        roots = (self._path, self._root)
        if not self._follows and not any(real.is_relative_to(os.path.realpath(r)) for r in roots):
            raise self._refused(
                name,
                f"is a link to {str(real)!r}, outside the source and the project",
                f"`{{location: {self._origin}, follow_links: true}}` in its place in the pipeline follows it",
            )

    def _refused(
        self, name: str, fault: str, hint: str = "remove the link, or mend it"
    ) -> SourceError:
        place = f"{self._origin}: {name!r}" if name else self._origin
        return SourceError(f"the source {place} {fault}", hint=hint)

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


def _split_pattern(path: Path) -> tuple[Path, str]:
    """The directory that a pattern of paths starts from, and the pattern below it; a path that exists is no pattern."""
    parts = path.parts
    first = next((n for n, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
    if first == len(parts) or os.path.lexists(path):
        return path, ""
    return Path(*parts[:first]), "/".join(parts[first:])


def _prefixes(name: str) -> list[str]:
    """The directories that a path in the source lies in, from the source's own ("") down."""
    return ["", *(name[:place] for place, letter in enumerate(name) if letter == "/")]


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
