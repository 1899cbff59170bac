"""`doit push`: runs that this machine has computed for itself are published to the shared store."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from daintree.commands.command import DaintreeCommand, option, print_result, shared
from daintree.errors import ArtifactDamaged, StoreForbidden, UsageError, nearest
from daintree.settings import SETTINGS, Settings, read_directory
from daintree.spec.pipeline import pipeline_files
from daintree.store.index import publish_result
from daintree.store.local import LocalRuns
from daintree.store.records import HistoryEntry, IndexRecord, RunManifest
from daintree.store.store import Shared, Store, open_store
from daintree.terminal import columns, count, say, size


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A run of this machine: `pushed` now, `known` to the shared store before, or `refused`, and why."""

    run: str
    pipeline: str
    stage: str
    bytes: int
    status: Literal["pushed", "known", "refused"]
    why: str = ""


class Push(DaintreeCommand):
    """Publishes what this machine has computed; exit code 1 where something cannot be shared that should be whole."""

    doc_usage = "[PIPELINE] [--from DIRECTORY] [--json]"
    doc_description = (
        "Takes runs with any parameters from the embedded store (the directory that is used when no other store is set) and from the cache of the "
        "shared one. Each is verified; nothing that stands in the shared store is replaced; what came from another store stays."
    )
    cmd_options = (
        option("from", "a directory store of this machine to take runs from"),
        *shared("json"),
    )
    names = (0, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        store = open_store(self.settings)
        if store.shared is None:
            raise UsageError(
                f"the store {store.url} is not shared: there is nowhere to push to",
                hint="set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket",
            )
        pipeline = names[0] if names else ""
        sources = [*self._sources(options["from"], store)]
        known = pipeline_files(self.root)
        if (
            pipeline
            and pipeline not in known
            and not any(source.records.stages_with_history(pipeline) for source in sources)
        ):
            raise UsageError(
                f"no run of a pipeline {pipeline!r} is on this machine",
                hint=nearest(pipeline, [*known]),
            )
        push = _Push(store, store.shared, pipeline)
        results = [result for source in sources for result in push.all_of(source)]
        print_result(
            options["json"],
            lambda: {"store": store.url, "runs": msgspec.to_builtins(results)},
            lambda: _page(results, store.url),
        )
        return 1 if any(result.status == "refused" for result in results) else 0

    def _sources(self, directory: str, store: Store) -> Iterator[LocalRuns]:
        """The embedded store, then the cache."""
        chosen = read_directory(directory, Path.cwd()) if directory else embedded(self.settings)
        if directory and not chosen.is_dir():
            raise UsageError(f"--from {directory}: there is no such directory")
        if chosen.is_dir():
            yield LocalRuns(chosen, say)
        yield store.local


def embedded(settings: Settings) -> Path:
    """The directory of the embedded store, which is used where nobody sets another. Raises SettingsError without a home directory."""
    [setting] = [setting for setting in SETTINGS if setting.name == "store"]
    return Path(setting.default_value(os.environ))


class _Push:
    """Publishes runs of directories on this machine, of one pipeline or ("") all."""

    def __init__(self, store: Store, shared: Shared, pipeline: str) -> None:
        self._store, self._shared, self._pipeline = store, shared, pipeline

    def all_of(self, source: LocalRuns) -> Iterator[Pushed]:
        """Publish those that a key of the source leads to, oldest first, so that inputs come before what was made of them."""
        entries = [e for e in source.records.history(self._pipeline) if e.result == "succeeded"]
        keys = [entry.keys.content for entry in entries]
        indexed = source.records.lookup(keys)
        known = self._shared.remote.records.lookup(keys)
        triples = list(zip(entries, indexed, known, strict=True))
        for entry, record, current in reversed(triples):
            if record is None or record.location != entry.location:
                continue
            if source is self._store.local and current is not None:
                # The cache of what is shared already.
                continue
            yield self._one(source, entry, record, current)

    def _one(
        self,
        source: LocalRuns,
        entry: HistoryEntry,
        record: IndexRecord,
        current: IndexRecord | None,
    ) -> Pushed:
        def result(status: Literal["pushed", "known", "refused"], why: str = "") -> Pushed:
            return Pushed(
                run=entry.run,
                pipeline=entry.pipeline,
                stage=entry.stage,
                bytes=record.bytes,
                status=status,
                why=why,
            )

        if current is not None and self._shared.remote.check_all([current])[0] is None:
            return result("known")
        why = self._reason_against(source, entry)
        if why:
            return result("refused", why)
        try:
            source.check(record, thorough=True)
        except ArtifactDamaged as damage:
            return result("refused", damage.message)
        manifest = source.records.read_run(record.location, record)
        if manifest is None:
            return result("refused", "its run record cannot be read")
        winner = self._shared.availability.write(
            lambda: self._publish(source, manifest, record), lambda: None
        )
        if winner is None:
            raise StoreForbidden(
                f"nothing can be published to {self._store.url}",
                hint="use a key that may write there, when the server can be reached",
            )
        return result("pushed" if winner.run == record.run else "known")

    def _reason_against(self, source: LocalRuns, entry: HistoryEntry) -> str:
        """Reason that a run is not this machine's to publish; "" where it is."""
        origin = source.origin(entry.location)
        if source is self._store.local:
            if origin is None or not origin.computed:
                return "it came from the shared store, which does not have it any more"
            if not self._shared.availability.may_publish(origin):
                return "it was computed with a key that may only read, or that is not known"
        elif origin is not None and not origin.computed:
            return "it came from another store"
        elif entry.host != platform.node():
            return f"it was computed on {entry.host}"
        return ""

    def _publish(
        self, source: LocalRuns, manifest: RunManifest, record: IndexRecord
    ) -> IndexRecord:
        """Publish under the lease of the content key: whoever computes it now is waited for."""
        remote, directory = self._shared.remote, Path(source.path(manifest.location)).parent
        with self._store.lease(manifest.keys.content, waiting=lambda: None):
            current = remote.records.lookup([manifest.keys.content])[0]
            if current is not None and remote.check_all([current])[0] is None:
                return current
            remote.publish(directory, manifest, lambda: source.check(record, thorough=False))
            return publish_result(remote.records, manifest.keys, record, replacing=current)


_WORDS = {"pushed": "pushed", "known": "known already", "refused": "not shared"}


def _page(results: Sequence[Pushed], url: str) -> list[str]:
    """A line for each run that is new or cannot be shared, and the sum."""
    shown = [one for one in results if one.status != "known"]
    rows = [
        [f"{one.pipeline}:{one.stage}", one.run, size(one.bytes), _WORDS[one.status], one.why]
        for one in shown
    ]
    pushed = [one for one in results if one.status == "pushed"]
    parts = [
        f"{count(len(pushed), 'run')} ({size(sum(one.bytes for one in pushed))}) pushed to {url}"
    ]
    for status, words in (("known", "known already"), ("refused", "not shared")):
        number = sum(one.status == status for one in results)
        parts += [f"{number} {words}"] if number else []
    return [*columns(rows, indent=""), ", ".join(parts)]
