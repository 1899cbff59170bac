"""The index, the history, the run manifests and the notes of a store: the same for every store, over its objects.

_cache/<stage key>                      the index record
<location>/run.json                     the run manifest
_history/<pipeline>/<stage>/<run id>    where the run is: found without listing outputs, under whatever prefix
_notes/<name>                           small records of the sources
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from daintree.errors import StoreError, UsageError
from daintree.store.names import check_identifier, check_location, check_note, hexadecimal
from daintree.store.objects import Objects
from daintree.store.records import SCHEMA, IndexRecord, RunManifest, decode, encode

MANIFEST = "run.json"
LOG = "log.txt"
INDEX = "_cache"
HISTORY = "_history"
NOTES = "_notes"
SOURCES = "_sources"
# What was handed to a cluster.
SUBMISSIONS = "_submissions"
LEASES = "_leases"
STAGING = "_staging"

MOST_ATTEMPTS = 1000
MOST_NAMED = 5
MOST_TOGETHER = 32


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
        return self._read_runs([location])[0]

    def add_history(self, manifest: RunManifest) -> None:
        """Let the history of the run's stage lead to the run."""
        record = HistoryRecord(run=manifest.run, location=manifest.location)
        self._objects.put(history_path(manifest), encode(record))

    def history(self, pipeline: str, stage: str) -> Iterator[RunManifest]:
        """As `Store.history`: run ids begin with the time, so their order is the runs'."""
        paths = sorted(self._entries(_history(pipeline, stage)), reverse=True)
        most = 1
        while paths:
            yield from self._follow(paths[:most])
            del paths[:most]
            # Whoever takes one more will take several: where each answer takes time, they are asked together.
            most = min(2 * most, MOST_TOGETHER)

    def stages_with_history(self, pipeline: str | None) -> list[tuple[str, str]]:
        """As `Store.stages_with_history`."""
        prefix = (
            HISTORY if pipeline is None else f"{HISTORY}/{check_identifier('pipeline', pipeline)}"
        )
        parts = [path.split("/") for path in self._entries(prefix)]
        return sorted({(part[1], part[2]) for part in parts})

    def find_run(self, run: str) -> RunManifest | None:
        """As `Store.find_run`; an id that is given whole is never ambiguous. The nonce at its end is an id, too."""
        paths = {path.rpartition("/")[2]: path for path in self._entries(HISTORY)}
        matching = (
            [run]
            if run in paths
            else sorted(
                name
                for name in paths
                if name.startswith(run) or name.rpartition("-")[2].startswith(run)
            )
        )
        if len(matching) > 1:
            more = ", …" if len(matching) > MOST_NAMED else ""
            raise UsageError(
                f"{len(matching)} runs begin with {run!r}",
                hint="give more of the id: " + ", ".join(matching[:MOST_NAMED]) + more,
            )
        return next(iter(self._follow([paths[matching[0]]])), None) if matching else None

    def read_note(self, name: str) -> bytes | None:
        """As `Store.read_note`."""
        return self._objects.get([f"{NOTES}/{check_note(name)}"])[0]

    def write_note(self, name: str, content: bytes) -> None:
        """As `Store.write_note`."""
        self._objects.put(f"{NOTES}/{check_note(name)}", content)

    def _entries(self, prefix: str) -> list[str]:
        """The paths of the history's entries; what file managers leave in a directory has another depth."""
        return [path for path in self._objects.list(prefix) if path.count("/") == 3]

    def _follow(self, paths: Sequence[str]) -> list[RunManifest]:
        """The runs that these entries of the history lead to, in two rounds; entries and runs that are unreadable are left out."""
        contents = self._objects.get(paths)
        records = [decode(HistoryRecord, content) for content in contents if content]
        places = [record.location for record in records if record and _is_location(record.location)]
        return [manifest for manifest in self._read_runs(places) if manifest]

    def _read_runs(self, locations: Sequence[str]) -> list[RunManifest | None]:
        contents = self._objects.get([f"{check_location(place)}/{MANIFEST}" for place in locations])
        manifests = [decode(RunManifest, content) if content else None for content in contents]
        return [
            manifest if manifest and manifest.location == place else None
            for place, manifest in zip(locations, manifests, strict=True)
        ]


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
