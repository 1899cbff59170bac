"""A pipeline drawn: as an indented text, and as a Mermaid flowchart."""

from __future__ import annotations

from daintree.report.text import columns
from daintree.run.planning import Plan

_CLASSES = {
    "hit": "fill:#d5f5d5,stroke:#2a7a2a",
    "miss": "fill:#ffd9d6,stroke:#b03a2e",
    "pending": "fill:#fff3c4,stroke:#a67c00",
}


def text_graph(plan: Plan) -> list[str]:
    """One row per stage, in order: what it reads, its name, status and component."""
    rows = [["", "source", "", plan.identity.origin]]
    for stage in plan.stages:
        reads = ", ".join(stage.needs) or "source"
        status = plan.decisions[stage.name].status.upper()
        rows.append([f"{reads} ─▶", stage.name, status, stage.component])
    if plan.pipeline.output:
        names = ", ".join(plan.pipeline.output_stages)
        rows.append([f"{names} ─▶", "output", "", plan.pipeline.output])
    return columns(rows, indent="")


def mermaid(plan: Plan) -> list[str]:
    """The flowchart's lines."""
    lines = ["flowchart LR", f'  source[("{_quoted(plan.identity.origin)}")]']
    for place, stage in enumerate(plan.stages):
        status = plan.decisions[stage.name].status
        label = f"{_quoted(stage.name)}<br/>{_quoted(stage.component)}"
        lines.append(f'  stage{place}["{label}"]:::{status}')
    places = {stage.name: place for place, stage in enumerate(plan.stages)}
    for place, stage in enumerate(plan.stages):
        origins = [f"stage{places[need]}" for need in stage.needs] or ["source"]
        lines += [f"  {origin} --> stage{place}" for origin in origins]
    if plan.pipeline.output:
        lines.append(f'  output[/"{_quoted(plan.pipeline.output)}"/]')
        lines += [f"  stage{places[name]} --> output" for name in plan.pipeline.output_stages]
    return lines + [f"  classDef {name} {style}" for name, style in _CLASSES.items()]


def _quoted(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    )
