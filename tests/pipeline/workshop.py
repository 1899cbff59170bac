"""A pipeline over a real store and doit, whose stages are run by a function of the test: milliseconds a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from daintree.commands.doit_adapter import RunOptions, run_stages
from daintree.components import ComponentVersion
from daintree.errors import EnvironmentFailed
from daintree.pipeline.engine import PipelineRun
from daintree.pipeline.plan import Plan, Planned, bind, decided, refresh_tokens
from daintree.pipeline.session import Request, Session
from daintree.runners.runner import Job, Outcome, Prepared
from daintree.settings import read_settings
from daintree.spec.component import ComponentSpec
from daintree.store.records import IndexRecord
from tests.component_version import component_version

DIAMOND = """
source: data.txt
output: out
stages:
  - c/load
  - {name: left, component: c/left}
  - {name: right, component: c/right, needs: [load]}
  - {name: join, component: c/join, needs: [left, right]}
"""
Body = Callable[[Job], int]


class InProcess:
    """A runner that calls a function for each job; `executed` are the stages in their order."""

    name = "local"

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.bodies: dict[str, Body] = {}
        self.refused: set[str] = set()

    def environment_class(self, spec: ComponentSpec) -> str:
        return "venv-test"

    def check(self) -> None:
        return

    def caution(self, resources: object) -> str:
        return ""

    def refusal(self, version: ComponentVersion) -> EnvironmentFailed | None:
        return (
            EnvironmentFailed(f"{version.name} is refused")
            if version.name in self.refused
            else None
        )

    def prepare(self, *arguments: object) -> Prepared:
        return Prepared()

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        stage = job.label.partition(":")[2]
        self.executed.append(stage)
        job.log.touch()
        body = self.bodies.get(stage)
        if body is not None:
            return Outcome(body(job), 1.0)
        on_line(f"{stage} works")
        (job.output / "result.txt").write_text(stage)
        return Outcome(0, 1.0)


class Screen:
    """Receives a run's events as (stage, event) pairs and texts."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def hit(self, stage: str, record: IndexRecord) -> None:
        self.events.append((stage, "hit"))

    def starting(self, stage: str, reason: str, expected: float | None) -> None:
        self.events.append((stage, "run"))
        self.texts.append(f"{stage}: {reason}, {expected}")

    def line(self, stage: str, text: str) -> None:
        self.texts.append(text)

    def computed(self, stage: str, record: IndexRecord) -> None:
        self.events.append((stage, "done"))

    def note(self, stage: str, text: str) -> None:
        self.texts.append(text)

    def warning(self, stage: str, text: str) -> None:
        self.texts.append(text)

    def end(self) -> None:
        self.events.append(("", "end"))


class Workshop:
    """A project with one pipeline `x`; `versions` are its components' contents, which a test may change."""

    def __init__(self, root: Path, pipeline: str = DIAMOND) -> None:
        self.root = root
        self.runner = InProcess()
        self.versions: dict[str, str] = {}
        self.specs: dict[str, ComponentSpec] = {}
        self.now = datetime(2026, 3, 4, 10, 15, tzinfo=UTC)
        (root / "pipelines").mkdir(parents=True)
        (root / "pipelines" / "x.yaml").write_text(pipeline)
        self.write("one")

    def write(self, source: str) -> None:
        """Make the source this text."""
        (self.root / "data.txt").write_text(source)

    def plan(self, **request: Any) -> Planned:
        """The pipeline planned by the planner's own functions, on versions of the test's choice."""
        environ = {"HOME": str(self.root), "DAINTREE_STORE": str(self.root / "store")}
        wanted = Request(pipeline="x", directory=self.root, **request)
        session = Session(read_settings(self.root, environ), wanted, ())
        session.runner = cast(Any, self.runner)
        identities = session.identify_sources(fetch=True)
        names = {stage.component for stage in session.pipeline.stages}
        versions = {name: self._version(name) for name in names}
        environment, tokens = self.runner.environment_class, refresh_tokens(self.now)
        stages = bind(session.pipeline, versions, {}, environment, identities, tokens)
        forced = frozenset(wanted.force)
        records, decisions = decided(session.store, stages, identities, forced)
        plan = Plan(
            request=wanted,
            pipeline=session.pipeline,
            runner="local",
            versions=versions,
            identities=identities,
            stages=stages,
            recipe_records=records,
            decisions=decisions,
        )
        return Planned(session, plan)

    def run(
        self, planned: Planned | None = None, *, stage: str = "", jobs: int = 1, keep: bool = False
    ) -> PipelineRun:
        """Run a plan (default: a fresh one) by doit. Raises what the run raises."""
        run = PipelineRun(planned or self.plan(), Screen(), stage=stage)
        run_stages([run], RunOptions(jobs, keep))
        return run

    def statuses(self, planned: Planned | None = None) -> Mapping[str, str]:
        """What a plan says of each stage."""
        plan = (planned or self.plan()).plan
        return {name: decision.status for name, decision in plan.decisions.items()}

    def _version(self, name: str) -> ComponentVersion:
        return component_version(
            name,
            f"sha256:{name}{self.versions.get(name, '')}",
            spec=self.specs.get(name, ComponentSpec()),
        )
