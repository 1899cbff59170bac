"""`doit plan`: what a run would do, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from daintree.commands.command import (
    DaintreeCommand,
    option,
    plan_request,
    print_json,
    print_result,
    request_of,
    reserved_names,
    shared,
)
from daintree.errors import DaintreeError, SourceError, StoreError
from daintree.pipeline.decisions import BoundStage, Decision, Hit, Pending
from daintree.pipeline.engine import check_start
from daintree.pipeline.plan import Plan, Planned, cautions, read_last_runs, refusals
from daintree.pipeline.reasons import (
    Link,
    chain_of_causes,
    nearest_runs,
    origins_of_changes,
    reason,
    results_of_other_runner,
)
from daintree.pipeline.session import Request, Session
from daintree.runners import CLUSTERS
from daintree.spec.pipeline import Pipeline, load_pipeline
from daintree.store.records import RunManifest
from daintree.terminal import colour, columns, count, duration, say

_SHADES = {"hit": "green", "miss": "red", "pending": "yellow"}


def last_seconds(session: Session, stage: BoundStage, decision: Decision) -> float | None:
    """Seconds that computing the stage took: the hit's own run, else the latest run known."""
    if isinstance(decision, Hit):
        return decision.record.seconds
    last: RunManifest | None = session.last_run(stage.name)
    return last.seconds if last else None


def reasons(session: Session, plan: Plan) -> dict[str, str]:
    """The reason of each stage's decision, with a hint where the other runner has the result."""
    read_last_runs(session, plan)
    others = results_of_other_runner(session, plan)
    refused = {name: f"cannot run: {e.message}" for name, e in refusals(session, plan).items()}
    words = {stage.name: _reason(session, plan, stage) for stage in plan.stages}
    nearest = nearest_runs(session, plan)
    return {
        name: "; ".join(filter(None, (refused.get(name), why, nearest.get(name), others.get(name))))
        for name, why in words.items()
    }


def _reason(session: Session, plan: Plan, stage: BoundStage) -> str:
    decision = plan.decisions[stage.name]
    if plan.runner == "argo" and isinstance(decision, Pending):
        # A Workflow has no early cutoff: what is pending becomes a pod.
        return f"runs after {', '.join(decision.on)}"
    return reason(session, plan, stage, decision)


def why_lines(links: Sequence[Link]) -> list[str]:
    """The chain down to the first causes, each stage below the one that it keeps from being a hit."""
    rows = [
        ["  " * link.depth + link.stage, link.status.upper() or "-", link.reason] for link in links
    ]
    first = dict.fromkeys(f"{link.stage}: {link.reason}" for link in links if link.first)
    return [*columns(rows), *(f"first cause: {cause}" for cause in first)]


def plan_as_json(planned: Planned) -> dict[str, Any]:
    """The plan as `doit plan --json` prints it."""
    session, plan = planned
    stages = []
    why = reasons(session, plan)
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        stages.append(
            {
                "name": stage.name,
                "component": stage.component,
                "version": stage.version,
                "status": decision.status,
                "reason": why[stage.name],
                "key": stage.recipe,
                "run": decision.record.run if isinstance(decision, Hit) else None,
                "last_seconds": last_seconds(session, stage, decision),
            }
        )
    return {"pipeline": plan.pipeline.name, "runner": plan.runner, "stages": stages}


def plan_rows(session: Session, plan: Plan) -> list[list[str]]:
    """A head, and one row per stage: its status, the seconds of its last run, the reason."""
    rows = [["stage", "status", "last", "reason"]]
    why = reasons(session, plan)
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        seconds = last_seconds(session, stage, decision)
        last = "-" if seconds is None else duration(seconds)
        rows.append([stage.name, decision.status.upper(), last, why[stage.name]])
    return rows


def plan_table(planned: Planned) -> list[str]:
    """The plan's lines: a head, one row per stage, and what it will cost."""
    session, plan = planned
    head, *rows = plan_rows(session, plan)
    lines = columns([head, *rows])
    start = lines[0].index(head[1])
    shaded = []
    for line, (_, status, *_) in zip(lines[1:], rows, strict=True):
        word = colour(status, _SHADES[status.lower()], sys.stdout)
        shaded.append(line[:start] + word + line[start + len(status) :])
    title = f"{plan.pipeline.name}: runner {plan.runner}, source {plan.origins}, store {session.store.url}"
    hints = [f"note: stage {name} {text}" for name, text in cautions(session, plan).items()]
    hints += [f"hint: {e.hint}" for e in refusals(session, plan).values() if e.hint]
    caused = (stage.name for stage in plan.stages if origins_of_changes(session, plan, stage))
    for name in islice(caused, 1):
        hints.append(f"hint: doit plan {plan.pipeline.name}:{name} --why tells what caused that")
    return [title, lines[0], *shaded, _cost(session, plan), *dict.fromkeys(hints)]


def _cost(session: Session, plan: Plan) -> str:
    """Seconds that the plan costs and saves, from the last durations; what has none is counted, never guessed."""
    times: dict[str, list[float | None]] = {"hit": [], "miss": [], "pending": []}
    for stage in plan.stages:
        decision = plan.decisions[stage.name]
        times[decision.status].append(last_seconds(session, stage, decision))
    hits, misses, pending = times["hit"], times["miss"], times["pending"]
    if not misses and not pending:
        return f"nothing to run: {count(len(hits), 'hit')}, {_sum(hits)} saved"
    parts = [f"{count(len(misses), 'stage')} to run ({_sum(misses)})"]
    if pending:
        parts.append(f"{len(pending)} pending ({_sum(pending, 'at most ')})")
    if hits:
        parts.append(f"{count(len(hits), 'hit')} (saves {_sum(hits)})")
    return ", ".join(parts)


def _sum(seconds: list[float | None], bound: str = "") -> str:
    known = [value for value in seconds if value is not None]
    unknown = len(seconds) - len(known)
    if not known:
        return "duration unknown"
    return bound + duration(sum(known)) + (f" and {unknown} unknown" if unknown else "")


class PlanCommand(DaintreeCommand):
    """Shows each stage as a hit, a miss or pending; runs and downloads nothing."""

    name = "plan"
    doc_usage = "PIPELINE[:STAGE] [--set stage.parameter=value …] [--why] [--json]"
    doc_description = (
        "HIT: the output is in the store. MISS: the stage would run, for the reason given. PENDING: that depends on what "
        "the stages before it write. With STAGE: that stage and those before it. The seconds are those of the stage's last run. A reason names the differences from the stage's last run and, where "
        "another run of anyone differs in less, that one."
    )
    cmd_options = (
        *shared("source", "set", "runner", "force"),
        option("why", "the whole chain of causes of the stage, down to the first", type=bool),
        *shared("sweep", "yes", "json"),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        pipeline, *words = names
        if words and not (options["set"] or options["force"]):
            raise self.misused(f"{words[0]!r} is one name too many")
        pipeline, _, stage = pipeline.partition(":")
        request = request_of(pipeline, options, [word for word in words if "=" in word])
        forced = (*request.force, *(word for word in words if "=" not in word))
        made = plan_request(self.settings, msgspec.structs.replace(request, force=forced))
        if options["why"]:
            self._print_causes(made, stage or made.plan.stages[-1].name, options["json"])
            return
        if stage:
            made = made._replace(plan=_up_to(made.plan, stage))
        print_result(options["json"], lambda: plan_as_json(made), lambda: plan_table(made))
        _warn_of_start(made, whole=not stage)

    def _print_causes(self, made: Planned, stage: str, as_json: bool) -> None:
        links = chain_of_causes(*made, stage)
        if as_json:
            pipeline = made.plan.pipeline.name
            print_json({"pipeline": pipeline, "stage": stage, "chain": msgspec.to_builtins(links)})
        else:
            print("\n".join(why_lines(links)))


def _warn_of_start(planned: Planned, *, whole: bool) -> None:
    """Print why a run of the plan, or a submission, could not even begin, if it could not."""
    session, plan = planned
    command = "submit" if plan.runner in CLUSTERS else "run"
    try:
        if plan.runner in CLUSTERS:
            from daintree.argo.submission import runnable

            runnable(session, plan, plan.to_run)
        else:
            check_start(planned, plan.decisions, whole=whole)
    except DaintreeError as error:
        warning = colour("warning: ", "yellow", sys.stderr)
        say(f"{warning}doit {command} would refuse: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")


def _up_to(plan: Plan, name: str) -> Plan:
    """The part of the plan that `doit run PIPELINE:STAGE` runs: the stage and all that it depends on. Raises UsageError for an unknown one."""
    ends = {stage.name for stage in plan.stages if stage.plain_name == name}
    if not ends:
        plan.pipeline.stage(name)
    wanted = ends | plan.ancestors(ends)
    stages = tuple(stage for stage in plan.stages if stage.name in wanted)
    decisions = {stage.name: plan.decisions[stage.name] for stage in stages}
    return msgspec.structs.replace(plan, stages=stages, decisions=decisions)


_CLASSES = {
    "hit": "fill:#d5f5d5,stroke:#2a7a2a",
    "miss": "fill:#ffd9d6,stroke:#b03a2e",
    "pending": "fill:#fff3c4,stroke:#a67c00",
}


class Drawing(msgspec.Struct, frozen=True):
    """A pipeline to be drawn; `origins` are its sources by name, `statuses` by stage, none where its source or store cannot be read."""

    pipeline: Pipeline
    origins: Mapping[str, str]
    statuses: Mapping[str, str]


def drawing_of(plan: Plan) -> Drawing:
    statuses = {name: decision.status for name, decision in plan.decisions.items()}
    return Drawing(plan.pipeline, {name: i.origin for name, i in plan.identities.items()}, statuses)


def text_graph(drawing: Drawing) -> list[str]:
    """One row per stage, in order: what it reads, its name, status and component."""
    pipeline = drawing.pipeline
    rows = [["", _source_name(name), "", origin] for name, origin in drawing.origins.items()]
    for stage in pipeline.stages:
        reads = ", ".join([*map(_source_name, stage.sources), *stage.needs])
        status = drawing.statuses.get(stage.name, "").upper()
        rows.append([f"{reads} ─▶" if reads else "", stage.name, status, stage.component])
    if pipeline.output:
        names = ", ".join(pipeline.output_stages)
        rows.append([f"{names} ─▶", "output", "", pipeline.output])
    return columns(rows, indent="")


def mermaid(drawing: Drawing) -> list[str]:
    pipeline = drawing.pipeline
    read = {name: f"source{place or ''}" for place, name in enumerate(drawing.origins)}
    lines = ["flowchart LR"]
    lines += [f'  {read[name]}[("{_quoted(origin)}")]' for name, origin in drawing.origins.items()]
    for place, stage in enumerate(pipeline.stages):
        status = drawing.statuses.get(stage.name)
        label = f"{_quoted(stage.name)}<br/>{_quoted(stage.component)}"
        lines.append(f'  stage{place}["{label}"]' + (f":::{status}" if status else ""))
    places = {stage.name: place for place, stage in enumerate(pipeline.stages)}
    for place, stage in enumerate(pipeline.stages):
        origins = [*map(read.__getitem__, stage.sources)]
        origins += [f"stage{places[need]}" for need in stage.needs]
        lines += [f"  {origin} --> stage{place}" for origin in origins]
    if pipeline.output:
        lines.append(f'  output[/"{_quoted(pipeline.output)}"/]')
        lines += [f"  stage{places[name]} --> output" for name in pipeline.output_stages]
    styles = _CLASSES if drawing.statuses else {}
    return lines + [f"  classDef {name} {style}" for name, style in styles.items()]


def _source_name(name: str) -> str:
    return f"source.{name}" if name else "source"


def _quoted(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    )


class Graph(DaintreeCommand):
    """Draws a pipeline as text, or as a Mermaid flowchart."""

    doc_usage = "PIPELINE [--mermaid]"
    doc_description = "What the stages read and write, and whether each is a hit, a miss or pending; runs nothing."
    cmd_options = (
        option("mermaid", "print a Mermaid flowchart, for Markdown pages", type=bool),
        *shared("source", "set", "runner"),
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        drawing = self._drawing(request_of(names[0], options))
        print("\n".join((mermaid if options["mermaid"] else text_graph)(drawing)))

    def _drawing(self, request: Request) -> Drawing:
        """The plan; where its source or store cannot be read, the pipeline file alone, and a note on stderr."""
        try:
            return drawing_of(plan_request(self.settings, request).plan)
        except (SourceError, StoreError) as error:
            say(f"note: without statuses: {error.message}")
            pipeline = load_pipeline(self.root, request.pipeline, reserved_names(self.root))
            locations = {name: source.location for name, source in pipeline.sources.items()}
            return Drawing(pipeline, locations | pipeline.typed_sources(request.sources), {})
