"""Index, history, run records, notes and names of a store: the same for every backend."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from daintree.errors import StoreError, StoreUnavailable, UsageError
from daintree.store import layout
from daintree.store.backend import SMALL_RECORD_BYTES, Backend, Content, Unreadable, read_regular
from daintree.store.records import (
    METRICS,
    HistoryEntry,
    IndexRecord,
    Keys,
    NameRecord,
    NoteRecord,
    RunManifest,
    Tombstone,
    decode,
    encode,
    numbers_in,
    readable,
)

Record = TypeVar("Record")

MOST_ATTEMPTS = 1000
MAX_METRICS_BYTES = 1 << 20
MOST_NAMED = 5
MOST_TOGETHER = 32

_DAY = re.compile(r"\d{8}")
# What file managers leave in a directory has another form.
_HISTORY_ENTRY = re.compile(rf"{layout.HISTORY}/[^/]+/[^/]+/\d{{8}}/\d{{9}}(,[0-9a-f]+)?-[^/]+")


class Records:
    """Reads and writes the records of one store; `warn` gets a line for each that counts for nothing, once.

    Every method raises StoreError as the backend does.
    """

    def __init__(self, backend: Backend, warn: Callable[[str], None]) -> None:
        self.backend = backend
        self._warn = warn
        self._faults: dict[str, str] = {}

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """The index record of each stage key, in order, in one parallel round.

        None where there is none that counts; `fault` then says why.
        """
        paths = [layout.index_path(key) for key in keys]
        contents = self.backend.get_many(paths, SMALL_RECORD_BYTES)
        records = [
            self._accept(decode(IndexRecord | Tombstone, content, path), path)
            for path, content in zip(paths, contents, strict=True)
        ]
        return [record if isinstance(record, IndexRecord) else None for record in records]

    def fault(self, key: str) -> str:
        """Reason that the last `lookup` found no record under a key although something stands there; "" otherwise."""
        return self._faults.get(layout.index_path(key), "")

    def publish_index(
        self, key: str, record: IndexRecord, replacing: IndexRecord | None
    ) -> IndexRecord:
        """Make `key` lead to `record`; return the record that stands afterwards.

        Without `replacing`, only creates: where a record stands already, that one is returned and nothing is
        written. With it, replaces exactly that record: where another has taken its place meanwhile, that other one is
        returned. A tombstone, a damaged or an older version's record is replaced exactly. A newer version's is never: then
        `record` is returned, and stands nowhere. Raises StoreError for one that can be neither read nor written.
        """
        layout.check_location(record.location)
        path = layout.index_path(key)
        content = encode(record, path)
        for _ in range(MOST_ATTEMPTS):
            current = self.backend.get_many([path], SMALL_RECORD_BYTES)[0]
            if current is None:
                if self.backend.create(path, content):
                    return record
                continue
            current_record = decode(IndexRecord | Tombstone, current, path)
            if isinstance(current_record, IndexRecord) and current_record != replacing:
                return current_record
            if isinstance(current_record, Unreadable) and current_record.reason in (
                "newer",
                "directory",
            ):
                self._accept(current_record, path)
                return record
            if self.backend.replace(path, current, content):
                self._faults.pop(path, None)
                return record
        raise StoreError(f"the index record of {key} can be neither read nor written")

    def retire(self, key: str, record: IndexRecord, *, when: str, by: str) -> bool:
        """Put a tombstone in the place of exactly this record of a key; False when another stands there.

        A lookup takes a tombstone for a miss, and whoever publishes replaces it.
        """
        path = layout.index_path(key)
        tombstone = Tombstone(retired=record, when=when, by=by)
        return self.backend.replace(path, encode(record, path), encode(tombstone, path))

    def index(self) -> Iterator[tuple[str, IndexRecord | Tombstone]]:
        """Each stage key with its record or tombstone, in the order of the keys; read as they are taken."""
        paths = (entry.path for entry in self.backend.list("_cache"))
        while batch := list(islice(paths, MOST_TOGETHER)):
            for path, content in zip(
                batch, self.backend.get_many(batch, SMALL_RECORD_BYTES), strict=True
            ):
                record = readable(decode(IndexRecord | Tombstone, content, path))
                if record is not None:
                    yield f"sha256:{path.rpartition('/')[2]}", record

    def read_run(self, location: str, record: IndexRecord | None = None) -> RunManifest | None:
        """The run record at a location; None, and a warning, where it is not readable.

        With the index `record` that led there, only the very run record that was indexed, under its content key.
        """
        path = layout.run_path(location)
        content = self.backend.get_many([path])[0]
        manifest = readable(self._accept(decode(RunManifest, content, path), path))
        if manifest is None or manifest.location != location:
            return None
        if record is None:
            return manifest
        assert isinstance(content, bytes)
        same = hashlib.sha256(content).hexdigest() == record.record
        return manifest if same and manifest.keys.content == record.content else None

    def add_history(self, entry: HistoryEntry) -> None:
        """Put the entry of a run into its stage's history."""
        self.backend.put(entry.path, encode(entry, entry.path))

    def history(
        self, pipeline: str = "", stage: str = "", expected: int = 1
    ) -> Iterator[HistoryEntry]:
        """The runs of a stage, of a pipeline or of all, newest first, failed ones too; read as they are taken, the first `expected` together."""
        paths = self.history_paths(pipeline, stage)
        most = max(1, min(expected, MOST_TOGETHER))
        while batch := list(islice(paths, most)):
            yield from filter(None, self.read_history(batch))
            # Whoever takes one more will take several: where each answer takes time, they are asked together.
            most = min(2 * most, MOST_TOGETHER)

    def history_paths(self, pipeline: str = "", stage: str = "") -> Iterator[str]:
        """The paths of the history entries of a stage, of a pipeline or of all, newest first; read as they are taken."""
        pairs = [(pipeline, stage)] if stage else self.stages_with_history(pipeline or None)
        return heapq.merge(
            *(self._history_paths(*pair) for pair in pairs), key=lambda path: path.split("/")[3:]
        )

    def every_history_path(self, pipeline: str = "", stage: str = "") -> Iterator[str]:
        """The paths of the history entries of a stage, of a pipeline or of all, by one listing, in the order of the stages."""
        directory = layout.stage_history(pipeline, stage) if stage else layout.HISTORY
        if pipeline and not stage:
            directory += "/" + layout.check_identifier("pipeline", pipeline)
        listing = self.backend.list(directory)
        return (entry.path for entry in listing if _HISTORY_ENTRY.fullmatch(entry.path))

    def read_history(self, paths: Sequence[str]) -> list[HistoryEntry | None]:
        """The history entries at these paths, in order, in one parallel round; None, and a warning, for one that is not readable."""
        contents = self.backend.get_many(paths, SMALL_RECORD_BYTES)
        return [
            readable(self._accept(decode(HistoryEntry, content, path), path))
            for path, content in zip(paths, contents, strict=True)
        ]

    def stages_with_history(self, pipeline: str | None = None) -> list[tuple[str, str]]:
        """The (pipeline, stage) pairs that have a history, sorted."""
        if pipeline is not None:
            pipelines = [layout.check_identifier("pipeline", pipeline)]
        else:
            pipelines = self._names(layout.HISTORY)
        return [
            (name, stage) for name in pipelines for stage in self._names(f"{layout.HISTORY}/{name}")
        ]

    def find_run(self, run: str) -> RunManifest | None:
        """The run with this id, or with the one id that begins so; None when there is none.

        Raises UsageError when several ids begin so, and for a beginning of fewer than 6 characters that an id may have; an id that is given whole is
        never either. The nonce at its end is an id, too.
        """
        paths: dict[str, str] = {}
        for pair in self.stages_with_history():
            # Eight digits may be a nonce as well; with more behind them they are a day.
            day = layout.inverted(run[:8]) if _DAY.fullmatch(run[:8]) and len(run) > 8 else ""
            for path in self._history_paths(*pair, day):
                name = path.rpartition("/")[2].partition("-")[2]
                if name.startswith(run) or name.rpartition("-")[2].startswith(run):
                    paths[name] = path
        matching = [run] if run in paths else sorted(paths)
        begins = bool(paths) or re.fullmatch("[0-9a-f]*", run)
        if run not in paths and begins and len(run) < layout.FEWEST_DIGITS:
            raise UsageError(
                f"{run!r} is too little of a run's id",
                hint=f"give at least {layout.FEWEST_DIGITS} characters of it; `doit history` lists the runs",
            )
        if len(matching) > 1:
            more = ", …" if len(matching) > MOST_NAMED else ""
            raise UsageError(
                f"{len(matching)} runs begin with {run!r}",
                hint="give more of the id: " + ", ".join(matching[:MOST_NAMED]) + more,
            )
        return self.read_entry(paths[matching[0]]) if matching else None

    def read_entry(self, path: str) -> RunManifest | None:
        """The run record that the history entry at `path` leads to; None where either is not whole."""
        entry = self.read(HistoryEntry, path)
        return self.read_run(entry.location) if entry else None

    def read(self, kind: type[Record], path: str) -> Record | None:
        """The small record of this kind at a path; None, and a warning where something stands there, when it is not readable."""
        content = self.backend.get_many([path], SMALL_RECORD_BYTES)[0]
        record: Record | Unreadable | None = decode(kind, content, path)
        return readable(self._accept(record, path))

    def read_note(self, name: str) -> bytes | None:
        """The content of a note; None where there is none that is whole."""
        note = self.read(NoteRecord, layout.note_path(name))
        return note.content if note else None

    def write_note(self, name: str, content: bytes) -> None:
        """Keep a note, whole or not at all; the last writer wins."""
        path = layout.note_path(name)
        self.backend.put(path, encode(NoteRecord(content=content), path))

    def read_name(self, pipeline: str, name: str) -> NameRecord | None:
        """The record of a name of runs, one that was removed too; None, and a warning, where it is not readable."""
        return self.read(NameRecord, layout.name_path(pipeline, name))

    def names(self, pipeline: str = "") -> Iterator[NameRecord]:
        """The names of a pipeline's runs, or of all, sorted by pipeline and name; removed ones too."""
        below = f"/{layout.check_identifier('pipeline', pipeline)}" if pipeline else ""
        for entry in self.backend.list(layout.NAMES + below):
            parts = entry.path.split("/")
            if len(parts) == 3 and all(map(layout.is_identifier, parts[1:])):
                record = self.read(NameRecord, entry.path)
                if record is not None:
                    yield record

    def write_name(self, record: NameRecord, replacing: NameRecord | None) -> bool:
        """Put the record of a name in the place of exactly `replacing` (None: of nothing that is readable); False when another stands there.

        It is replaced as a whole: so all its stages move at once, and of two people who move it from the same state one learns of the other.
        """
        path = layout.name_path(record.pipeline, record.name)
        content = encode(record, path)
        if replacing is not None:
            return self.backend.replace(path, encode(replacing, path), content)
        current = self.backend.get_many([path], SMALL_RECORD_BYTES)[0]
        if current is None:
            return self.backend.create(path, content)
        read = decode(NameRecord, current, path)
        is_free = isinstance(read, Unreadable) and read.reason in ("damaged", "older")
        return is_free and self.backend.replace(path, current, content)

    def _accept(self, record: Record | Unreadable | None, path: str) -> Record | Unreadable | None:
        """Note why a record counts for nothing, and warn of what nobody expects."""
        if isinstance(record, Tombstone):
            self._faults[path] = f"output collected ({record.when[:10]}, {record.by})"
        elif isinstance(record, Unreadable):
            if path not in self._faults and record.reason != "older":
                self._warn(
                    f"warning: {path} in {self.backend.url} {record.text}: it counts for nothing"
                )
            self._faults[path] = f"its record {record.text}"
        else:
            self._faults.pop(path, None)
        return record

    def _history_paths(self, pipeline: str, stage: str, day: str = "") -> Iterator[str]:
        """The paths of a stage's entries, newest first."""
        directory = layout.stage_history(pipeline, stage)
        for entry in self.backend.list(f"{directory}/{day}" if day else directory):
            if _HISTORY_ENTRY.fullmatch(entry.path):
                yield entry.path

    def _names(self, prefix: str) -> list[str]:
        return [name for name in self.backend.children(prefix) if layout.is_identifier(name)]


class Index(Protocol):
    """Stage keys and the records that they lead to: `Records`, or a `Store`."""

    def lookup(self, keys: Sequence[str]) -> list[IndexRecord | None]:
        """The record of each key, in order; None where there is none."""
        ...

    def publish_index(
        self, key: str, record: IndexRecord, *, replacing: IndexRecord | None
    ) -> IndexRecord:
        """Make `key` lead to `record`, or only replace exactly `replacing`; return the record that is there afterwards."""
        ...


def publish_result(
    index: Index, keys: Keys, record: IndexRecord, *, replacing: IndexRecord | None = None
) -> IndexRecord:
    """Let the keys of a run that is published lead to it: the content key, then the recipe key, which names the winner of the first.

    The one way for local runs, shared hits and what a cluster has computed: an interruption leaves a run that nothing leads to, never a
    key that leads nowhere. `replacing` is the record of the content key that makes way: a damaged run's, or a forced stage's; any other
    that is there wins. Returns the winner. Raises StoreError as the store does.
    """
    winner = index.publish_index(keys.content, record, replacing=replacing)
    publish_recipe(index, keys.recipe, msgspec.structs.replace(winner, inputs=record.inputs))
    return winner


def publish_recipe(index: Index, recipe: str, record: IndexRecord) -> None:
    """Make a recipe key lead to the content key's winner; `record` holds the stage's own names for its inputs."""
    [current] = index.lookup([recipe])
    if current != record:
        index.publish_index(recipe, record, replacing=current)


def metrics_of(manifest: RunManifest, read: Callable[[], Content]) -> dict[str, float]:
    """The numbers of the `metrics.json` in a run's output, as `read` gives it; none where there is no such file, or it cannot be read."""
    files = manifest.output.files if manifest.output else ()
    if any(entry.path == METRICS for entry in files):
        with suppress(ValueError, OSError, StoreUnavailable):
            content = read()
            return numbers_in(content) if isinstance(content, bytes) else {}
    return {}


def metrics_in(output: Path, manifest: RunManifest) -> dict[str, float]:
    """The numbers of the `metrics.json` in a run's output on this machine."""
    return metrics_of(manifest, lambda: read_regular(str(output / METRICS), MAX_METRICS_BYTES))
