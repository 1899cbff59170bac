"""Session: the project opened for one request, with its settings, store, runner and source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from daintree.concurrency import side_by_side
from daintree.errors import SourceError
from daintree.pipeline.binding import parse_overrides
from daintree.pipeline.decisions import SourceIdentity
from daintree.pipeline.sources import open_source
from daintree.pipeline.sources.protocol import Source, WebLimits
from daintree.runners import open_runner
from daintree.settings import Settings
from daintree.spec.pipeline import Pipeline, load_pipeline
from daintree.spec.yaml import cache_documents
from daintree.store.records import RunManifest
from daintree.store.store import Store, open_store

# Histories read side by side.
AT_ONCE = 16


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Pipeline that somebody asked for, and the differences from its file.

    `source` and `output` are as typed, relative to `directory`; `set` are `stage.parameter=value` texts;
    `force` the stages to compute although they hit, `always` says all of them; `only` the one stage to run alone;
    `verify` hashes every file that is taken from the store.
    """

    pipeline: str
    directory: Path
    source: str = ""
    output: str = ""
    set: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    always: bool = False
    only: str = ""
    runner: str = ""
    verify: bool = False


class Session:
    """The open project, for one request: everything that a plan of it, and a run of that plan, ask or write.

    It reads each stage's latest run at most once.
    """

    def __init__(self, settings: Settings, request: Request, reserved: Collection[str]) -> None:
        """Open what the request names; `reserved` names may not be pipelines. Reads the pipeline file, fetches nothing.

        Raises SpecError for the pipeline file, UsageError for the request, SourceError, StoreError, EnvironmentFailed.
        """
        cache_documents(settings.documents)
        self.settings = settings
        self.request = request
        self.pipeline: Pipeline = load_pipeline(settings.root, request.pipeline, reserved)
        self.overrides = parse_overrides(self.pipeline, request.set)
        for name in (*request.force, *([request.only] if request.only else [])):
            self.pipeline.stage(name)
        self.runner = open_runner(request.runner or settings.runner, settings)
        self.store: Store = open_store(settings, verify=request.verify)
        self.source: Source = self._open_source()
        self._last_runs: dict[str, RunManifest | None] = {}

    def identify_source(self, *, fetch: bool = False) -> SourceIdentity:
        """The identity of the source as it is now; with `fetch` its bytes are in the store afterwards.

        Raises SourceError, StoreError.
        """
        with self._placed():
            identity = self.source.identify()
            if fetch and identity.digest is None:
                identity = self.source.fetch()
        return identity

    def current_source(self) -> str:
        """The identity of the source by its validators alone; only a source that has none is downloaded.

        Raises SourceError, StoreError.
        """
        with self._placed():
            return self.source.identify().identity or self.source.fetch().identity

    def last_run(self, stage: str) -> RunManifest | None:
        """The stage's latest run that succeeded, else the latest at all; read once."""
        if stage not in self._last_runs:
            self._last_runs[stage] = self.store.latest_run(self.pipeline.name, stage)
        return self._last_runs[stage]

    def read_last_runs(self, stages: Iterable[str]) -> None:
        """Read the latest runs of these stages side by side, so that `last_run` need not ask for one after the other."""
        missing = [name for name in stages if name not in self._last_runs]
        if len(missing) > 1:
            runs = side_by_side(
                lambda name: self.store.latest_run(self.pipeline.name, name), missing, AT_ONCE
            )
            self._last_runs.update(zip(missing, runs, strict=True))

    def _open_source(self) -> Source:
        request, pipeline = self.request, self.pipeline
        with self._placed():
            settings, store = self.settings, self.store
            limits = WebLimits(
                settings.source_max_size, settings.source_timeout, settings.source_redirects
            )
            location = request.source or pipeline.source
            if "@" in location:
                from daintree.pipeline.sources.named import NamedSource, is_named_source

                directory = request.directory if request.source else settings.root
                sha256 = "" if request.source else pipeline.source_sha256
                if is_named_source(location, directory):
                    return NamedSource(location, sha256, settings.root, pipeline.name, store)
            if request.source:
                return open_source(request.source, "", request.directory, store, limits)
            return open_source(
                pipeline.source, pipeline.source_sha256, settings.root, store, limits
            )

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Name the pipeline file in errors of the source, unless the source was typed."""
        try:
            yield
        except SourceError as error:
            place = "--source" if self.request.source else self.pipeline.file
            raise SourceError(f"{place}: {error.message}", hint=error.hint) from None
