"""Project as its pages show it: pipelines with their plans, stages with their last runs, what is being computed, components, names; data alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from daintree.components import (
    WorkingTree,
    discover_images,
    discover_libraries,
    read_description,
    read_each_version,
)
from daintree.components.affected import affected
from daintree.errors import DaintreeError, StoreError
from daintree.images.build import Listener, build_images
from daintree.images.build import Request as BuildRequest
from daintree.pipeline.decisions import Decision, Hit, inputs_of
from daintree.pipeline.plan import Planned, make_plan, read_last_runs, refusals
from daintree.pipeline.reasons import reason
from daintree.pipeline.session import Request, Session
from daintree.settings import Settings
from daintree.spec.component import Scalar
from daintree.spec.pipeline import Pipeline, load_pipeline, pipeline_files
from daintree.store.contents import growing_logs, holders
from daintree.store.records import HistoryEntry, IndexRecord, NameRecord, RunManifest
from daintree.store.run_index import RunIndex, opened
from daintree.store.store import Store, open_store

MOST_DURATIONS = 12
# Of a log that is growing.
TAIL_BYTES, TAIL_LINES = 8 << 10, 30


class Fault(msgspec.Struct, frozen=True):
    """An error as a page shows it: its message and its hint ("" for none)."""

    message: str
    hint: str = ""


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """Stage of a pipeline: its plan's decision with the reason, its parameters and inputs, its last runs, newest first.

    `status` is hit, miss, pending, or unknown where there is no plan; `output` is a hit's record. `inputs` are digests
    by need, as far as they are known.
    """

    name: str
    component: str
    needs: tuple[str, ...]
    sources: tuple[str, ...] = ()
    status: str = "unknown"
    reason: str = ""
    parameters: Mapping[str, Scalar] = {}
    inputs: Mapping[str, str] = {}
    output: IndexRecord | None = None
    runs: tuple[HistoryEntry, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Seconds that computing it took: the hit's own run, else the last run; None where there is none."""
        if self.output:
            return self.output.seconds
        return self.runs[0].seconds if self.runs else None


class PipelineView(msgspec.Struct, frozen=True, kw_only=True):
    """Pipeline with its stages in order; `fault` is why it could not be planned, or read at all."""

    name: str
    description: str = ""
    origin: str = ""
    output: str = ""
    output_stages: tuple[str, ...] = ()
    runner: str = ""
    stages: tuple[StageView, ...] = ()
    fault: Fault | None = None

    def count(self, status: str) -> int:
        """The number of stages with this status."""
        return sum(stage.status == status for stage in self.stages)

    @property
    def last(self) -> HistoryEntry | None:
        """The latest run of any stage, by its id: its times are whole seconds."""
        runs = (stage.runs[0] for stage in self.stages if stage.runs)
        return max(runs, key=lambda run: run.run, default=None)


class ComponentView(msgspec.Struct, frozen=True, kw_only=True):
    """Component or library: its version, and the reasons why the checked-out change affects it."""

    name: str
    description: str = ""
    version: str = ""
    affected: tuple[str, ...] = ()
    fault: Fault | None = None


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that is being computed: who does it since when, and, where that is this machine, its last lines."""

    stage: str
    user: str
    host: str
    since: str
    here: bool
    lines: tuple[str, ...] = ()


class Project:
    """The project of these settings, looked at: nothing runs and nothing is written; `reserved` names may not be pipelines.

    With `brief` a bucket that is away is not waited for.
    """

    def __init__(
        self, settings: Settings, reserved: Collection[str], *, brief: bool = False
    ) -> None:
        self.settings, self.reserved = settings, reserved
        self.store: Store = open_store(settings, brief=brief)
        self.index_fault = ""

    def pipelines(self) -> list[str]:
        """The names of the pipelines, sorted."""
        return sorted(pipeline_files(self.settings.root))

    def check(self, name: str) -> None:
        """Raise as `load_pipeline` does where there is no such pipeline."""
        if name not in self.pipelines():
            load_pipeline(self.settings.root, name, self.reserved)

    def pipeline(self, name: str, newest: int | None = None) -> PipelineView:
        """The pipeline with its plan; without statuses where its source or store cannot be read.

        Of its runs that the index does not have yet, the `newest` are read (None: all).
        Raises as `load_pipeline` does where there is no such pipeline, or it is broken.
        """
        try:
            return self._planned(self._plan(name), newest)
        except DaintreeError as error:
            pipeline = load_pipeline(self.settings.root, name, self.reserved)
            runs = {} if isinstance(error, StoreError) else self._latest_runs(name, newest)
            stages = [
                StageView(
                    name=s.name,
                    component=s.component,
                    needs=s.needs,
                    sources=s.sources,
                    parameters=s.params,
                    runs=tuple(runs.get(s.name, ())),
                )
                for s in pipeline.stages
            ]
            origin = ", ".join(source.location for source in pipeline.sources.values())
            fault = Fault(error.message, error.hint)
            return _view(pipeline, origin, self.settings.runner, stages, fault)

    def statuses(self, name: str) -> dict[str, tuple[str, str]]:
        """The status of each stage and its reason, as the plan has them now. Raises as `Session` and `make_plan` do."""
        decisions = _decisions(self._plan(name))
        return {stage: (decision.status, why) for stage, (decision, why) in decisions.items()}

    def running(self, pipeline: str) -> list[Running]:
        """The stages of a pipeline that are being computed now, as far as the store shows it. Raises StoreError."""
        store = self.store
        own = {holder.key: holder for holder in holders(store.local.directory)}
        others = holders(store.backend) if store.shared else []
        logs = growing_logs(store.directory)
        current = [
            Running(
                stage=holder.stage,
                user=holder.user,
                host=holder.host,
                since=holder.since,
                here=key in own,
                lines=_tail(logs[key]) if key in own and key in logs else (),
            )
            for key, holder in ({h.key: h for h in others} | own).items()
            if holder.pipeline == pipeline
        ]
        return sorted(current, key=lambda each: (each.since, each.stage))

    def components(self) -> list[ComponentView]:
        """The components and libraries, sorted; a fault of one is its own."""
        settings = self.settings
        images, libraries = discover_images(settings.root), discover_libraries(settings.root)
        if not images and not libraries:
            return []
        tree = WorkingTree(settings.root)
        platform, bases = settings.platform, settings.bases
        versions = read_each_version(tree, images, platform=platform, bases=bases)
        try:
            compared = affected(tree, None, platform=platform, bases=bases)
            changes = {component.name: component.reasons for component in compared.components}
        except DaintreeError:
            # A clone without history has nothing to compare with.
            changes = {}
        views = []
        for name in sorted([*images, *libraries]):
            version = versions.get(name)
            view = ComponentView(name=name, description=self._description(name))
            if isinstance(version, DaintreeError):
                view = msgspec.structs.replace(view, fault=Fault(version.message, version.hint))
            elif version:
                view = msgspec.structs.replace(
                    view, version=version.digest, affected=changes.get(name, ())
                )
            views.append(view)
        return views

    def images(self) -> dict[str, str]:
        """The state of each component's image: in the registry, in the engine where no registry is set, or missing.

        Raises RegistryUnavailable, EngineError as `build_images` does.
        """
        where = "in the registry" if self.settings.registry else "on this machine"
        words = {"present": where, "would-build": "not built", "failed": "cannot be built"}
        results = build_images(self.settings, BuildRequest(dry_run=True), Listener())
        return {result.name: words.get(result.action, result.action) for result in results}

    def names(self, pipeline: str = "") -> list[NameRecord]:
        """The names of runs of a pipeline, or of all, that lead somewhere. Raises StoreError."""
        return [record for record in self.store.records.names(pipeline) if record.runs]

    def names_of(self, run: RunManifest) -> list[str]:
        """The names that a run has. Raises StoreError."""
        records = self.names(run.pipeline)
        return [r.name for r in records if run.run in (named.run for named in r.runs.values())]

    def _plan(self, name: str) -> Planned:
        request = Request(pipeline=name, directory=self.settings.root)
        session = Session(self.settings, request, self.reserved, store=self.store)
        return Planned(session, make_plan(session, fetch=False))

    def _planned(self, planned: Planned, newest: int | None) -> PipelineView:
        session, plan = planned
        decisions = _decisions(planned)
        runs = self._latest_runs(plan.pipeline.name, newest)
        stages = []
        for stage in plan.stages:
            decision, why = decisions[stage.name]
            stages.append(
                StageView(
                    name=stage.name,
                    component=stage.component,
                    needs=stage.needs,
                    sources=stage.sources,
                    status=decision.status,
                    reason=why,
                    parameters=stage.parameters,
                    inputs=inputs_of(stage, plan.decisions, plan.identities)
                    or dict.fromkeys(stage.needs, ""),
                    output=decision.record if isinstance(decision, Hit) else None,
                    runs=tuple(runs.get(stage.name, ())),
                )
            )
        return _view(plan.pipeline, plan.origins, session.runner.name, stages)

    @contextmanager
    def index(self, pipeline: str, newest: int | None = None) -> Iterator[RunIndex]:
        """The index of runs, with what has come to the pipeline's history. `index_fault` is then why it is slow ("": it is not). Raises StoreError."""
        with opened(self.store, self.settings.cache) as index:
            index.refresh(pipeline, newest=newest)
            yield index
            if index.is_lost:
                self.index_fault = f"The index of runs cannot be written below {self.settings.cache}: each page reads the whole history."

    def _latest_runs(self, pipeline: str, newest: int | None) -> dict[str, list[HistoryEntry]]:
        with self.index(pipeline, newest) as index:
            return index.latest(pipeline, MOST_DURATIONS)

    def _description(self, name: str) -> str:
        try:
            return read_description(self.settings.root, name).description
        except DaintreeError as error:
            return error.message


def _decisions(planned: Planned) -> dict[str, tuple[Decision, str]]:
    """Each stage's decision with its reason, by name."""
    session, plan = planned
    read_last_runs(session, plan)
    refused = refusals(session, plan)
    pairs = {}
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        why = reason(session, plan, stage, decision)
        if stage.name in refused:
            why = f"cannot run: {refused[stage.name].message}; {why}"
        pairs[stage.name] = (decision, why)
    return pairs


def _view(
    pipeline: Pipeline,
    origin: str,
    runner: str,
    stages: Sequence[StageView],
    fault: Fault | None = None,
) -> PipelineView:
    return PipelineView(
        name=pipeline.name,
        description=pipeline.description,
        origin=origin,
        output=pipeline.output,
        output_stages=pipeline.output_stages,
        runner=runner,
        stages=tuple(stages),
        fault=fault,
    )


def _tail(log: Path) -> tuple[str, ...]:
    """The last whole lines of a log that may be growing."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            content = file.read()
    except OSError:
        return ()
    text = content[: content.rfind(b"\n") + 1].decode("utf-8", "replace")
    return tuple(text.splitlines()[-TAIL_LINES:])
