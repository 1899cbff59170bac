"""Garbage collection: which outputs of a store go, and how they go while others use it.

An output goes in steps, each under the lease of its content key, which whoever publishes it holds: the keys that lead to it become
tombstones, by conditional replacements; after a grace period `collected.json` is written beside its run record, and its files are
removed. The run record, the log and the history stay. In a directory readers hold a lock on what they read; what a bucket's
readers fetch is given the grace period. Killed between any two steps, a collection leaves keys that lead to whole outputs, and
files that nothing leads to, which the next one finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from daintree.concurrency import side_by_side
from daintree.errors import StoreUnavailable
from daintree.store import layout
from daintree.store.backend import SMALL_RECORD_BYTES, Backend, Entry, translate_errors
from daintree.store.contents import SAFE, SAFE_IN_A_CLUSTER, is_in_run, read_all, runs_in
from daintree.store.index import Records
from daintree.store.layout import seconds_of, timestamp
from daintree.store.leases import try_lock
from daintree.store.records import (
    CollectedRecord,
    HistoryEntry,
    IndexRecord,
    NameRecord,
    RunManifest,
    Tombstone,
    decode,
    encode,
    readable,
)
from daintree.store.store import Store

# By far more than fetching the largest output takes whoever had found it before its keys were retired.
GRACE_SECONDS = 3600.0
AT_ONCE = 8
NOTHING_LEADS = "nothing leads to it"
RETIRED = "its keys are retired"
FILES_GONE = "its files are gone"


class Output(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An output in a store: its run, what it takes and took, and the stage keys that lead to it; `project` is "" where its run does not say.

    `finished`, `published` and `retired` are seconds since 1970; `retired` is when its keys became tombstones, 0 where they did not.
    """

    run: str
    location: str
    project: str = ""
    pipeline: str
    stage: str
    version: str
    environment: str
    content: str
    recipe: str
    finished: float
    published: float = 0
    seconds: float
    bytes: int = 0
    files: int = 0
    keys: tuple[str, ...] = ()
    retired: float = 0


class KeptSource(msgspec.Struct, frozen=True):
    """A source that was fetched into a store: its digest, bytes, and when it was written (seconds since 1970).

    `retired` is when a collection has begun to remove it, 0 where none has; `projects` are those whose runs have read it.
    """

    digest: str
    bytes: int
    modified: float
    retired: float = 0
    projects: tuple[str, ...] = ()


class Survey(msgspec.Struct, frozen=True):
    """Outputs and sources of a store, and the bytes of everything in it."""

    outputs: tuple[Output, ...]
    sources: tuple[KeptSource, ...]
    bytes: int


class Roots(msgspec.Struct, frozen=True):
    """Roots, which never go: the runs at these locations, these sources, all runs of these pipelines and of these components' versions."""

    locations: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    pipelines: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()

    def __or__(self, other: Roots) -> Roots:
        """Roots of both."""
        return Roots(
            *(getattr(self, name) | getattr(other, name) for name in self.__struct_fields__)
        )

    def keep(self, output: Output) -> bool:
        """True for an output that never goes."""
        return (
            output.location in self.locations
            or output.pipeline in self.pipelines
            or output.version in self.versions
        )


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Policy of a collection: what is older (seconds), all but the last runs of each stage, what exceeds a size (bytes); None: says nothing.

    `grace` is how many seconds the files of retired keys stay; `project` whose outputs may go ("": everybody's): another's roots are not known here.
    """

    older_than: float | None = None
    keep_last: int | None = None
    max_size: int | None = None
    grace: float = 0.0
    project: str = ""

    def judges(self, item: Output | KeptSource) -> bool:
        """True for what is this project's to remove. A source that nobody is known to have read is everybody's."""
        projects = item.projects if isinstance(item, KeptSource) else (item.project,)
        return not self.project or set(projects) <= {self.project}


class Doomed(msgspec.Struct, frozen=True):
    """An output or a source that goes, and why."""

    item: Output | KeptSource
    why: str


Outcome: TypeAlias = Literal["removed", "retired", "in use"]


class _InUse(Exception):
    """Somebody computes, publishes or reads this now."""


def select(survey: Survey, roots: Roots, policy: Policy, now: float) -> list[Doomed]:
    """Outputs and sources that go, in this order; without a policy what nothing leads to, and what an earlier collection has begun, whosever it is.

    An output goes that is older than the policy says and not among the last of its stage; then, while the store is larger than
    it may be, those that free most bytes for each second of computing them again, the oldest first among equals.
    """
    ranks = _ranks(survey.outputs)
    doomed: list[Doomed] = []
    left: list[Output | KeptSource] = []
    for output in survey.outputs:
        if roots.keep(output):
            continue
        kept_as_last = policy.keep_last is not None and ranks[output.location] < policy.keep_last
        why = _reason(output, policy, now, kept_as_last)
        if why not in (RETIRED, FILES_GONE) and not policy.judges(output):
            continue
        if why:
            doomed.append(Doomed(output, why))
        elif not kept_as_last:
            left.append(output)
    for source in survey.sources:
        if source.digest not in roots.sources:
            why = RETIRED if source.retired else _age(source.modified, policy, now)
            if why == RETIRED or (why and policy.judges(source)):
                doomed.append(Doomed(source, why))
            elif policy.judges(source):
                left.append(source)
    if policy.max_size is not None:
        size = survey.bytes - sum(one.item.bytes for one in doomed)
        for item in sorted(left, key=_worth):
            if size <= policy.max_size:
                break
            doomed.append(Doomed(item, "the store is too large"))
            size -= item.bytes
    return doomed


def _ranks(outputs: Iterable[Output]) -> dict[str, int]:
    """For each location how many runs of its stage are newer; those that nothing leads to come last."""
    ranks: dict[str, int] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for output in sorted(outputs, key=lambda one: (bool(one.keys), one.finished), reverse=True):
        # Another project's pipeline of the same name is another pipeline.
        stage = (output.project, output.pipeline, output.stage)
        ranks[output.location] = counts.get(stage, 0)
        counts[stage] = ranks[output.location] + 1
    return ranks


def _reason(output: Output, policy: Policy, now: float, kept_as_last: bool) -> str:
    """Reason that an output goes; "" when it stays, unless the store is too large."""
    if output.retired and not output.keys:
        return RETIRED
    if not output.files:
        return FILES_GONE
    limits = (policy.older_than, policy.keep_last, policy.max_size)
    if all(limit is None for limit in limits):
        return "" if output.keys else NOTHING_LEADS
    if kept_as_last or (policy.older_than is None and policy.keep_last is None):
        return ""
    if policy.older_than is None:
        return f"not among the last {policy.keep_last} of {output.pipeline}:{output.stage}"
    return _age(output.finished, policy, now)


def _age(moment: float, policy: Policy, now: float) -> str:
    """The age of what is older than the policy says, in words; "" for what is not."""
    is_older = policy.older_than is not None and now - moment > policy.older_than
    return f"{max(0, now - moment) / 86400:.0f} days old" if is_older else ""


def _worth(item: Output | KeptSource) -> tuple[float, float]:
    """Sorts first what frees most bytes for each second of computing it again, the oldest first among equals."""
    if isinstance(item, KeptSource):
        return (-float("inf"), item.modified)
    seconds = item.seconds if item.keys else 0.0
    return (-item.bytes / seconds if seconds else -float("inf"), item.finished)


def named(backend: Backend) -> Roots:
    """The runs that have a name. Raises StoreError where a name cannot be read: its runs would not be known."""
    records = read_all(backend, layout.NAMES, NameRecord, nested=True)
    return Roots(frozenset(run.location for record in records for run in record.runs.values()))


def submitted(backend: Backend, kind: Any, now: float) -> Roots:
    """The inputs of submissions (records of this `kind`) whose Workflows may still run. Raises StoreError where one cannot be read."""
    youngest = now - (SAFE + SAFE_IN_A_CLUSTER).total_seconds()
    records = read_all(backend, layout.SUBMISSIONS, kind, since=youngest)
    locations = (hit.location for record in records for hit in record.hits)
    digests = (source.digest for record in records for source in record.sources)
    return Roots(frozenset(locations), frozenset(digests))


class GarbageCollection:
    """Collection in one store, or in the cache in front of a bucket. Methods raise StoreError as the store does."""

    def __init__(self, store: Store, *, cache: bool = False) -> None:
        """Of the store itself, or of its `cache`."""
        local = store.local
        in_directory = cache or store.shared is None
        self._records = local.records if in_directory else Records(store.backend, lambda text: None)
        self._backend = self._records.backend
        self._lease: Callable[..., AbstractContextManager[Any]] = (
            (lambda key: local.lease(key, _busy))
            if in_directory
            else (lambda key: store.lease(key, waiting=_busy))
        )
        self._root = local.root if in_directory else ""
        # What the bucket has need not be computed again.
        self._behind = store.shared.remote.records if cache and store.shared else None

    @property
    def url(self) -> str:
        """The address of what is collected."""
        return self._backend.url

    def survey(self) -> Survey:
        """Everything there is. The index is read first: what it leads to is then listed, unless it is gone."""
        keys: dict[str, list[str]] = {}
        records: dict[str, IndexRecord] = {}
        retired: dict[str, float] = {}
        for key, record in self._records.index():
            if isinstance(record, Tombstone):
                place = record.retired.location
                retired[place] = max(retired.get(place, 0), seconds_of(record.when))
            else:
                keys.setdefault(record.location, []).append(key)
                records[record.location] = record
        runs: dict[str, Output] = {}
        readers: dict[str, set[str]] = {}
        for run in self._records.history():
            runs[run.location] = _output_of(run, records)
            for read in run.inputs:
                if read.is_source:
                    readers.setdefault(read.digest, set()).add(run.project)
        entries = list(self._backend.list())
        self._add_unlisted(runs, records, entries)
        sizes, files, published = _listed(entries, runs)
        outputs = [
            msgspec.structs.replace(
                run,
                bytes=sizes.get(place, 0),
                files=files.get(place, 0),
                published=published.get(place, 0),
                keys=tuple(keys.get(place, ())),
                retired=retired.get(place, 0),
            )
            for place, run in runs.items()
        ]
        return Survey(
            tuple(self._without_cost([one for one in outputs if one.files or one.keys])),
            tuple(self._sources(entries, readers)),
            sum(entry.size for entry in entries),
        )

    def collect(self, doomed: Sequence[Doomed], grace: float, now: float, by: str) -> list[Outcome]:
        """Outcome of each: its files are removed; its keys are retired, and its files go later; somebody uses it, so it stays."""
        when = timestamp(datetime.fromtimestamp(now, UTC))
        tombstone = CollectedRecord(when=when, by=by)

        def one(doomed: Doomed) -> Outcome:
            item = doomed.item
            try:
                if isinstance(item, KeptSource):
                    return self._collect_source(item, grace, now, tombstone)
                return self._collect(item, grace, now, tombstone)
            except _InUse:
                return "in use"

        return side_by_side(one, doomed, 1 if self._root else AT_ONCE)

    def _collect(
        self, output: Output, grace: float, now: float, tombstone: CollectedRecord
    ) -> Outcome:
        with self._lease(output.content):
            for key in output.keys:
                self._retire(key, output.location, tombstone)
            # Whoever has published meanwhile what was begun counts, and whoever has adopted it.
            leading = self._records.lookup([output.content, output.recipe])
            if any(record and record.location == output.location for record in leading):
                raise _InUse
            since = output.retired if not output.keys else now
            if since and now - since < grace:
                return "retired"
            if not since and not self._root and now - output.published < SAFE.total_seconds():
                # A cluster's runs are published without a lease.
                raise _InUse
            self._remove(output.location, tombstone)
        return "removed"

    def _retire(self, key: str, location: str, tombstone: CollectedRecord) -> None:
        """Put a tombstone in the place of whatever record of a key leads to a location."""
        while True:
            record = self._records.lookup([key])[0]
            if record is None or record.location != location:
                return
            if self._records.retire(key, record, when=tombstone.when, by=tombstone.by):
                return

    def _remove(self, location: str, tombstone: CollectedRecord) -> None:
        """Remove the files of an output; the record of it comes first, so that nobody wonders at half of them."""
        path = layout.collected_path(location)
        with self._unread(location):
            # Whoever names a run holds its output before: one named since the roots were found is seen here.
            if self._root and location in named(self._backend).locations:
                raise _InUse
            self._backend.put(path, encode(tombstone, path))
            if self._root:
                self._backend.delete([f"{location}/{layout.STAMP}"])
            self._backend.delete_below(f"{location}/{layout.OUTPUT}")

    def _collect_source(
        self, source: KeptSource, grace: float, now: float, tombstone: CollectedRecord
    ) -> Outcome:
        """Remove a source: first its record, so that whoever needs it fetches it again."""
        place = layout.source_location(source.digest)
        path = f"{place}/{layout.SOURCE_RECORD}"
        with self._lease(source.digest), self._unread(place):
            since = self._retired([path])[0] or now
            if since == now and grace:
                self._backend.put(path, encode(tombstone, path))
            if now - since < grace:
                return "retired"
            self._backend.delete([path])
            self._backend.delete_below(place)
        return "removed"

    def _sources(
        self, entries: Iterable[Entry], readers: Mapping[str, set[str]]
    ) -> list[KeptSource]:
        sizes: dict[str, int] = {}
        modified: dict[str, float] = {}
        for entry in entries:
            parts = entry.path.split("/")
            if (
                parts[0] == layout.SOURCES
                and len(parts) > 2
                and layout.is_digest(f"sha256:{parts[1]}")
                and entry.size
            ):
                sizes[parts[1]] = sizes.get(parts[1], 0) + entry.size
                modified[parts[1]] = max(modified.get(parts[1], 0), entry.modified)
        paths = [f"{layout.SOURCES}/{name}/{layout.SOURCE_RECORD}" for name in sizes]
        return [
            KeptSource(
                f"sha256:{name}",
                sizes[name],
                modified[name],
                retired,
                tuple(sorted(readers.get(f"sha256:{name}", ()))),
            )
            for name, retired in zip(sizes, self._retired(paths), strict=True)
        ]

    def _retired(self, paths: Sequence[str]) -> list[float]:
        """The time at which a collection has begun to remove each source, by the paths of their records; 0 where none has."""
        contents = self._backend.get_many(paths, SMALL_RECORD_BYTES)
        records = [
            readable(decode(CollectedRecord, content, path))
            for path, content in zip(paths, contents, strict=True)
        ]
        return [seconds_of(record.when) if record else 0.0 for record in records]

    def _unread(self, place: str) -> AbstractContextManager[object]:
        """Keep readers away; in a bucket there is nothing to keep them with."""
        stack = ExitStack()
        if self._root:
            with translate_errors(self._root):
                held = try_lock(f"{self._root}/{layout.reader_path(place)}")
            if held is None:
                raise _InUse
            stack.callback(held.release)
        return stack

    def _without_cost(self, outputs: Sequence[Output]) -> Iterable[Output]:
        """The outputs of a cache; those that the bucket has too cost no seconds."""
        if self._behind is None:
            return outputs
        records: Sequence[IndexRecord | None] = [None for _ in outputs]
        with suppress(StoreUnavailable):
            records = self._behind.lookup([output.content for output in outputs])
        return [
            msgspec.structs.replace(output, seconds=0.0)
            if record and record.location == output.location
            else output
            for output, record in zip(outputs, records, strict=True)
        ]

    def _add_unlisted(
        self, runs: dict[str, Output], records: dict[str, IndexRecord], entries: Sequence[Entry]
    ) -> None:
        """Add the runs that no history entry tells of: whoever published them was killed before it was written."""
        end = f"/{layout.RUN_RECORD}"
        paths = [e.path for e in entries if e.path.endswith(end) and not e.path.startswith("_")]
        unknown = [path for path in paths if not is_in_run(path, runs)]
        for location in runs_in(self._backend, unknown):
            manifest = self._records.read_run(location)
            if manifest is not None:
                runs[location] = _output_of(manifest, records)


def _busy() -> None:
    raise _InUse


def _output_of(run: HistoryEntry | RunManifest, records: dict[str, IndexRecord]) -> Output:
    """The output of a run; its time is that of computing it."""
    record = records.get(run.location)
    return Output(
        run=run.run,
        location=run.location,
        project=run.project,
        pipeline=run.pipeline,
        stage=run.stage,
        version=run.version,
        environment=run.environment,
        content=record.content if record else run.keys.content,
        recipe=run.keys.recipe,
        finished=seconds_of(run.finished),
        seconds=run.seconds,
    )


def _listed(
    entries: Sequence[Entry], runs: dict[str, Output]
) -> tuple[dict[str, int], dict[str, int], dict[str, float]]:
    """(bytes, number) of the files of each run's output, and when its run record was written, by location."""
    sizes: dict[str, int] = {}
    files: dict[str, int] = {}
    published: dict[str, float] = {}
    middle, end, gone = f"/{layout.OUTPUT}/", f"/{layout.RUN_RECORD}", f"/{layout.COLLECTED}"
    collected = {e.path.removesuffix(gone) for e in entries if e.path.endswith(gone)}
    for entry in entries:
        if entry.path.endswith(end):
            published[entry.path.removesuffix(end)] = entry.modified
        at = entry.path.find(middle)
        # An output may hold directories of that name, and so may the prefix.
        while at > 0:
            place = entry.path[:at]
            if place in runs:
                # Markers of directories stay in a bucket.
                if not entry.size and place in collected:
                    break
                sizes[place] = sizes.get(place, 0) + entry.size
                files[place] = files.get(place, 0) + 1
                break
            at = entry.path.find(middle, at + 1)
    return sizes, files, published
