"""Session: the project opened for one request, with its settings, store, runner and sources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from daintree.concurrency import side_by_side
from daintree.errors import SourceError, UsageError, nearest
from daintree.pipeline.decisions import SourceIdentity
from daintree.pipeline.sources import Source, open_source
from daintree.runners import open_runner
from daintree.runners.runner import Prepared
from daintree.settings import Settings
from daintree.spec.document import cache_documents
from daintree.spec.pipeline import Pipeline, load_pipeline, plain_stage
from daintree.store.records import RunManifest
from daintree.store.store import Store, open_store

if TYPE_CHECKING:
    from daintree.components import ComponentVersion

# Histories read side by side.
AT_ONCE = 16
# Each failed run before the last that succeeded is a request to a bucket.
MOST_FAILURES = 7


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Pipeline that somebody asked for, and the differences from its file.

    `sources` and `output` are as typed, relative to `directory`; of several sources each is `name=location`; `set` are `stage.parameter=value` texts;
    `force` the stages to compute although they hit, `always` says all of them; `only` the one stage to run alone; `sweep` are
    `stage.parameter=[value, …]` texts, and `large` allows very many stages of them; `as_of` is the moment that `refresh` counts from, as
    seconds since 1970, and what tells its plan from others, SECONDS/ID ("" for now); `verify` hashes every file that is taken from the store.
    """

    pipeline: str
    directory: Path
    sources: tuple[str, ...] = ()
    output: str = ""
    set: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    always: bool = False
    only: str = ""
    sweep: tuple[str, ...] = ()
    large: bool = False
    runner: str = ""
    as_of: str = ""
    verify: bool = False


class Session:
    """The open project, for one request: everything that a plan of it, and a run of that plan, ask or write.

    It reads each stage's latest run at most once.
    """

    def __init__(
        self,
        settings: Settings,
        request: Request,
        reserved: Collection[str],
        pipeline: Pipeline | None = None,
        store: Store | None = None,
    ) -> None:
        """Open what the request names; `reserved` names may not be pipelines. Reads the file of the `pipeline` and opens the `store` unless
        they are given, fetches nothing.

        Raises SpecError for the pipeline file, UsageError for the request, SourceError, StoreError, EnvironmentFailed.
        """
        cache_documents(settings.documents)
        self.settings = settings
        self.request = request
        self.pipeline = pipeline or load_pipeline(settings.root, request.pipeline, reserved)
        self.overrides = parse_overrides(self.pipeline, request.set)
        for name in (*request.force, *([request.only] if request.only else [])):
            self.pipeline.stage(name)
        self.runner = open_runner(request.runner or settings.runner, settings)
        self.store = store or open_store(settings, verify=request.verify)
        self.sources: dict[str, Source] = self._open_sources()
        self._last_runs: dict[str, RunManifest | None] = {}

    def identify_sources(self, *, fetch: bool = False) -> dict[str, SourceIdentity]:
        """The identities of the sources that stages read, by name, as they are now; with `fetch` their bytes are in the store afterwards.

        Raises SourceError, StoreError.
        """
        identities: dict[str, SourceIdentity] = {}
        for name, source in self.sources.items():
            with self._named(name):
                identities[name] = source.identify()
                if fetch and identities[name].digest is None:
                    identities[name] = source.fetch()
        return identities

    def current_sources(self) -> list[str]:
        """The identities of the sources by their validators alone; only a source that has none is downloaded.

        Raises SourceError, StoreError.
        """
        identities: list[str] = []
        for name, source in self.sources.items():
            with self._named(name):
                identities.append(source.identify().identity or source.fetch().identity)
        return identities

    def last_run(self, stage: str) -> RunManifest | None:
        """The stage's latest run that succeeded, where its last MOST_FAILURES did not all fail, else the latest at all; read once."""
        stage = plain_stage(stage)
        if stage not in self._last_runs:
            self._last_runs[stage] = self._latest_run(stage)
        return self._last_runs[stage]

    def read_last_runs(self, stages: Iterable[str]) -> None:
        """Read the latest runs of these stages side by side, so that `last_run` need not ask for one after the other."""
        names = dict.fromkeys(map(plain_stage, stages))
        missing = [name for name in names if name not in self._last_runs]
        if len(missing) > 1:
            runs = side_by_side(self._latest_run, missing, AT_ONCE)
            self._last_runs.update(zip(missing, runs, strict=True))

    def prepare(self, version: ComponentVersion, announce: Callable[[str], None]) -> Prepared:
        """The environment that the runner runs the version in; its snapshot is made if the runner needs one.

        Raises EnvironmentFailed, VersionError.
        """
        # Imported here: a hit needs no snapshot.
        from daintree.components.snapshot import make_snapshot

        snapshots = self.settings.snapshots
        return self.runner.prepare(version, lambda: make_snapshot(version, snapshots), announce)

    def _latest_run(self, stage: str) -> RunManifest | None:
        return self.store.latest_run(self.pipeline.name, stage, MOST_FAILURES)

    def _open_sources(self) -> dict[str, Source]:
        """The sources that a stage reads, by name. Raises UsageError for a `--source` that names none, SourceError."""
        settings, pipeline = self.settings, self.pipeline
        self._typed = pipeline.typed_sources(self.request.sources)
        opened: dict[str, Source] = {}
        for name in dict.fromkeys(name for stage in pipeline.stages for name in stage.sources):
            spec, directory = pipeline.sources[name], settings.root
            if name in self._typed:
                spec = msgspec.structs.replace(spec, location=self._typed[name], sha256="")
                directory = self.request.directory
            with self._named(name):
                opened[name] = open_source(spec, directory, settings, self.store, pipeline.name)
        return opened

    @contextmanager
    def _named(self, source: str) -> Iterator[None]:
        """Name the pipeline file in errors of a source, unless it was typed."""
        try:
            yield
        except SourceError as error:
            place = "--source" if source in self._typed else self.pipeline.file
            named = f"{place}: source {source}" if source else place
            raise SourceError(f"{named}: {error.message}", hint=error.hint) from None


def parse_overrides(pipeline: Pipeline, settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """`stage.parameter=value` texts as {stage: {parameter: text}}; the last one of a parameter wins.

    Raises UsageError for another form, or for a stage that the pipeline does not have.
    """
    names = [stage.name for stage in pipeline.stages]
    overrides: dict[str, dict[str, str]] = {}
    for text in settings:
        target, equals, value = text.partition("=")
        stage, dot, parameter = target.partition(".")
        if not (equals and dot and stage and parameter):
            raise UsageError(
                f"--set {text!r} cannot be read",
                hint="write --set stage.parameter=value, e.g. --set train.epochs=20",
            )
        if stage not in names:
            raise UsageError(
                f"--set {text}: pipeline {pipeline.name!r} has no stage {stage!r}",
                hint=nearest(stage, names),
            )
        overrides.setdefault(stage, {})[parameter.replace("-", "_")] = value
    return overrides
