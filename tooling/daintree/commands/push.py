"""`doit push` and `doit export`: runs of this machine published to the shared store, and runs written into an MLflow server."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from daintree.commands.command import DaintreeCommand, option, print_result, shared
from daintree.commands.history import runs_of
from daintree.commands.metrics import read_metrics
from daintree.digest import digest_record
from daintree.errors import (
    ArtifactDamaged,
    DaintreeError,
    StoreError,
    StoreForbidden,
    TrackingError,
    UsageError,
    nearest,
)
from daintree.settings import SETTINGS, install_command, read_directory
from daintree.spec.component import as_argument
from daintree.spec.pipeline import pipeline_files
from daintree.store.index import publish_result
from daintree.store.layout import ORIGIN, seconds_of
from daintree.store.local import LocalRuns
from daintree.store.records import HistoryEntry, IndexRecord, RunManifest, short_run
from daintree.store.store import Store, open_store
from daintree.terminal import columns, count, say, size

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from daintree.store.cache import Shared


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
        """The embedded store, which is used where nobody sets another, then the cache."""
        text = directory or SETTINGS["store"].default_value(os.environ)
        chosen = read_directory(text, Path.cwd())
        if directory and not chosen.is_dir():
            raise UsageError(f"--from {directory}: there is no such directory")
        if chosen.is_dir():
            yield LocalRuns(chosen, say)
        yield store.local


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
        if not os.path.lexists(source.path(entry.location, ORIGIN)):
            # An embedded store has no origins.
            return "" if entry.host == platform.node() else f"it was computed on {entry.host}"
        origin, availability = source.origin(entry.location), self._shared.availability
        if origin is None or not availability.is_here(origin):
            return "it is of another store"
        if not origin.computed:
            return "it came from the shared store, which does not have it any more"
        if not availability.may_publish(origin):
            return "it was computed with a key that may only read, or that is not known"
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


RUN_TAG = "daintree.run"
PROVENANCE = "provenance.json"
# Limit of MLflow's API for one text.
MOST_TEXT = 5000
PAGE = 1000
_REFUSED = re.compile(r"[^/\w.\- :]", re.ASCII)
# It neither tries for minutes nor tells anybody that it is used, nor writes two lines for each run to stdout.
_QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Export(DaintreeCommand):
    """Writes runs into an MLflow server: parameters, metrics, tags and provenance, each run once."""

    doc_usage = "mlflow --uri URI [PIPELINE[:STAGE]]"
    doc_description = (
        "An experiment for each pipeline, a run for each run: parameters, metrics, tags for commit, version, keys, location and digest, and one small "
        "JSON of provenance. What is there already is left alone, what was begun is completed. MLflow's own variables give the credentials "
        "(MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN)."
    )
    cmd_options = (option("uri", "the address of the MLflow server: http:// or https://"),)
    names = (1, 2)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        if names[0] != "mlflow":
            raise UsageError(f"nothing exports to {names[0]!r}", hint="doit export mlflow")
        uri = options["uri"]
        if not re.match(r"https?://[^/\s]", uri):
            raise UsageError(
                f"--uri {_without_credentials(uri)!r} is no address of a server"
                if uri
                else "doit export mlflow: to which server?",
                hint="--uri http://HOST:PORT",
            )
        store = open_store(self.settings)
        pipeline, _, stage = (names[1] if len(names) > 1 else "").partition(":")
        runs = sorted(runs_of(store, pipeline, stage), key=lambda run: run.started)
        exporter = MlflowExporter(uri, store)
        exported = 0
        key = digest_record("export", 1, _without_credentials(uri))
        with store.lease(key, waiting=lambda: None):
            for name in sorted({run.pipeline for run in runs}):
                chosen = [run for run in runs if run.pipeline == name]
                exported += exporter.export(name, chosen)
        place = _without_credentials(uri)
        print(f"{count(exported, 'run')} exported to {place}, {len(runs) - exported} there already")


class MlflowExporter:
    """Conversation with one MLflow server. Every method raises TrackingError when it cannot be reached or refuses."""

    def __init__(self, uri: str, store: Store) -> None:
        """Raises UsageError where the client is not installed."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        self._server, self._store = _without_credentials(uri), store
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise UsageError(
                "the client of MLflow is not installed", hint=install_command("mlflow")
            ) from None
        self._client: MlflowClient = MlflowClient(tracking_uri=uri)

    def export(self, pipeline: str, runs: Sequence[HistoryEntry]) -> int:
        """Write the runs of one pipeline that its experiment does not have; the number of them."""
        with self._translated():
            experiment = self._experiment(pipeline)
            known = self._known(experiment)
        missing = [run for run in runs if known.get(run.run, ("", False))[1] is False]
        for run in missing:
            with self._translated():
                self._write(experiment, run, known.get(run.run, ("", False))[0])
            say(f"{run.pipeline}:{run.stage} {run.run}")
        return len(missing)

    def _experiment(self, pipeline: str) -> str:
        experiment = self._client.get_experiment_by_name(pipeline)
        if experiment is None:
            return str(self._client.create_experiment(pipeline))
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"the experiment {pipeline} in {self._server} is deleted",
                hint="restore it there, or rename it",
            )
        return str(experiment.experiment_id)

    def _known(self, experiment: str) -> dict[str, tuple[str, bool]]:
        """The runs that the experiment has, deleted ones too: MLflow's id of each, and True where it is complete."""
        from mlflow.entities import ViewType

        known: dict[str, tuple[str, bool]] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [experiment], "", ViewType.ALL, max_results=PAGE, page_token=token
            )
            for run in page:
                if RUN_TAG in run.data.tags:
                    is_done = run.info.status != "RUNNING"
                    known[run.data.tags[RUN_TAG]] = (run.info.run_id, is_done)
            token = page.token
            if not token:
                return known

    def _write(self, experiment: str, run: HistoryEntry, begun: str) -> None:
        """Write one run; its end is written last, so that one that was interrupted is known as such."""
        from mlflow.entities import Metric, Param

        target = begun or self._begin(experiment, run)
        end = int(1000 * seconds_of(run.finished))
        record = self._store.read_run(run.location) if run.abridged else None
        parameters = (record or run).parameters
        params = [Param(_name(n), as_argument(v)[:MOST_TEXT]) for n, v in parameters.items()]
        metrics = [Metric(_name(n), v, end, 0) for n, v in self._metrics(run).items()]
        self._client.log_batch(target, metrics=metrics, params=params)
        self._client.log_dict(target, msgspec.to_builtins(run), PROVENANCE)
        status = "FINISHED" if run.result == "succeeded" else "FAILED"
        self._client.set_terminated(target, status, end)

    def _begin(self, experiment: str, run: HistoryEntry) -> str:
        tags = {
            RUN_TAG: run.run,
            "daintree.stage": run.stage,
            "daintree.component": run.component,
            "daintree.version": run.version,
            "daintree.recipe_key": run.keys.recipe,
            "daintree.content_key": run.keys.content,
            "daintree.location": f"{self._store.url}/{run.location}",
            "daintree.digest": run.output.digest if run.output else "",
            "daintree.reason": run.reason[:MOST_TEXT],
            "mlflow.source.git.commit": run.commit,
            "mlflow.source.name": f"{run.pipeline}:{run.stage}",
            "mlflow.user": run.user,
        }
        return str(
            self._client.create_run(
                experiment,
                start_time=int(1000 * seconds_of(run.started)),
                tags={name: value for name, value in tags.items() if value},
                run_name=f"{run.stage} {short_run(run.run)}",
            ).info.run_id
        )

    def _metrics(self, run: HistoryEntry) -> Mapping[str, float]:
        try:
            return read_metrics(run, self._store) or {}
        except (StoreError, OSError, ValueError):
            return run.metrics

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise TrackingErrors for what the client raises in the block."""
        import requests
        from mlflow.exceptions import MlflowException

        try:
            yield
        except DaintreeError:
            raise
        except (MlflowException, requests.RequestException, OSError) as error:
            code = getattr(error, "error_code", "")
            away = not isinstance(error, MlflowException) or "Max retries" in str(error)
            detail = "cannot be reached" if away else f"refuses ({code}): {_first_line(error)}"
            raise TrackingError(
                f"the MLflow server {self._server} {detail}",
                hint="check the address; what is exported stays, run it again for the rest",
            ) from None


def _name(text: str) -> str:
    """A name as MLflow takes it: `test.hr@10` is `test.hr_at_10`."""
    return _REFUSED.sub("_", text.replace("@", "_at_"))[:250]


def _first_line(error: Exception) -> str:
    return _without_credentials((str(error).splitlines() or [""])[0])[:300]


def _without_credentials(text: str) -> str:
    return re.sub(r"://[^/\s@]*@", "://", text)
