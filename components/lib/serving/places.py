"""Where models lie: a directory or a bucket's prefix, read in the same way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from stageio import StageError
from stageio.object_store import SCHEME, Location, download, object_names, read_object


class Place(Protocol):
    """Files by their relative names. Each method raises StageError where they cannot be read."""

    def below(self, name: str) -> Place:
        """The place `name` below this one."""
        ...

    def parent(self) -> Place | None:
        """The place this one lies in if this one is named `output`, as that of a run is."""
        ...

    def names(self) -> list[str]:
        """The relative names of all files, sorted; none where the place does not exist."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of one file, None where there is none."""
        ...

    def fetched(self) -> AbstractContextManager[Path]:
        """A local directory with the files, for as long as the context lasts."""
        ...


OUTPUT = "output"


def open_place(text: str) -> Place:
    """The place that a user named: `s3://BUCKET/PREFIX` or the path of a directory."""
    return BucketPlace(Location.parse(text)) if text.startswith(SCHEME) else DirectoryPlace(text)


class DirectoryPlace:
    """A directory on this machine."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __str__(self) -> str:
        return str(self._path)

    def below(self, name: str) -> DirectoryPlace:
        """As `Place.below`."""
        return DirectoryPlace(self._path / name)

    def parent(self) -> DirectoryPlace | None:
        """As `Place.parent`."""
        path = self._path.absolute()
        return DirectoryPlace(path.parent) if path.name == OUTPUT else None

    def names(self) -> list[str]:
        """As `Place.names`."""
        files = (path for path in self._path.rglob("*") if path.is_file())
        return sorted(path.relative_to(self._path).as_posix() for path in files)

    def read(self, name: str) -> bytes | None:
        """As `Place.read`."""
        try:
            return (self._path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """The directory itself."""
        if not self._path.is_dir():
            raise StageError(f"{self._path}: no such directory", "--input is a model's directory")
        yield self._path


class BucketPlace:
    """What lies below a prefix of a bucket."""

    def __init__(self, location: Location) -> None:
        self._location = location

    def __str__(self) -> str:
        return str(self._location)

    def below(self, name: str) -> BucketPlace:
        """As `Place.below`."""
        return BucketPlace(Location(self._location.bucket, self._location.key(name)))

    def parent(self) -> BucketPlace | None:
        """As `Place.parent`."""
        parent, _, last = self._location.prefix.rpartition("/")
        return BucketPlace(Location(self._location.bucket, parent)) if last == OUTPUT else None

    def names(self) -> list[str]:
        """As `Place.names`."""
        return object_names(self._location)

    def read(self, name: str) -> bytes | None:
        """As `Place.read`."""
        return read_object(Location(self._location.bucket, self._location.key(name)))

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """A temporary copy."""
        with tempfile.TemporaryDirectory(prefix="model-") as directory:
            download(self._location, Path(directory))
            yield Path(directory)
