"""The index, the history, the run manifests and the notes of a store: the same for every store, over its objects.

_cache/<stage key>                      the index record
<location>/run.json                     the run manifest
_history/<pipeline>/<stage>/<run id>    where the run is: found without listing outputs, under whatever prefix
_notes/<name>                           small records of the sources
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tooling.errors import StoreError, UsageError
from tooling.manifest import SCHEMA, IndexRecord, RunManifest, decode, encode
from tooling.store.names import check_identifier, check_location, check_note, hexadecimal
from tooling.store.objects import Objects

MANIFEST = "run.json"
LOG = "log.txt"
INDEX = "_cache"
HISTORY = "_history"
NOTES = "_notes"
SOURCES = "_sources"
LEASES = "_leases"
STAGING = "_staging"

MOST_ATTEMPTS = 1000
MOST_NAMED = 5


class HistoryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the history holds of a run: where it is."""

    schema: int = SCHEMA
    run: str
    location: str


class Records:
    """Reads and writes the records of one store. Every method raises StoreError as the objects do."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """As `Store.lookup`."""
        return [_readable(content) for content in self._objects.get([_index(key) for key in keys])]

    def publish_index(
        self, key: str, record: IndexRecord, replacing: IndexRecord | None
    ) -> IndexRecord:
        """As `Store.publish_index`."""
        check_location(record.location)
        path, content = _index(key), encode(record)
        for _ in range(MOST_ATTEMPTS):
            found = self._objects.get([path])[0]
            if found is None:
                if self._objects.create(path, content):
                    return record
                continue
            standing = _readable(found)
            if standing is not None and standing != replacing:
                return standing
            if self._objects.replace(path, found, content):
                return record
        raise StoreError(f"the index record of {key} can be neither read nor written")

    def read_run(self, location: str) -> RunManifest | None:
        """As `Store.read_run`."""
        content = self._objects.get([f"{check_location(location)}/{MANIFEST}"])[0]
        manifest = decode(RunManifest, content) if content else None
        return manifest if manifest and manifest.location == location else None

    def add_history(self, manifest: RunManifest) -> None:
        """Let the history of the run's stage lead to the run."""
        record = HistoryRecord(run=manifest.run, location=manifest.location)
        self._objects.put(history_path(manifest), encode(record))

    def history(self, pipeline: str, stage: str) -> Iterator[RunManifest]:
        """As `Store.history`: run ids begin with the time, so their order is the runs'."""
        for path in sorted(self._entries(_history(pipeline, stage)), reverse=True):
            manifest = self._follow(path)
            if manifest:
                yield manifest

    def stages_with_history(self, pipeline: str | None) -> list[tuple[str, str]]:
        """As `Store.stages_with_history`."""
        prefix = (
            HISTORY if pipeline is None else f"{HISTORY}/{check_identifier('pipeline', pipeline)}"
        )
        parts = [path.split("/") for path in self._entries(prefix)]
        return sorted({(part[1], part[2]) for part in parts})

    def find_run(self, run: str) -> RunManifest | None:
        """As `Store.find_run`; an id that is given whole is never ambiguous."""
        paths = {path.rpartition("/")[2]: path for path in self._entries(HISTORY)}
        matching = [run] if run in paths else sorted(name for name in paths if name.startswith(run))
        if len(matching) > 1:
            more = ", …" if len(matching) > MOST_NAMED else ""
            raise UsageError(
                f"{len(matching)} runs begin with {run!r}",
                hint="give more of the id: " + ", ".join(matching[:MOST_NAMED]) + more,
            )
        return self._follow(paths[matching[0]]) if matching else None

    def read_note(self, name: str) -> bytes | None:
        """As `Store.read_note`."""
        return self._objects.get([f"{NOTES}/{check_note(name)}"])[0]

    def write_note(self, name: str, content: bytes) -> None:
        """As `Store.write_note`."""
        self._objects.put(f"{NOTES}/{check_note(name)}", content)

    def _entries(self, prefix: str) -> list[str]:
        """The paths of the history's entries; what file managers leave in a directory has another depth."""
        return [path for path in self._objects.list(prefix) if path.count("/") == 3]

    def _follow(self, path: str) -> RunManifest | None:
        content = self._objects.get([path])[0]
        record = decode(HistoryRecord, content) if content else None
        return self.read_run(record.location) if record and _is_location(record.location) else None


def history_path(manifest: RunManifest) -> str:
    """Where the history keeps the run. Raises StoreError for names that are no safe path segments."""
    return f"{_history(manifest.pipeline, manifest.stage)}/{check_identifier('run', manifest.run)}"


def _index(key: str) -> str:
    return f"{INDEX}/{hexadecimal(key)}"


def _history(pipeline: str, stage: str) -> str:
    return "/".join(
        (HISTORY, check_identifier("pipeline", pipeline), check_identifier("stage", stage))
    )


def _readable(content: bytes | None) -> IndexRecord | None:
    record = decode(IndexRecord, content) if content else None
    return record if record and _is_location(record.location) else None


def _is_location(location: str) -> bool:
    try:
        check_location(location)
    except StoreError:
        return False
    return True
